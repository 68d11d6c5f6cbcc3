"""The policies on the API server allow every connection of the whole run, and stop what an attacker would try.

The network of the local node enforces no policy, so that what they say is judged by `tests/network/evaluator.py`, and
what the servers have to refuse by themselves is tried.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
import yaml
from tests.network.evaluator import Flow, Pod, World, judge, selects

import flows
from edgedetector.api import names
from flows import ATTACKER, Denied, Recorder
from harness import Kubectl, poll
from stages import ROOT

SITE: Final = "demo"
EXPORTER_PORT: Final = 9400
API_SERVER: Final = "API server"
INTERNET: Final = "203.0.113.9"
METADATA: Final = "169.254.169.254"
LINK_LOCAL: Final = "169.254.7.7"

_OPERATOR: Final = {names.LABEL_NAME: names.OPERATOR, "app.kubernetes.io/instance": "edgedetector"}
_CLIENT: Final = {names.LABEL_TRITON_CLIENT: "true"}


def _ours(component: str, detector: str = "yard") -> dict[str, str]:
    return {
        names.LABEL_DETECTOR: detector,
        names.LABEL_COMPONENT: component,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


ACTORS: Final = {
    "stranger": Pod(SITE, "stranger", frozenset({"192.0.2.1"})),
    "client": Pod(SITE, "client", frozenset({"192.0.2.2"}), _CLIENT),
    "client elsewhere": Pod("default", "client", frozenset({"192.0.2.3"}), _CLIENT),
    "fake operator": Pod("default", "operator", frozenset({"192.0.2.4"}), _OPERATOR),
    "fake triton": Pod("default", "triton", frozenset({"192.0.2.5"}), _ours(names.COMPONENT_TRITON)),
    "fake media": Pod("default", "media", frozenset({"192.0.2.6"}), _ours(names.COMPONENT_MEDIA)),
    "other detector": Pod(SITE, "other", frozenset({"192.0.2.7"}), _ours(names.COMPONENT_TRITON, "other")),
    "prometheus": Pod("monitoring", "prometheus", frozenset({"192.0.2.8"})),
    "exporter": Pod(
        "edgedetector-system",
        "exporter",
        frozenset({"192.0.2.9"}),
        {names.LABEL_PROFILE: "denglin-ks20", names.LABEL_COMPONENT: names.COMPONENT_EXPORTER},
    ),
}
"""Pods that need not exist to be judged."""

ATTACKS: Final = (
    ("stranger", "triton", names.PORT_TRITON_GRPC),
    ("stranger", "triton", names.PORT_TRITON_METRICS),
    ("stranger", "triton", names.PORT_DETECTOR),
    ("stranger", "triton", names.PORT_DETECTOR_EVENTS),
    ("stranger", "media", names.PORT_GO2RTC_API),
    ("stranger", "media", 1985),
    ("stranger", "media", names.PORT_GO2RTC_RTSP),
    ("stranger", "exporter", EXPORTER_PORT),
    ("stranger", "operator", 9090),
    ("client", "triton", names.PORT_DETECTOR),
    ("client elsewhere", "triton", names.PORT_TRITON_GRPC),
    ("fake operator", "triton", names.PORT_DETECTOR),
    ("fake operator", "media", names.PORT_GO2RTC_API),
    ("fake triton", "media", names.PORT_GO2RTC_RTSP),
    ("fake triton", "triton", names.PORT_DETECTOR),
    ("other detector", "media", names.PORT_GO2RTC_RTSP),
    ("other detector", "triton", names.PORT_DETECTOR),
    ("other detector", "exporter", 9401),
    ("prometheus", "triton", names.PORT_TRITON_GRPC),
    ("prometheus", "media", names.PORT_GO2RTC_RTSP),
    ("operator", "triton", names.PORT_TRITON_GRPC),
    ("operator", "triton", names.PORT_TRITON_METRICS),
    ("operator", "media", names.PORT_GO2RTC_RTSP),
    ("operator", "exporter", EXPORTER_PORT),
    ("triton", INTERNET, 443),
    ("triton", API_SERVER, 6443),
    ("triton", METADATA, 80),
    ("triton", "camera", 8554),
    ("triton", "media", names.PORT_GO2RTC_API),
    ("triton", "fake media", names.PORT_GO2RTC_RTSP),
    ("triton", "exporter", EXPORTER_PORT),
    ("media", API_SERVER, 6443),
    ("media", INTERNET, 443),
    ("media", METADATA, 80),
    ("media", LINK_LOCAL, 554),
    ("media", "triton", names.PORT_TRITON_GRPC),
    ("media", "fake media", names.PORT_GO2RTC_RTSP),
    ("exporter", "triton", names.PORT_DETECTOR),
    ("exporter", API_SERVER, 6443),
    ("exporter", INTERNET, 443),
    ("exporter", METADATA, 80),
)

NEEDED: Final = (
    ("triton", "media", names.PORT_GO2RTC_RTSP),
    ("media", "camera", 8554),
    ("operator", "triton", names.PORT_DETECTOR),
    ("operator", "media", names.PORT_GO2RTC_API),
    ("prometheus", "triton", names.PORT_TRITON_METRICS),
    ("prometheus", "triton", names.PORT_DETECTOR),
    ("prometheus", "media", names.PORT_GO2RTC_API),
    ("prometheus", "exporter", EXPORTER_PORT),
    ("client", "triton", names.PORT_TRITON_GRPC),
)


@pytest.fixture(scope="module")
def exported(demo: Kubectl) -> Iterator[None]:
    """A suspended detector whose profile has an exporter: no pods, but the exporter's policy."""
    detector = yaml.safe_load((ROOT / "demo" / "edgedetector.yaml").read_text())
    model = {"modelFile": "model.py", "backend": "python"} | detector["spec"]["models"][0]
    spec = detector["spec"] | {"acceleratorProfile": "denglin-ks20", "suspend": True, "models": [model]}
    demo.apply(detector | {"metadata": {"name": "walled"}, "spec": spec})
    system, name = Kubectl("edgedetector-system"), names.exporter("denglin-ks20")
    poll("the exporter's policy", lambda: system.get("networkpolicy", name), bool)
    yield
    demo("delete", "edgedetector", "walled", "--wait=false")


@pytest.fixture(scope="module")
def world(demo: Kubectl, exported: None) -> World:
    """Policies, pods and namespaces as the API server has them, and the actors."""
    addresses = [entry for node in demo.items("nodes") for entry in node["status"]["addresses"]]
    found = flows.scene([entry["address"] for entry in addresses if entry["type"] == "InternalIP"], None).world
    return replace(found, pods=(*found.pods, *ACTORS.values()))


def address(world: World, name: str) -> str:
    """Address of an actor, of a pod of the demo by its component, of the API server; or the name, being one."""
    if name == API_SERVER:
        return min(world.nodes)
    if name in ACTORS:
        return min(ACTORS[name].addresses)
    labels = {
        "triton": _ours(names.COMPONENT_TRITON),
        "media": _ours(names.COMPONENT_MEDIA),
        "camera": {names.LABEL_NAME: "camera"},
        "operator": _OPERATOR,
    }
    if name not in labels:
        return name
    places = {SITE, "edgedetector-system"}
    real = [pod for pod in world.pods if pod not in ACTORS.values() and pod.namespace in places and pod.addresses]
    return next(min(pod.addresses) for pod in real if selects({"matchLabels": labels[name]}, pod.labels))


@pytest.mark.parametrize(("source", "destination", "port"), ATTACKS)
def test_an_attack_is_stopped_by_the_policies(world: World, source: str, destination: str, port: int) -> None:
    flow = Flow(address(world, source), address(world, destination), port)
    assert not judge(world, flow, blocks_match_pods=True).allowed


@pytest.mark.parametrize(("source", "destination", "port"), NEEDED)
def test_what_the_demo_needs_is_let_through(world: World, source: str, destination: str, port: int) -> None:
    flow = Flow(address(world, source), address(world, destination), port)
    assert judge(world, flow).allowed


def test_every_pod_of_a_detector_is_behind_a_policy_in_both_directions(world: World) -> None:
    ours = [pod for pod in world.pods if pod not in ACTORS.values() and names.LABEL_DETECTOR in pod.labels]
    assert ours
    for pod in ours:
        directions = {
            direction
            for policy in world.policies
            if policy["metadata"]["namespace"] == pod.namespace and selects(policy["spec"]["podSelector"], pod.labels)
            for direction in policy["spec"]["policyTypes"]
        }
        assert directions == {"Ingress", "Egress"}, pod.name


PROBES: Final = textwrap.dedent(
    """
    import http.client, json, socket, sys
    import tritonclient.grpc as grpc

    triton, media, triton_pod, media_pod = sys.argv[1:]
    said = {}

    def note(name, call):
        try:
            said[name] = str(call())
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"

    client = grpc.InferenceServerClient(triton + ":8001")
    for key in ("", "guessed"):
        with_key = {"headers": {"triton-grpc-protocol-admin": key} if key else None}
        config = json.dumps({"backend": "python", "max_batch_size": 0})
        calls = {
            "load": lambda: client.load_model("evil", config=config, files={"file:1/model.py": b""}, **with_key),
            "unload": lambda: client.unload_model("people", **with_key),
            "index": lambda: client.get_model_repository_index(**with_key),
            "shared memory": lambda: client.register_system_shared_memory("x", "/x", 1, **with_key),
            "shared memory status": lambda: client.get_system_shared_memory_status(**with_key),
            "trace": lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, **with_key),
            "log": lambda: client.update_log_settings({"log_verbose_level": 1}, **with_key),
        }
        for name, call in calls.items():
            note(f"triton {name} {key}".strip(), call)

    def http_status(host, port, method, path):
        connection = http.client.HTTPConnection(host, port, timeout=5)
        connection.request(method, path)
        return connection.getresponse().status

    for method, path in (
        ("PUT", "/api/streams?name=evil&src=exec:id"), ("PATCH", "/api/streams?name=evil&src=exec:id"),
        ("DELETE", "/api/streams?src=x"), ("GET", "/api/streams?src=exec:id"), ("GET", "/api/streams"),
        ("GET", "/api/stream.mp4?src=exec:id"), ("GET", "/api/config"), ("POST", "/api/config"),
        ("POST", "/api/restart"), ("POST", "/api/exit"), ("GET", "/api/exec"), ("GET", "/api/ffmpeg"),
    ):
        note(f"media {method} {path}", lambda: http_status(media, 1984, method, path))

    def rtsp(path):
        with socket.create_connection((media, 8554), timeout=5) as session:
            session.sendall(f"DESCRIBE rtsp://{media}:8554/{path} RTSP/1.0\\r\\nCSeq: 1\\r\\n\\r\\n".encode())
            session.settimeout(5)
            return session.recv(200).split(b"\\r\\n")[0].decode()

    for path in ("exec:id", "ffmpeg:/etc/passwd", "http://127.0.0.1:1985/api/streams", "evil"):
        note(f"rtsp {path}", lambda: rtsp(path))

    def connect(host, port):
        socket.create_connection((host, port), timeout=5).close()
        return "connected"

    note("port of go2rtc's API", lambda: connect(media_pod, 1985))
    note("port of the events", lambda: connect(triton_pod, 9091))
    note("port of Triton's HTTP", lambda: connect(triton_pod, 8000))
    note("port of a sign of life", lambda: connect(triton_pod, 9090))
    print(json.dumps(said))
    """
)


@pytest.fixture(scope="module")
def answers(demo: Kubectl, world: World, images: dict[str, str]) -> Iterator[dict[str, str]]:
    """What a pod beside the detector was answered, by what it tried."""
    hosts = [f"{names.triton('yard')}.{SITE}.svc", f"{names.media('yard')}.{SITE}.svc"]
    pods = [address(world, "triton"), address(world, "media")]
    container = {
        "name": "attacker",
        "image": images["detector"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", PROBES, *hosts, *pods],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10002, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"name": "attacker", "labels": {ATTACKER: "true"}}
    demo("delete", "pod", "attacker", "--ignore-not-found")
    demo.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def phase() -> str:
        return str((demo.get("pod", "attacker") or {}).get("status", {}).get("phase"))

    ended = poll("the attacker's end", phase, lambda found: found in {"Succeeded", "Failed"})
    log = demo("logs", "attacker")
    assert ended == "Succeeded", log
    yield json.loads(log.strip().splitlines()[-1])
    demo("delete", "pod", "attacker", "--wait=false")


def test_triton_refuses_its_control_api_without_the_key_and_with_a_wrong_one(answers: dict[str, str]) -> None:
    tried = {name: said for name, said in answers.items() if name.startswith("triton ")}
    assert len(tried) == 14
    for name, said in tried.items():
        assert "protocol is restricted" in said, name


def test_the_media_pod_serves_none_of_go2rtcs_paths(answers: dict[str, str]) -> None:
    tried = {name: said for name, said in answers.items() if name.startswith("media ")}
    assert len(tried) == 12
    for name, status in tried.items():
        assert status in {"404", "405", "501"}, name


def test_no_name_of_a_stream_makes_go2rtc_dial_or_run_anything(answers: dict[str, str]) -> None:
    tried = {name: said for name, said in answers.items() if name.startswith("rtsp ")}
    assert len(tried) == 4
    for name, said in tried.items():
        assert said.startswith("RTSP/1.0 404") or said == "", name


def test_what_is_meant_for_the_pod_itself_listens_on_loopback_alone(answers: dict[str, str]) -> None:
    assert answers["port of a sign of life"] == "connected", "or the others would be closed for another reason"
    for name in ("port of go2rtc's API", "port of the events", "port of Triton's HTTP"):
        assert answers[name].startswith("ConnectionRefusedError"), name


@pytest.fixture
def seen(recorder: Recorder | None) -> Recorder:
    """What was recorded until now."""
    if recorder is None:
        pytest.skip("the connections of a cluster that is not ours are not to be seen")
    recorder.look()
    return recorder


def test_the_attackers_connections_were_noticed(answers: dict[str, str], seen: Recorder) -> None:
    """So the test of the whole run would notice anybody's."""
    attacks = {(attack.source, attack.destination, attack.port) for attack in seen.attacks}
    tried = (
        *((f"{SITE}/triton", port) for port in (names.PORT_TRITON_GRPC, names.PORT_DETECTOR)),
        *((f"{SITE}/media", port) for port in (names.PORT_GO2RTC_API, names.PORT_GO2RTC_RTSP)),
    )
    assert attacks >= {(f"{SITE}/attacker", *target) for target in tried}


def _is_emulation(denied: Denied) -> bool:
    """Whether a Triton asks the emulated device, which is a pod; a real one is behind a driver."""
    ends = denied.source, denied.destination
    return ends == ("ks20/triton", "edgedetector-system/exporter") and denied.port in {9400, 9401}


@pytest.mark.last
def test_every_connection_of_the_whole_run_was_allowed(demo: Kubectl, seen: Recorder) -> None:
    """What was tried on purpose, by a pod that is labelled so, does not count."""
    wanted = {
        (f"{SITE}/triton", f"{SITE}/media", names.PORT_GO2RTC_RTSP),
        (f"{SITE}/media", f"{SITE}/camera", 8554),
        ("edgedetector-system/operator", f"{SITE}/triton", names.PORT_DETECTOR),
        ("edgedetector-system/operator", f"{SITE}/media", names.PORT_GO2RTC_API),
        (f"{SITE}/triton", "kube-system/kube-dns", 53),
    }

    def found() -> set[tuple[str, str, int]]:
        seen.look()
        return wanted & seen.allowed.keys()

    poll("the demo's own connections", found, lambda kinds: kinds == wanted)
    assert seen.failure is None
    print(f"{sum(seen.allowed.values())} connections of {len(seen.allowed)} kinds allowed, {len(seen.denied)} denied")
    assert Counter(denied for denied in seen.denied if not _is_emulation(denied)) == Counter()
    assert seen.nobodys == []
