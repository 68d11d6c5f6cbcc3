"""The media pod's parts are valid Kubernetes objects that keep go2rtc closed."""

import json
from typing import Any

import kubernetes_validate

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.go2rtc import container

LONG = "secret." + "x" * 240
CAMERAS = (
    MediaCamera("s0", url="rtsp://cam/x", credentials_secret="gate"),
    MediaCamera("s1", url_secret=LONG, credentials_secret="gate"),
    MediaCamera("s2", url="rtsp://cam/y"),
)


def pod(secrets: tuple[str, ...], *, ffmpeg: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "media", "namespace": "site"},
        "spec": {
            "initContainers": [container.config("detector:1", secrets=secrets)],
            "containers": [
                container.server("go2rtc:1", ffmpeg=ffmpeg, arguments=["-config", '{"log":{"level":"debug"}}'])
            ],
            "volumes": container.volumes("yard-media", secrets),
        },
    }


def test_the_pod_is_valid_and_every_mount_has_its_volume() -> None:
    secrets = container.secret_names(MediaConfig(1, CAMERAS))
    assert secrets == ("gate", LONG)
    manifest = pod(secrets)
    kubernetes_validate.validate(manifest, "1.34", strict=True)
    volumes = {item["name"] for item in manifest["spec"]["volumes"]}
    assert len(volumes) == len(manifest["spec"]["volumes"]) == 4
    assert all(len(name) <= 63 for name in volumes)
    for item in (*manifest["spec"]["initContainers"], *manifest["spec"]["containers"]):
        assert {mount["name"] for mount in item["volumeMounts"]} <= volumes


def test_a_secret_that_does_not_exist_holds_nobody_up() -> None:
    (volume,) = [item for item in container.volumes("m", ["gate"]) if "secret" in item]
    assert volume["secret"]["optional"] is True


def test_go2rtc_cannot_write_its_file_and_has_the_last_word_on_what_is_open() -> None:
    server = container.server("go2rtc:1", arguments=["-config", "api.listen=:1984"])
    assert all(mount["readOnly"] for mount in server["volumeMounts"])
    assert server["args"][-2] == "-config"
    hardening = json.loads(server["args"][-1])
    paths = ["/api", "/api/streams", "/api/restart", "/api/stream.mp4"]
    assert hardening["api"] == {"listen": "127.0.0.1:1985", "allow_paths": paths}
    assert hardening["app"]["modules"] == ["api", "http", "mp4", "rtsp"]
    assert "exec" in json.loads(container.server("go2rtc:1", ffmpeg=True)["args"][-1])["app"]["modules"]


def test_programs_are_needed_for_an_input_template_only() -> None:
    assert not container.needs_ffmpeg(MediaConfig(1, CAMERAS))
    assert container.needs_ffmpeg(
        MediaConfig(1, (*CAMERAS, MediaCamera("s3", url="rtsp://c/x", input_template="vendor")))
    )
