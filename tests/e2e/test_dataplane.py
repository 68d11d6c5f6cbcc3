"""What frames go through on the real cluster: filters, the ladder, outputs, shared memory and fail-over."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import api
import cluster as driver
import sites
from edgedetector.api import conditions, names
from edgedetector.cluster import kinds
from forward import forward, serving_pod
from frames import PAUSE, Frames, follow, watch
from harness import Kubectl, poll
from promises import promises

NAMESPACE: Final = "dataplane"
TAKEN_OVER_SECONDS: Final = 5.0
"""Until a camera of a replica that died gives results again."""
DOUBLED_SECONDS: Final = 10.0
"""For which a camera may be served by two replicas."""

STAGES: Final = ("read", "decode", "prepare", "request", "boxes", "track")
# The model's only box stands at the left, near the top of every picture.
TOP: Final = [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]
BOTTOM: Final = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]
GATE: Final = {"name": "gate", "url": "rtsp://camera:8554/vtest", "frameRate": {"target": 5, "minimum": 1}}
DOCK: Final = {"name": "dock", "url": "rtsp://camera:8554/mirrored", "frameRate": {"target": 5, "minimum": 1}}
RECEIVER: Final = """
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print(json.dumps({"token": self.headers.get("Authorization", ""), "body": json.loads(body)}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A namespace with a camera, a model, Secrets and a server for webhooks."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(
        sites.model(),
        *sites.camera(images["camera"]),
        sites.secret("viewers", token="viewers-token"),
        sites.secret("hook", token="hook-token"),
        *receiver(images["detector"]),
    )
    kubectl("rollout", "status", "deployment/receiver", "--timeout=180s")
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def receiver(image: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A server that prints what is posted to it; `image` has a Python."""
    deployment, service = sites.camera(image, "receiver")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container |= {"command": ["python", "-c", RECEIVER], "ports": [{"name": "rtsp", "containerPort": 8080}]}
    service["spec"]["ports"] = [{"name": "http", "port": 8080, "targetPort": 8080}]
    return deployment, service


def taken(detector: str, count: int) -> list[dict[str, Any]]:
    """Return that many events of each camera of a detector."""
    found: list[dict[str, Any]] = []
    cameras = len(sites.cameras(NAMESPACE, detector))
    with follow(NAMESPACE, detector, found.append):

        def enough() -> int:
            return min(counts) if len(counts := list(_by_camera(found).values())) == cameras else 0

        poll("events", enough, lambda least: least >= count)
    return found


def _by_camera(found: list[dict[str, Any]]) -> dict[str, int]:
    names_ = [event["camera"] for event in list(found)]
    return {name: names_.count(name) for name in names_}


def metrics(pod: str) -> dict[str, float]:
    """Return the detector's series, by name and labels as they are written."""
    with forward(NAMESPACE, pod, names.PORT_DETECTOR) as base:
        text = urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def test_zones_classes_and_confidence_decide_by_camera_and_objects_keep_their_number(site: Kubectl) -> None:
    cameras = [
        {**GATE, "zones": [{"name": "top", "polygon": TOP}]},
        {**DOCK, "zones": [{"name": "bottom", "polygon": BOTTOM}]},
        {**GATE, "name": "ramp", "classes": ["anything"]},
        {**GATE, "name": "attic", "classes": ["else"]},
        {**GATE, "name": "shed", "confidence": 0.95},
    ]
    detector = sites.detector("filtered", *cameras)
    detector["spec"]["models"][0]["decoder"]["labels"] = ["anything", "else"]
    site.apply(detector)
    sites.wait_ready(NAMESPACE, "filtered")
    found = taken("filtered", 5)
    seen = {name: [event["detections"] for event in found if event["camera"] == name] for name in _by_camera(found)}
    assert {name for name, each in seen.items() if all(each)} == {"gate", "ramp"}
    assert {name for name, each in seen.items() if not any(each)} == {"dock", "attic", "shed"}
    assert len({detections[0]["id"] for detections in seen["gate"]}) == 1
    pod = serving_pod(NAMESPACE, "filtered", "gate")
    assert sites.conditions(NAMESPACE, "filtered")[conditions.SHARED_MEMORY_READY][0] == conditions.TRUE
    counted = "".join(series for series in metrics(pod) if series.startswith("edgedetector_stage_cpu_seconds_total"))
    assert all(f'"{stage}"' in counted for stage in STAGES)
    before = sites.marks(NAMESPACE, "filtered", names.COMPONENT_TRITON)
    sites.change(NAMESPACE, "filtered", cameras=[{**GATE, "zones": [{"name": "bottom", "polygon": BOTTOM}]}])
    sites.wait_ready(NAMESPACE, "filtered")
    poll("the new zone", lambda: taken("filtered", 2)[-1]["detections"], lambda left: left == [])
    assert sites.marks(NAMESPACE, "filtered", names.COMPONENT_TRITON) == before
    site("delete", "edgedetector", "filtered")


def test_under_pressure_cameras_give_way_in_a_sentence_and_get_everything_back(site: Kubectl) -> None:
    # Any load of the node is more than 1 %.
    pressed = {"mode": "Auto", "headroom": {"cpu": "99%"}}
    ladder = {"reactAfter": "1s", "recoverAfter": "1s"}
    guard = {**DOCK, "priority": 100}
    site.apply(sites.detector("pressed", GATE, guard, tuning=pressed, degradation=ladder))
    given = poll(
        "gives way", lambda: _condition("pressed", conditions.DEGRADED), lambda found: found[0] == conditions.TRUE
    )
    assert given[1] == conditions.REASON_GIVING_WAY
    assert "gate: " in given[2]
    assert "because the host CPU was " in given[2]
    pod = poll("a pod that serves it", lambda: _serving("pressed", "gate"), bool)

    def rungs() -> float:
        return metrics(pod).get('edgedetector_camera_degradation_rungs{camera="gate"}', 0.0)

    poll("a metric", rungs, lambda found: found > 0)
    poll("keyframes only", lambda: sites.cameras(NAMESPACE, "pressed")["gate"].get("degraded", ""),
         lambda said: said.startswith("keyframes only, at most 1 frames/s because"))  # fmt: skip
    # A busy node alone suspends nobody.
    poll("it is live", lambda: sites.cameras(NAMESPACE, "pressed")["gate"]["state"], lambda state: state == "Live")
    poll("an Event", lambda: _steps("pressed"), lambda found: any(kind == "Warning" for kind, _ in found))
    sites.change(NAMESPACE, "pressed", degradation={"enabled": False})
    back = poll(
        "all back", lambda: _condition("pressed", conditions.DEGRADED), lambda found: found[0] == conditions.FALSE
    )
    assert back[1] == conditions.REASON_DISABLED
    poll(
        "full rate",
        lambda: metrics(pod)['edgedetector_camera_target_frame_rate{camera="gate"}'],
        lambda rate: rate == 5.0,
    )
    poll("its Event", lambda: _steps("pressed"), lambda found: any(kind == "Normal" for kind, _ in found))
    site("delete", "edgedetector", "pressed")


def _condition(detector: str, kind: str) -> tuple[str, str, str]:
    return sites.conditions(NAMESPACE, detector).get(kind, ("", "", ""))


def _serving(detector: str, camera: str) -> str:
    try:
        return serving_pod(NAMESPACE, detector, camera)
    except LookupError:
        return ""


def _steps(detector: str) -> list[tuple[str, str]]:
    """Type and note of the Events about the ladder."""
    found = api.items(kinds.of("events.k8s.io/v1", "Event"), NAMESPACE)
    mine = (event for event in found if event["regarding"]["name"] == detector)
    return [(event["type"], event.get("note", "")) for event in mine if event.get("action") == conditions.DEGRADED]


def test_a_webhook_is_told_who_comes_and_a_receiver_that_was_gone_hears_it_later(site: Kubectl) -> None:
    hook = {"url": "http://receiver:8080/events", "tokenSecretRef": {"name": "hook"}}
    site("scale", "deployment/receiver", "--replicas=0")
    site("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=receiver", "--timeout=120s")
    site.apply(sites.detector("told", GATE, outputs={"webhook": hook}))
    sites.wait_ready(NAMESPACE, "told")
    failing = poll(
        "it says so", lambda: _condition("told", conditions.OUTPUTS_DELIVERED), lambda c: c[0] == conditions.FALSE
    )
    assert failing[1] == conditions.REASON_OUTPUT_FAILING
    assert "hook-token" not in json.dumps(sites.conditions(NAMESPACE, "told"))
    site("scale", "deployment/receiver", "--replicas=1")
    site("rollout", "status", "deployment/receiver", "--timeout=180s")
    heard = poll("what came meanwhile", lambda: _heard(site), bool)
    assert heard[0]["token"] == "Bearer hook-token"
    assert heard[0]["body"]["specversion"] == "1.0"
    assert "anything" in json.dumps(heard[0]["body"])
    poll(
        "it is well again", lambda: _condition("told", conditions.OUTPUTS_DELIVERED), lambda c: c[0] == conditions.TRUE
    )
    site("delete", "edgedetector", "told")


def _heard(site: Kubectl) -> list[dict[str, Any]]:
    return [json.loads(line) for line in site("logs", "deployment/receiver").splitlines() if line.startswith("{")]


def test_events_are_served_to_who_has_the_token_and_to_nobody_else(site: Kubectl) -> None:
    site.apply(sites.detector("open", GATE, outputs={"events": {"tokenSecretRef": {"name": "viewers"}}}))
    sites.wait_ready(NAMESPACE, "open")
    with forward(NAMESPACE, serving_pod(NAMESPACE, "open", "gate"), names.PORT_DETECTOR_EVENTS) as base:
        for path in ("/events", "/snapshot/gate.jpg"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(base + path, timeout=30)
        request = urllib.request.Request(f"{base}/snapshot/gate.jpg", headers={"Authorization": "Bearer viewers-token"})
        assert urllib.request.urlopen(request, timeout=30).read().startswith(b"\xff\xd8")
    assert names.PORT_DETECTOR_EVENTS in {
        port["port"] for service in site.items("services") for port in service["spec"]["ports"]
    }
    site("delete", "edgedetector", "open")


def test_the_media_server_tells_prometheus_of_its_traffic_by_camera(site: Kubectl) -> None:
    site.apply(sites.detector("traffic", GATE))
    sites.wait_ready(NAMESPACE, "traffic")

    def series() -> list[str]:
        with forward(NAMESPACE, f"deployment/{names.media('traffic')}", names.PORT_GO2RTC_API) as base:
            text = urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
        return [line for line in text.splitlines() if line.startswith("go2rtc_") and 'camera="gate"' in line]

    found = poll("series of the camera", series, bool)
    assert any("bytes" in line and float(line.rpartition(" ")[2]) > 0 for line in found)
    site("delete", "edgedetector", "traffic")


@pytest.fixture(scope="module")
def pair(site: Kubectl) -> Iterator[str]:
    """A detector of two replicas and six cameras."""
    cameras = [{**GATE, "name": f"cam{number}"} for number in range(6)]
    site.apply(sites.detector("pair", *cameras, scaling={"minReplicas": 2, "maxReplicas": 2}))
    sites.wait_ready(NAMESPACE, "pair")
    yield "pair"
    site("delete", "edgedetector", "pair")


def _shares(frames: Frames) -> dict[str, set[str]]:
    """Cameras by the replicas that serve them now: status tells of a while ago, once the operator was away."""
    found: dict[str, set[str]] = {}
    for camera, replicas in list(frames.by.items()):
        for replica, times in list(replicas.items()):
            if time.time() - times[-1] < PAUSE:
                found.setdefault(replica, set()).add(camera)
    return found


def _shared(frames: Frames) -> dict[str, set[str]]:
    """Wait until both replicas have some of the cameras, and no two the same; return who has which."""
    return poll(
        "both have some",
        lambda: _shares(frames),
        lambda found: len(found) == 2 and sum(map(len, found.values())) == 6,
    )


# Runs $1 for each process of the pod POD's detector, with the process id as PID.
ON_NODE: Final = """
for directory in /proc/[0-9]*; do
    PID=${directory#/proc/}
    if tr '\\0' '\\n' 2>/dev/null <$directory/environ | grep -qx "POD_NAME=$POD"; then echo found; eval "$1"; fi
done
:
"""


def on_node(pod: str, script: str) -> None:
    """Run a script on the node for each process of a pod's detector."""
    command = [str(driver.kind_executable()), "exec", "--name", driver.NAME, "--", "env", f"POD={pod}"]
    done = subprocess.run([*command, "sh", "-uc", ON_NODE, "sh", script], check=True, stdout=subprocess.PIPE, text=True)
    assert "found" in done.stdout, f"no process of {pod}"


def nothing(_pod: str) -> None:
    """Leave it to whoever mends it by himself."""


def killed(pod: str) -> None:
    """End the detector's process at once, as the kernel does when memory is short; the kubelet starts another."""
    on_node(pod, "kill -KILL $PID")


def hung(pod: str) -> None:
    """Stop the detector's process without ending it."""
    on_node(pod, "kill -STOP $PID")


def awake(pod: str) -> None:
    """Let it go on."""
    on_node(pod, "kill -CONT $PID")


_WALL: Final = (
    "nsenter --target $PID --net sh -c 'iptables -{0} INPUT -i eth0 -j DROP; iptables -{0} OUTPUT -o eth0 -j DROP'"
)


def cut_off(pod: str) -> None:
    """Let nothing through to or from the pod, and nobody be told."""
    on_node(pod, f"{_WALL.format('A')}; break")


def reachable(pod: str) -> None:
    """Let everything through again."""
    on_node(pod, f"{_WALL.format('D')}; break")


def evicted(pod: str) -> None:
    """Ask for the pod's end through the Eviction API, as a drain does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction", body)


HARMS: Final = ((evicted, nothing), (killed, nothing), (hung, awake), (cut_off, reachable))


@pytest.mark.parametrize(("harm", "mend"), HARMS, ids=[harm.__name__ for harm, _ in HARMS])
def test_the_cameras_of_a_lost_replica_are_served_by_the_other_without_the_operator(
    operator: Kubectl, pair: str, harm: Callable[[str], None], mend: Callable[[str], None]
) -> None:
    if harm is not evicted and driver.existing():
        pytest.skip("the node's processes are not ours")
    with watch(NAMESPACE, pair, "cam0") as frames:
        _shared(frames)
        operator("scale", "deployment/edgedetector", "--replicas=0")
        try:
            shares = _shared(frames)
            lost, moved = max(shares.items(), key=lambda item: len(item[1]))
            stayed = set().union(*(cameras for pod, cameras in shares.items() if pod != lost))
            mark = frames.mark()
            harm(lost)
            for camera in sorted(moved):
                frames.wait(camera, mark, 10)
            gaps = {camera: frames.longest_gap(camera, mark) for camera in sorted(moved | stayed)}
        finally:
            mend(lost)
            operator("scale", "deployment/edgedetector", "--replicas=1")
        operator("rollout", "status", "deployment/edgedetector", "--timeout=180s")
        sites.wait_ready(NAMESPACE, pair)
        # One that wakes up has its cameras still, and so has one that lost sight of the others.
        _shared(frames)
    said = f"of a replica that was {harm.__name__.replace('_', ' ')}"
    for camera in sorted(moved):
        promises.note(f"{camera} {said}", gaps[camera], TAKEN_OVER_SECONDS)
    doubled = max(frames.longest_double(camera) for camera in moved | stayed)
    promises.note(f"the camera that was longest served by two, {said}", doubled, DOUBLED_SECONDS)
