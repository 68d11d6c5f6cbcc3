"""What the media pod tells Prometheus of a real go2rtc: by camera and consumer, and without a password."""

import contextlib
import importlib
import json
import threading
import tomllib
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgedetector.api.dataplane import MediaCamera
from edgedetector.go2rtc import exporter
from edgedetector.media.server import Server
from edgedetector.media.traffic import Traffic

from .conftest import ROOT, Cameras, Pod, answers, wait_for
from .test_in_place import open_stream

GATE = (("camera", "gate"), ("role", "main"), ("stream", "s0"))
YARD = (("camera", "yard"), ("role", "sub"), ("stream", "s1"))
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def port(pod: Pod) -> Iterator[int]:
    """Where the config container answers."""
    traffic = Traffic(pod.api, lambda: pod.supervisor.labels)
    with Server(0, pod.supervisor, traffic.exposition) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def text(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def series(port: int) -> Series:
    families = text_string_to_metric_families(text(port))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_each_camera_and_kind_of_consumer_has_its_figures(pod: Pod, cameras: Cameras, port: int) -> None:
    pod.configure(
        1,
        MediaCamera("s0", url=cameras.url(0), camera="gate", role="main"),
        MediaCamera("s1", url=cameras.url(1), camera="yard", role="sub"),
        MediaCamera("s2", url=cameras.url(2)),
    )
    pod.supervisor.step()
    assert series(port)["go2rtc_up", ()] == 0
    pod.start()
    pod.until_ready(1)
    wait_for("go2rtc", lambda: series(port)["go2rtc_up", ()] == 1)
    with open_stream(pod, "s0") as first, open_stream(pod, "s0") as second:
        for container in (first, second):
            next(container.decode(video=0))
        rtsp = tuple(sorted((*GATE, ("kind", "rtsp"))))
        wait_for("two consumers", lambda: series(port).get(("go2rtc_stream_consumers", rtsp)) == 2)
        wait_for("traffic", lambda: series(port).get(("go2rtc_consumer_transmit_bytes_total", rtsp), 0) > 5000)
        found = series(port)
    assert found["go2rtc_producer_connections_total", GATE] == 1
    assert found["go2rtc_producer_receive_bytes_total", GATE] > 5000
    assert found["go2rtc_stream_producers", tuple(sorted((*YARD, ("state", "idle"))))] == 1
    # An older operator's media.json names no cameras: such a stream keeps its id alone.
    assert found["go2rtc_stream_producers", (("state", "idle"), ("stream", "s2"))] == 1
    assert found["edgedetector_media_ready", ()] == 1


def test_no_credential_reaches_a_label_and_the_redactor_breaks_nothing(pod: Pod, cameras: Cameras, port: int) -> None:
    cameras.require(0, "s3cret")
    pod.put_secret("gate", username="admin", password="s3cret")
    pod.put_secret("yard", url=cameras.url(1) + "?password=s3cret")
    pod.configure(
        1,
        MediaCamera("s0", url=cameras.url(0), credentials_secret="gate", camera="gate", role="main"),
        MediaCamera("s1", url_secret="yard", camera="yard", role="sub"),
    )
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    with contextlib.ExitStack() as opened:
        for stream in ("s0", "s1"):
            next(opened.enter_context(open_stream(pod, stream)).decode(video=0))
        wait_for("gate", lambda: series(port).get(("go2rtc_producer_receive_bytes_total", GATE), 0) > 0)
        wait_for("yard", lambda: series(port).get(("go2rtc_producer_receive_bytes_total", YARD), 0) > 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{pod.api}/api/streams") as answer:
            blotted = answer.read().decode()
        shown = text(port)
    assert "***" in blotted
    assert "s0" in json.loads(blotted)
    assert "s3cret" not in shown
    assert "admin" not in shown
    assert "rtsp://" not in shown
    assert series(port)["go2rtc_exporter_parse_errors_total", ()] == 0


def test_figures_of_a_go2rtc_whose_answers_are_blotted_keep_their_cameras(pod: Pod, cameras: Cameras) -> None:
    """Secrets that are keys and digits of the answer, which our own placeholders cannot be."""
    source = cameras.url(0).replace("//", "//${USER}:${PASSWORD}@")
    credentials = pod.root / "run/credentials"
    credentials.mkdir()
    (credentials / "USER").write_text("url")
    (credentials / "PASSWORD").write_text("1")
    (pod.root / "run/go2rtc.yaml").write_text(json.dumps({"streams": {"s0": source}}))
    pod.start()
    traffic = Traffic(pod.api, lambda: {"s0": {"camera": "gate", "role": "main"}})
    wait_for("go2rtc", lambda: "go2rtc_up 1.0" in traffic.exposition())
    wait_for("RTSP", lambda: answers(pod.rtsp))
    with open_stream(pod, "s0") as container:
        next(container.decode(video=0))
        wait_for("a blot", lambda: "go2rtc_exporter_parse_errors_total 0.0" not in traffic.exposition())
        shown = traffic.exposition()
    assert "go2rtc_up 1.0" in shown
    assert 'go2rtc_producer_connections_total{camera="gate",role="main",stream="s0"} 1.0' in shown


def test_the_console_script_is_the_exporter() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["go2rtc-exporter"].partition(":")
    assert getattr(importlib.import_module(module), function) is exporter.main
