"""A canary password given in every way there is, and then looked for everywhere but where it belongs.

Cameras that stream, one that is unreachable, one that refuses the password, a broker's Secret, a whole address in a
Secret, and addresses that the API server refuses: each carries a word that occurs nowhere else.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import cluster as driver
import demo as demo_driver
from edgedetector.api import names
from forward import forward, get
from harness import Kubectl, poll

WORD = "c4nary"
"""In every password, user name and refused address of this test; unchanged by percent-encoding."""
USER = f"viewer-{WORD}"
PASSWORD = f"{WORD}-Pa:ss@w/rd ${{HOME}}#1"
CAMERA = "camera.demo.svc:8554/vtest"
SECRETS = {
    "credentials": {"username": USER, "password": PASSWORD},
    "address": {"url": f"rtsp://{WORD}:{WORD}-2@{CAMERA}?token={WORD}-3"},
    "unreachable": {"url": f"rtsp://{WORD}:{WORD}-4@camera.demo.svc:1/{WORD}-5"},
    "refusing": {"username": USER, "password": f"{WORD}-6"},
    "broker": {"username": USER, "password": f"{WORD}-7"},
}
DETECTOR = "yard"
STATES = {"credentials": "Live", "address": "Live", "unreachable": "Failing", "refusing": "Failing"}

# A camera that wants another password: answers every request with 401, and asks for the two ways of authentication.
REFUSING = """
import socketserver
class Camera(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline():
            sequence = "0"
            while (line := self.rfile.readline().decode().strip()):
                if line.lower().startswith("cseq:"):
                    sequence = line.split(":")[1].strip()
            head = f"RTSP/1.0 401 Unauthorized\\r\\nCSeq: {sequence}\\r\\n"
            answer = head + "WWW-Authenticate: Basic realm=\\"camera\\"\\r\\n\\r\\n"
            self.wfile.write(answer.encode())
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8554), Camera).serve_forever()
"""


def secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def refusing_camera(image: str) -> list[dict[str, Any]]:
    labels = {"app": "refusing"}
    container = {
        "name": "camera",
        "image": image,
        "command": ["python", "-u", "-c", REFUSING],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "automountServiceAccountToken": False}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "refusing", "labels": labels}, "spec": spec}
    port = {"port": 8554}
    metadata = {"name": "refusing"}
    return [
        pod,
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": [port]}},
    ]


def detector(base: dict[str, Any]) -> dict[str, Any]:
    """The demo's resource with cameras that have secrets."""
    spec = json.loads(json.dumps(base["spec"]))
    spec["cameras"] = [
        {"name": "credentials", "url": f"rtsp://{CAMERA}", "credentialsSecretRef": {"name": "credentials"}},
        {"name": "address", "urlSecretRef": {"name": "address"}},
        {"name": "unreachable", "urlSecretRef": {"name": "unreachable"}},
        {"name": "refusing", "url": "rtsp://refusing:8554/main", "credentialsSecretRef": {"name": "refusing"}},
    ]
    spec["outputs"] = {"mqtt": {"url": "mqtt://broker:1883", "credentialsSecretRef": {"name": "broker"}}}
    spec["scaling"] = {"minReplicas": 1, "maxReplicas": 1}
    small = {"requests": {"cpu": "20m", "memory": "64Mi"}}
    spec["resources"] = {"triton": small, "detector": small, "media": small}
    return {"apiVersion": names.API_VERSION, "kind": "EdgeDetector", "metadata": {"name": DETECTOR}, "spec": spec}


def states(kubectl: Kubectl) -> dict[str, str]:
    found = kubectl.get("edgedetector", DETECTOR)
    cameras = (found.get("status") or {}).get("cameras", [])
    # Whether a camera refuses or fails, this test does not care: go2rtc has tried the password.
    return {camera["name"]: camera["state"].replace("Unauthorized", "Failing") for camera in cameras}


@pytest.fixture(scope="module")
def site(demo: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A namespace with the detector, its cameras in their final states."""
    kubectl = Kubectl("canary")
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(kubectl.namespace)))
    for name, data in SECRETS.items():
        kubectl.apply(secret(name, data))
    model = demo.get("configmap", "people-model")
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "people-model"}, "data": model["data"]},
        *refusing_camera(images["detector"]),
        detector(demo.get("edgedetector", "yard")),
    )
    poll("the cameras' states", lambda: states(kubectl), lambda found: found == STATES)
    yield kubectl
    driver.kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


REFUSED = [
    {"url": f"rtsp://{WORD}:{WORD}-8@gate/main"},
    {"url": f"rtsp://gate/main#{WORD}"},
    {"url": f"rtsp://127.0.0.1/{WORD}"},
    {"url": f"rtsp://gate/{WORD}".ljust(600, "x")},
    {"url": "rtsp://gate/main", "substreamUrl": f"rtsp://{WORD}@gate/sub"},
]
"""Cameras that the API server refuses."""


def test_no_answer_to_a_refused_address_repeats_it(site: Kubectl) -> None:
    """Created or changed, whichever way: what the API server answers could end up in any log."""
    live = site.get("edgedetector", DETECTOR)

    def manifests(*wanted: str) -> str:
        specs = [{**live["spec"], "cameras": [{"name": "gate", **camera}]} for camera in REFUSED]
        metadata = [{"name": name} for name in wanted]
        kind = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
        items = [{**kind, "metadata": m, "spec": spec} for m, spec in zip(metadata, specs, strict=True)]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    new = manifests(*(f"refused-{number}" for number in range(len(REFUSED))))
    changed = manifests(*(DETECTOR for _ in REFUSED))
    answers = {
        "create": refuse(site, "create", stdin=new),
        "apply": refuse(site, "apply", stdin=new),
        "server-side apply": refuse(site, "apply", "--server-side", stdin=new),
        "server-side apply over it": refuse(site, "apply", "--server-side", "--force-conflicts", stdin=changed),
        "replace": refuse(site, "replace", stdin=changed),
    }
    assert hits(answers) == []
    for way, answer in answers.items():
        assert len(re.findall(r"^.*cameras\[[^]]*\].*$", answer, re.MULTILINE)) >= len(REFUSED), f"{way}: {answer}"


def refuse(kubectl: Kubectl, *arguments: str, stdin: str) -> str:
    command = [driver.build("kubectl"), "--kubeconfig", driver.kubeconfig(), "--namespace", kubectl.namespace]
    command += [*arguments, "--validate=strict", "--filename", "-"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == "", "accepted"
    return done.stderr


def test_the_canary_is_where_it_belongs_and_nowhere_else(site: Kubectl, operator: Kubectl) -> None:
    config = in_container(site, names.CONTAINER_MEDIA_CONFIG, FILES)
    assert hits({"credentials of go2rtc": config}), "cameras that stream have their credentials"
    places = {
        **objects(site), **objects(operator), **cluster_objects(),
        **logs(site), **logs(operator), **go2rtc(site), **http(site, operator),
    }  # fmt: skip
    silent = sorted(place for place, text in places.items() if not text.strip())
    print(f"looked into {len(places)} places, {sum(map(len, places.values()))} characters; empty: {', '.join(silent)}")
    for wanted in ("go2rtc /api/streams", "log of media", "log of operator", "detector /state", "operator /metrics"):
        assert any(text for place, text in places.items() if place.startswith(wanted)), wanted
    assert hits(places) == []


def hits(places: dict[str, str]) -> list[str]:
    """Return where the word is: as it is, percent-encoded (the same), or within base64 at any offset."""
    encoded = [
        base64.b64encode(b"\0" * shift + WORD.encode()).decode()[(shift * 8 + 5) // 6 :][:6] for shift in range(3)
    ]
    pattern = re.compile("|".join([f"(?i:{WORD})", *map(re.escape, encoded)]))
    return [f"{place}: ...{found.string[max(0, found.start() - 60) : found.end() + 30]!r}"
            for place, text in places.items() for found in pattern.finditer(text)]  # fmt: skip


def objects(kubectl: Kubectl) -> dict[str, str]:
    """All objects of a namespace, with managed fields and annotations; the Secrets of this test are left out."""
    kinds = kubectl("api-resources", "--verbs=list", "--namespaced=true", "-o", "name").split()
    asked = ",".join(kind for kind in kinds if kind != "secrets")
    text = kubectl("get", asked, "-o", "json", "--show-managed-fields", check=False)
    assert f'"name": "{DETECTOR}"' in text or kubectl.namespace == driver.SYSTEM_NAMESPACE
    found = [item for item in kubectl.items("secrets") if item["metadata"]["name"] not in SECRETS]
    decoded = [base64.b64decode(value).decode("latin-1") for item in found for value in item.get("data", {}).values()]
    return {f"objects of {kubectl.namespace}": text, f"other Secrets of {kubectl.namespace}": "\n".join(decoded)}


def cluster_objects() -> dict[str, str]:
    """All objects without a namespace but the schemas, megabytes that the operator does not write."""
    kinds = driver.kubectl("api-resources", "--verbs=list", "--namespaced=false", "-o", "name").split()
    asked = ",".join(kind for kind in kinds if not kind.startswith(("customresourcedefinitions", "componentstatuses")))
    return {"objects of the cluster": driver.kubectl("get", asked, "-o", "json", "--show-managed-fields", check=False)}


def logs(kubectl: Kubectl) -> dict[str, str]:
    """What every container printed, now and before it last started."""
    found = {}
    for pod in kubectl.items("pods"):
        name, status = pod["metadata"]["name"], pod["status"]
        component = pod["metadata"].get("labels", {}).get(names.LABEL_COMPONENT, "operator")
        found[f"log of {component} {name}"] = kubectl("logs", name, "--all-containers", check=False)
        for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            if container["restartCount"] and "terminated" in container.get("lastState", {}):
                text = kubectl("logs", name, "-c", container["name"], "--previous", check=False)
                found[f"earlier log of {component} {name} {container['name']}"] = text
    return found


GO2RTC_PATHS = ("/api", "/api/streams", "/api/config", "/api/log", "/api/exit", "/api/schemes", "/api/ffmpeg")
ASK = """
import urllib.request, urllib.error, sys
for path in sys.argv[1:]:
    try:
        answer = urllib.request.urlopen("http://127.0.0.1:1985" + path, timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    print(path, answer.status, answer.read().decode())
"""
FILES = """
import pathlib
for path in pathlib.Path("/run/go2rtc/credentials").iterdir():
    print(path, path.read_text())
"""


def in_container(kubectl: Kubectl, container: str, program: str, *arguments: str) -> str:
    pod = f"deployment/{names.media(DETECTOR)}"
    return kubectl("exec", pod, "-c", container, "--", "python", "-c", program, *arguments)


def go2rtc(kubectl: Kubectl) -> dict[str, str]:
    """What go2rtc's own API says to its only client."""
    text = in_container(kubectl, names.CONTAINER_MEDIA_CONFIG, ASK, *GO2RTC_PATHS)
    parts = re.split(r"^(?=/api\S* \d+ )", text, flags=re.MULTILINE)
    return {f"go2rtc {part.split()[0]}": part for part in parts if part.strip()}


def http(site: Kubectl, operator: Kubectl) -> dict[str, str]:
    """What the pods serve to anybody, and the detector on loopback."""
    asked = {
        "detector": (
            site,
            f"deployment/{names.triton(DETECTOR)}",
            names.PORT_DETECTOR,
            ("/state", "/metrics", "/healthz"),
        ),
        "events": (
            site,
            f"deployment/{names.triton(DETECTOR)}",
            names.PORT_DETECTOR_EVENTS,
            ("/snapshot/address.json",),
        ),
        "triton": (site, f"deployment/{names.triton(DETECTOR)}", names.PORT_TRITON_METRICS, ("/metrics",)),
        "media": (
            site,
            f"deployment/{names.media(DETECTOR)}",
            names.PORT_GO2RTC_API,
            ("/state", "/metrics", "/api/streams"),
        ),
        "operator": (operator, "deployment/edgedetector", 9090, ("/metrics", "/healthz")),
    }
    found = {}
    for name, (kubectl, target, port, paths) in asked.items():
        with forward(kubectl.namespace, target, port) as base:
            for path in paths:
                try:
                    found[f"{name} {path}"] = get(base + path).decode()
                except OSError as error:
                    found[f"{name} {path}"] = str(error)
    return found
