"""Models from a real HTTPS server and from a directory of the node: taken once, refused for good reasons, mended."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

import api
import cluster as driver
import modelserver
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from events import events
from forward import forward, get, serving_pod
from harness import Kubectl, poll
from modelserver import ModelServer
from stages import ROOT

NAMESPACE: Final = "model-sources"
PROFILE: Final = "model-sources-small"
LIMIT: Final = 100_000
DIRECTORY: Final = f"/var/lib/{NAMESPACE}"
CANARY: Final = "canary-token"
SAMPLE: Final = ROOT / "manifests" / "samples" / "local-models"
PEOPLE: Final = (ROOT / "demo" / "people" / "model.py").read_text()
ANY: Final = sites.model()["data"]["model.py"]
CAMERA: Final = {"name": "gate", "url": "rtsp://camera.demo:8554/vtest"}


def on_node(script: str, stdin: str = "") -> str:
    """Run a shell script on the node, as its administrator would."""
    command = [str(driver.kind_executable()), "exec", "--name", driver.NAME, "--", "sh", "-euc", script]
    return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE, text=True).stdout


def volume(name: str, folder: str, mode: str) -> list[dict[str, Any]]:
    """A volume in a directory of the node, and the claim for it."""
    volumes = list(
        yaml.safe_load_all(_of_sample("volume.yaml").replace(f"{DIRECTORY}/models", f"{DIRECTORY}/{folder}"))
    )
    text = json.dumps(volumes).replace("box-1-models", f"{NAMESPACE}-{name}").replace("box-models", name)
    found: list[dict[str, Any]] = json.loads(text.replace("ReadOnlyMany", mode))
    return found


def _of_sample(file: str) -> str:
    """The sample as somebody adapts it: namespace, node and directory are those of this cluster."""
    node = json.loads(driver.kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["labels"]
    text = (SAMPLE / file).read_text().replace("site-a", NAMESPACE).replace("/var/lib/models", f"{DIRECTORY}/models")
    return text.replace("[box-1]", f"[{node['kubernetes.io/hostname']}]")


@pytest.fixture(scope="module")
def server(demo: Kubectl, images: dict[str, str]) -> Iterator[ModelServer]:
    """The namespace with its model server and all detectors, which start side by side. Module, since that is slow."""
    kubectl = Kubectl(NAMESPACE)
    driver.kubectl(
        "delete", "persistentvolume", f"{NAMESPACE}-box", f"{NAMESPACE}-kept", "--ignore-not-found", "--wait=false"
    )
    sites.namespace(NAMESPACE)
    on_node(
        f"mkdir -p {DIRECTORY}/models/people {DIRECTORY}/kept && chmod 777 {DIRECTORY}/kept && rm -f {DIRECTORY}/kept/*"
    )
    on_node(f"cat >{DIRECTORY}/models/people/model.py", PEOPLE)
    found = modelserver.start(kubectl, images["detector"])
    profile = json.loads(driver.kubectl("get", "acceleratorprofile", "cpu", "-o", "json"))
    profile["spec"]["triton"]["modelSizeLimit"] = LIMIT
    driver.kubectl(
        *("apply", "--server-side", "-f", "-"),
        stdin=json.dumps({**profile, "metadata": {"name": PROFILE}, "status": None}),
    )
    kubectl.apply(sites.model(), *volume("box", "models", "ReadOnlyMany"), *volume("kept", "kept", "ReadWriteOnce"))
    kubectl.apply(_fetched(found), _refused(found), _kept(found), _offline())
    yield found
    kubectl("delete", "edgedetectors", "--all", "--wait=true")
    driver.kubectl("delete", "namespace", NAMESPACE)
    driver.kubectl("delete", "persistentvolume", f"{NAMESPACE}-box", f"{NAMESPACE}-kept")
    driver.kubectl("delete", "acceleratorprofile", PROFILE)
    on_node(f"rm -r {DIRECTORY}")


def people(source: dict[str, Any]) -> dict[str, Any]:
    """The demo's model from another source."""
    found: dict[str, Any] = yaml.safe_load((SAMPLE / "edgedetector.yaml").read_text())["spec"]["models"][0]
    return found | {"source": source}


def any_model(name: str, source: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = sites.detector("x")["spec"]["models"][0]
    return found | {"name": name, "source": source}


def own(name: str) -> str:
    """A file like any other, of one model alone: what one model has fetched is there for every other."""
    return f"{ANY}# of model {name}\n"


def digest_of(name: str) -> str:
    return hashlib.sha256(own(name).encode()).hexdigest()


def _fetched(server: ModelServer) -> dict[str, Any]:
    digest = server.holds("people.py", PEOPLE)
    return sites.detector("fetched", CAMERA, models=[people(server.source("people.py", digest))])


def _kept(server: ModelServer) -> dict[str, Any]:
    source = server.source("kept.py", server.holds("kept.py", ANY), f"{modelserver.NAME}.{NAMESPACE}.svc")
    return sites.detector("kept", CAMERA, models=[any_model("any", source)], modelCache={"claimName": "kept"})


def _offline() -> dict[str, Any]:
    text = _of_sample("edgedetector.yaml").replace("box-models", "box")
    found: dict[str, Any] = yaml.safe_load(text)
    little = sites.detector("x")["spec"]
    found["spec"] |= {"resources": little["resources"], "degradation": little["degradation"]}
    return found


def _refused(server: ModelServer) -> dict[str, Any]:
    """One model that serves, and one for each thing that can be wrong with a file."""
    server.holds("wrong.py", "not what was promised")
    large = server.holds("large.py", ANY + "#" * LIMIT)
    server.holds("moved.location", f"https://{modelserver.NAME}.{NAMESPACE}.svc:{modelserver.PORT}/kept.py")
    server.holds("metadata.location", "https://169.254.169.254/latest/meta-data")
    wrong = server.source("wrong.py", digest_of("wrong"))
    wrong["http"]["url"] += f"?key={CANARY}"
    elsewhere = {"http": {"url": "https://files.example/any.py", "sha256": digest_of("elsewhere")}}
    server.kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lonely"}, "data": {"x": "y"}})
    models = {
        "serves": {"configMap": {"name": "any-model"}},
        "wrong": wrong,
        "large": server.source("large.py", large),
        "absent": server.source("absent.py", digest_of("absent")),
        "elsewhere": elsewhere,
        "moved": server.source("moved", digest_of("moved")),
        "metadata": server.source("metadata", digest_of("metadata")),
        "lonely": {"configMap": {"name": "lonely"}},
    }
    every = [any_model(name, source) for name, source in models.items()]
    return sites.detector("refused", {**CAMERA, "models": ["serves"]}, profile=PROFILE, models=every)


def labels_seen(detector: str, seconds: float = 20.0) -> set[str]:
    """What the detector calls the things that it finds."""
    with forward(NAMESPACE, serving_pod(NAMESPACE, detector, "gate"), names.PORT_DETECTOR_EVENTS) as base:
        return {found["label"] for event in events(base, seconds) for found in event["detections"]}


def triton_pod(detector: str) -> str:
    (pod,) = sites.pods(NAMESPACE, detector, names.COMPONENT_TRITON)
    return str(pod["metadata"]["name"])


def digest_in(server: ModelServer, detector: str, model: str) -> str:
    """Digest of the file that Triton reads."""
    path = f"{names.DIR_MODELS}/{model}/1/model.py"
    return server.kubectl("exec", triton_pod(detector), "-c", "triton", "--", "sha256sum", path).split()[0]


def test_a_model_over_https_detects_people_and_is_asked_for_once(server: ModelServer) -> None:
    print(f"Ready after {sites.wait_ready(NAMESPACE, 'fetched'):.0f} s")
    assert labels_seen("fetched") == {"person"}
    assert server.asked("people.py") == 1
    pod = triton_pod("fetched")
    before = sites.marks(NAMESPACE, "fetched")
    end = ("python", "-c", "import os; os.kill(1, 15)")
    server.kubectl("exec", pod, "-c", names.CONTAINER_MODEL_FETCH, "--", *end, check=False)  # ends with its container

    def restarts() -> int:
        (counts,) = (sites.marks(NAMESPACE, "fetched")[uid] for uid in before if len(before[uid]) > 3)
        return counts[1]

    poll("the container that fetches is back", restarts, lambda count: count == 1)
    sites.wait_ready(NAMESPACE, "fetched")
    assert server.asked("people.py") == 1


def test_a_new_file_is_fetched_and_loaded_by_the_pod_that_runs(server: ModelServer) -> None:
    sites.wait_ready(NAMESPACE, "fetched")
    before = sites.marks(NAMESPACE, "fetched")
    digest = server.holds("people-2.py", PEOPLE + "# the second version\n")
    sites.change(NAMESPACE, "fetched", models=[people(server.source("people-2.py", digest))])
    print(f"served after {sites.wait_ready(NAMESPACE, 'fetched'):.1f} s")
    poll("Triton has the new file", lambda: digest_in(server, "fetched", "people"), lambda found: found == digest)
    assert sites.marks(NAMESPACE, "fetched") == before, "no pod and no container was started anew"
    assert (server.asked("people.py"), server.asked("people-2.py")) == (1, 1)


def models_of(detector: str) -> dict[str, tuple[str, str]]:
    """State and message of each model, as the status says."""
    status = (api.get(kinds.EDGEDETECTOR, NAMESPACE, detector) or {}).get("status") or {}
    return {model["name"]: (model["state"], model.get("message", "")) for model in status.get("models") or ()}


def states_of_pod(detector: str) -> dict[str, tuple[str, str]]:
    """State and reason of each model, as the pod says."""
    with forward(NAMESPACE, f"pod/{triton_pod(detector)}", names.PORT_DETECTOR) as base:
        said = json.loads(get(f"{base}/state"))
    return {model["name"]: (model["state"], model["reason"]) for model in said["models"]}


EXPECTED: Final = {
    "serves": ("Ready", ""),
    "wrong": ("Failed", "ChecksumMismatch"),
    "large": ("Failed", "ModelTooLarge"),
    "absent": ("Failed", "ModelFetchFailed"),
    "elsewhere": ("Failed", "ModelHostNotAllowed"),
    "moved": ("Failed", "ModelHostNotAllowed"),
    "metadata": ("Failed", "ModelHostNotAllowed"),
    "lonely": ("Failed", "ModelFileMissing"),
}


def test_what_is_wrong_with_a_file_is_told_and_the_other_models_serve(server: ModelServer) -> None:
    poll("every reason", lambda: states_of_pod("refused"), lambda found: found == EXPECTED)
    poll("a camera that detects", lambda: sites.cameras(NAMESPACE, "refused"), lambda c: c["gate"].get("detecting"))
    said = poll(
        "the status",
        lambda: models_of("refused"),
        lambda m: {n: s for n, (s, _) in m.items()} == {n: s for n, (s, _) in EXPECTED.items()},
    )
    assert "404 Not Found" in said["absent"][1]
    assert "files.example is no Service of this namespace" in said["elsewhere"][1]
    assert "redirects to another one" in said["moved"][1]
    assert "redirects to another one" in said["metadata"][1]
    assert "no file model.py" in said["lonely"][1]
    ready = sites.conditions(NAMESPACE, "refused")["ModelReady"]
    assert ready[:2] == ("False", "ChecksumMismatch")
    assert "correct sha256 in spec.models" in ready[2]


def test_no_more_is_taken_than_the_accelerator_can_hold_and_nothing_wrong_is_kept(server: ModelServer) -> None:
    poll("every reason", lambda: states_of_pod("refused"), lambda found: found == EXPECTED)
    kept = server.kubectl("exec", triton_pod("refused"), "-c", "detector", "--", "ls", "-A", names.DIR_FETCHED)
    assert [name for name in kept.split() if not name.startswith(".")] == []  # an attempt may be under way


def test_no_query_of_a_url_reaches_status_events_or_logs(server: ModelServer) -> None:
    poll("every reason", lambda: states_of_pod("refused"), lambda found: found == EXPECTED)
    status = json.dumps((api.get(kinds.EDGEDETECTOR, NAMESPACE, "refused") or {})["status"])
    happened = server.kubectl("get", "events", "-o", "json")
    logs = server.kubectl("logs", triton_pod("refused"), "--all-containers", "--tail=-1")
    assert "ChecksumMismatch" in status
    assert "model wrong" in logs
    for text in (status, happened, logs):
        assert CANARY not in text


def test_each_is_mended_where_it_is_wrong_and_no_pod_is_touched(server: ModelServer) -> None:
    poll("every reason", lambda: states_of_pod("refused"), lambda found: found == EXPECTED)
    before = sites.marks(NAMESPACE, "refused")
    # On the server and in the ConfigMap...
    server.holds("wrong.py", own("wrong"))
    server.holds("absent.py", own("absent"))
    lonely = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lonely"}, "data": {"model.py": ANY}}
    server.kubectl.apply(lonely)
    # ... and in the specification.
    right = server.source("right.py", server.holds("right.py", ANY))
    models = (api.get(kinds.EDGEDETECTOR, NAMESPACE, "refused") or {})["spec"]["models"]
    sources = {model["name"]: model["source"] for model in models}
    sources |= dict.fromkeys(("large", "moved", "metadata"), right)
    del sources["elsewhere"]
    sites.change(NAMESPACE, "refused", models=[any_model(name, source) for name, source in sources.items()])
    print(f"Ready after {sites.wait_ready(NAMESPACE, 'refused', 180):.0f} s")
    assert sites.marks(NAMESPACE, "refused") == before


def test_a_volume_keeps_fetched_files_for_the_next_pod(server: ModelServer) -> None:
    sites.wait_ready(NAMESPACE, "kept")
    before = triton_pod("kept")
    asked = server.asked("kept.py")
    server.kubectl("delete", "pod", before, "--wait=true")
    poll("another pod", lambda: sites.marks(NAMESPACE, "kept"), lambda found: len(found) == 2)
    sites.wait_ready(NAMESPACE, "kept")
    assert triton_pod("kept") != before
    assert server.asked("kept.py") == asked == 1


def test_the_sample_with_a_directory_of_the_node_detects_people(server: ModelServer) -> None:
    print(f"Ready after {sites.wait_ready(NAMESPACE, 'offline'):.0f} s")
    with forward(NAMESPACE, serving_pod(NAMESPACE, "offline", "yard"), names.PORT_DETECTOR_EVENTS) as base:
        assert {found["label"] for event in events(base, 20.0) for found in event["detections"]} == {"person"}
    (pod,) = sites.pods(NAMESPACE, "offline", names.COMPONENT_TRITON)
    assert not [volume for volume in pod["spec"]["volumes"] if "hostPath" in volume]
    write = server.kubectl(
        *("exec", triton_pod("offline"), "-c", "detector", "--"),
        *("sh", "-c", f"touch {names.DIR_SOURCES}/people/x 2>&1 || true"),
    )
    assert "Read-only file system" in write


def test_a_file_that_is_replaced_in_the_directory_is_loaded_by_the_pod_that_runs(server: ModelServer) -> None:
    sites.wait_ready(NAMESPACE, "offline")
    before = sites.marks(NAMESPACE, "offline")
    on_node(f"cat >{DIRECTORY}/models/people/model.py", PEOPLE + "# replaced by hand\n")
    digest = on_node(f"sha256sum {DIRECTORY}/models/people/model.py").split()[0]
    poll("Triton has the new file", lambda: digest_in(server, "offline", "people"), lambda found: found == digest)
    sites.wait_ready(NAMESPACE, "offline")
    assert sites.marks(NAMESPACE, "offline") == before
