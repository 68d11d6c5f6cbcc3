"""Faults that alerts are about: what is wrong in a namespace of detectors, who does it, and how it is mended."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import api
import card
import cluster as driver
import misbehaving
import onnode
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl
from test_denglin_ks20 import DETECTOR, ENGINE, PROFILE

Object = dict[str, Any]

NAMESPACE: Final = "alerts-site"
OWN_PROFILE: Final = NAMESPACE
"""A copy of the profile `cpu` with an emulated device's exporter."""
CARD_PROFILE: Final = "alerts-card"
"""A copy of the shipped profile of the KS20 that any node serves, with an emulated device of its own."""
NOTHING: Final[Object] = {"requests": {"cpu": "0"}}
"""What all of this asks for: it stands beside whatever else the node has."""
CAMERAS: Final = misbehaving.Orders(NAMESPACE, "unruly")
KILL_SECONDS: Final = 12.0
"""Between two ends of go2rtc: after less its own container would leave it to the kubelet, and its back-off."""
CALM: Final = {"mode": "Off", "objective": {"latency": {"percentile": 99, "max": "5s"}}}
"""An objective that a node which is busy with all of this keeps."""

# An object comes and goes, so that there is always something to report.
_BLINKING: Final = "np.full((count, 1), int(__import__('time').time()) // 4 % 2, np.int32)"
_SLOW: Final = "        __import__('time').sleep(0.2)\n        count = len(images)\n"

_RECEIVER: Final = """
import http.server, os

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403 if os.path.exists("/tmp/closed") else 204)
        self.end_headers()

http.server.ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
"""
# Stands in for node-exporter, whose name and units these are; the figures are the kernel's own, of the whole node.
_NODE_EXPORTER: Final = """
import http.server

MODES = "user nice system idle iowait irq softirq steal".split()

class Exporter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = ["# TYPE node_cpu_seconds_total counter"]
        with open("/proc/stat") as lines:
            processors = [line.split() for line in lines if line.startswith("cpu") and line[3].isdigit()]
        for name, *ticks in processors:
            for mode, count in zip(MODES, ticks):
                said.append(f'node_cpu_seconds_total{{cpu="{name[3:]}",mode="{mode}"}} {int(count) / 100}')
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\\n".join([*said, ""]).encode())

http.server.ThreadingHTTPServer(("", 8080), Exporter).serve_forever()
"""
_BURNER: Final = """
import multiprocessing

def burn():
    while True:
        pass

for _ in range(multiprocessing.cpu_count()):
    multiprocessing.Process(target=burn).start()
"""
_CROWD: Final = f"""
import threading, time
import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

def ask():
    client = grpc.InferenceServerClient("{names.triton("busy")}:{names.PORT_TRITON_GRPC}")
    image = grpc.InferInput("image", [1, 48, 64, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, 48, 64, 3), np.uint8))
    while True:
        try:
            client.infer("any", [image])
        except InferenceServerException:
            time.sleep(1)

for _ in range(32):
    threading.Thread(target=ask).start()
"""
_HOT_AND_SLOW: Final = {
    "thermal.ambient": 95.0,
    "thermal.time_constant": 1000.0,
    "compute.fp16.base": 500.0,
    "utilisation.compute": 1.0,
}
"""A room at 95 degrees Celsius, and half a second an execution, of which there are five a second."""
_NO_IMAGE: Final = "edgedetector/none:1"


@dataclass(frozen=True)
class Fault:
    """What happens, the alerts that it is about with labels of theirs, and how it is mended."""

    detector: str
    alerts: Mapping[str, Mapping[str, str]]
    harm: Callable[[], object]
    mend: Callable[[], object]


def detector(name: str, *cameras: Object, model: str = "any-model", **spec: Any) -> Object:
    """Return a detector of one replica, which is scraped as much oftener as its rules are hastened."""
    found = sites.detector(
        name, *cameras, **{"tuning": CALM, "scaling": {"maxReplicas": 1}, "monitoring": {"scrapeInterval": "1s"}} | spec
    )
    found["spec"]["models"][0]["source"] = {"configMap": {"name": model}}
    found["spec"]["resources"] = dict.fromkeys(("triton", "detector", "media"), NOTHING)
    return found


def detectors() -> list[Object]:
    """Return all of them; that of the emulated card is the KS20 test's."""
    gate = {"name": "gate", "url": CAMERAS.url("gate")}
    frozen = {"name": "frozen", "url": CAMERAS.url("frozen")}
    twice = {"frameRate": {"target": 2, "minimum": 1}}
    emulated = copy.deepcopy(DETECTOR)
    emulated["metadata"] = {"name": "card"}
    emulated["spec"] |= {
        "acceleratorProfile": CARD_PROFILE,
        "scaling": {"maxReplicas": 1},
        "monitoring": {"scrapeInterval": "1s"},
        "tuning": CALM,
        "resources": dict.fromkeys(("triton", "detector", "media"), NOTHING),
    }
    emulated["spec"]["cameras"][0]["url"] = CAMERAS.url("gate")
    return [
        detector(
            "yard", gate, frozen, profile=OWN_PROFILE, model="blinking-model",
            outputs={"webhook": {"url": "http://receiver:8080/events"}},
        ),
        detector(
            "busy", gate | twice, model="slow-model",
            tuning={
                "mode": "Off",
                "objective": {"latency": {"percentile": 99, "max": "1s"}},
                "headroom": {"cpu": "0%"},  # what else runs here presses on no camera
            },
            degradation={"steps": ["ReduceFrameRate"], "reactAfter": "1s", "recoverAfter": "5s"},
        ),
        detector("dark", gate),
        detector("empty", gate, model="late-model"),
        emulated,
    ]  # fmt: skip


def profiles(exporter_image: str) -> list[Object]:
    """Return both: in the first an exporter shows an emulated device beside Tritons on the CPU."""
    plain, emulated = _profile("cpu", OWN_PROFILE), _profile(PROFILE, CARD_PROFILE)
    plain["spec"]["capabilities"].append({"name": "hardwareDecode", "supported": True, "verified": True})
    metrics = [{"name": "utilization", "metric": "DCGM_FI_DEV_GPU_UTIL", "unit": "percent"}]
    plain["spec"]["exporter"] = {"image": exporter_image, "port": 9400, "metrics": metrics, "resources": NOTHING}
    for field_ in ("resource", "runtimeClassName", "nodeSelector"):
        emulated["spec"].pop(field_, None)
    emulated["spec"]["exporter"]["resources"] = NOTHING
    device = f"{names.exporter(CARD_PROFILE)}.{driver.SYSTEM_NAMESPACE}.svc:{names.PORT_EXPORTER}"
    emulated["spec"]["triton"]["environment"] = [{"name": "EMULATED_ACCELERATOR_ADDRESS", "value": device}]
    return [plain, emulated]


def _profile(source: str, name: str) -> Object:
    spec = json.loads(driver.kubectl("get", "acceleratorprofile", source, "-o", "json"))["spec"]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": name},
        "spec": spec,
    }


def beside(images: Mapping[str, str]) -> list[Object]:
    """Return what the detectors need: models, cameras, a receiver of reports and figures of the node."""
    python = images["detector"]
    usual = sites.model()["data"]["model.py"]
    blinking = usual.replace("np.ones((count, 1), np.int32)", _BLINKING)
    slow = usual.replace("        count = len(images)\n", _SLOW)
    models = {"any-model": usual, "blinking-model": blinking, "slow-model": slow}
    endpoint = {
        "port": "http",
        "interval": "1s",
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
    }
    return [
        *(_config_map(name, **{"model.py": text}) for name, text in models.items()),
        _config_map("late-model", readme="no model"),
        _config_map("engine", **{"people.engine": ENGINE}),
        misbehaving.program(),
        *_asking_nothing(*misbehaving.pod(python, CAMERAS.name)),
        *_server(python, "receiver", _RECEIVER),
        *_server(python, "node-exporter", _NODE_EXPORTER),
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": {"name": "node-exporter"},
            "spec": {"selector": {"matchLabels": {"app": "node-exporter"}}, "endpoints": [endpoint]},
        },
    ]


@dataclass
class Killer:
    """Ends go2rtc of a detector again and again until it is told to stop."""

    detector: str
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        (media,) = sites.pods(NAMESPACE, self.detector, names.COMPONENT_MEDIA)
        while not self._stop.is_set():
            onnode.kill(media, "^[^ ]*go2rtc -config")
            self._stop.wait(KILL_SECONDS)


def faults(kubectl: Kubectl, images: Mapping[str, str]) -> list[Fault]:
    """Return what befalls the detectors, all at once."""
    python, killer = images["detector"], Killer("empty")

    def run(name: str, program: str, **labels: str) -> None:
        kubectl.apply(_pod(python, name, program, labels))

    def gone(name: str) -> None:
        kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")

    def closed(command: str) -> None:
        kubectl("exec", "deployment/receiver", "--", *command.split(), "/tmp/closed")

    silent, sink = {"camera": "frozen"}, {"sink": "webhook"}
    hot: Mapping[str, Mapping[str, str]] = {"EdgeDetectorDeviceHot": {}, "EdgeDetectorDeviceBusy": {}}
    crowded = {"QueueGrowing": {"model": "any"}, "Degraded": {"camera": "gate"}, "LatencyFastBurn": {}}
    nowhere = {"edgedetector.dev/alerts": "nowhere"}
    return [
        Fault(
            "dark",
            {"EdgeDetectorDown": {}, "EdgeDetectorDetectionFastBurn": {}, "EdgeDetectorDetectionSlowBurn": {}},
            lambda: sites.change(NAMESPACE, "dark", nodeSelector=nowhere),
            lambda: sites.change(NAMESPACE, "dark", nodeSelector=None),
        ),
        Fault(
            "empty",
            {"EdgeDetectorModelNotLoaded": {"model": "any"}},
            lambda: None,  # from the start
            lambda: kubectl.apply(_config_map("late-model", **sites.model()["data"])),
        ),
        Fault("empty", {"EdgeDetectorMediaRestarting": {}}, killer.start, killer.stop),
        Fault("card", hot, lambda: _configure(**_HOT_AND_SLOW), _configure),
        Fault(
            "busy",
            {f"EdgeDetector{name}": labels for name, labels in {**crowded, "LatencySlowBurn": {}}.items()},
            lambda: run("crowd", _CROWD, **{names.LABEL_TRITON_CLIENT: "true"}),
            lambda: gone("crowd"),
        ),
        Fault(
            "yard",
            {"EdgeDetectorCameraSilent": silent},
            lambda: CAMERAS.play("frozen", "nothing"),
            lambda: CAMERAS.play("frozen", "plain"),
        ),
        Fault("yard", {"EdgeDetectorOutputLosing": sink}, lambda: closed("touch"), lambda: closed("rm -f")),
        Fault(
            "yard",
            {"EdgeDetectorDecoderFallback": {"camera": "gate"}, "EdgeDetectorExporterSilent": {}},
            lambda: _edit(decoding={"hardware": "vaapi"}, exporter={"image": _NO_IMAGE}),
            lambda: _edit(decoding=None, exporter={"image": images["emulated-exporter"]}),
        ),
        Fault("yard", {"EdgeDetectorHighCPU": {}}, lambda: run("burner", _BURNER), lambda: gone("burner")),
    ]


def _configure(**changes: float) -> None:
    card.configure(CARD_PROFILE, device="ks20", set=changes)


def _edit(**spec: Any) -> None:
    api.patch(kinds.ACCELERATOR_PROFILE, "", OWN_PROFILE, {"spec": spec})


def _config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _server(image: str, name: str, program: str) -> tuple[Object, Object]:
    """Return Deployment and Service of a program that listens on 8080."""
    deployment, service = sites.camera(image, name)
    template = deployment["spec"]["template"]["spec"]
    template["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    template["containers"][0] |= {
        "command": ["python", "-c", program],
        "ports": [{"name": "rtsp", "containerPort": 8080}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    service["metadata"]["labels"] = {"app": name}
    service["spec"]["ports"] = [{"name": "http", "port": 8080, "targetPort": 8080}]
    return _asking_nothing(deployment, service)


def _asking_nothing(deployment: Object, service: Object) -> tuple[Object, Object]:
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = NOTHING
    return deployment, service


def _pod(image: str, name: str, program: str, labels: Mapping[str, str]) -> Object:
    """Return a pod that runs a program; others get their share of the processors before it."""
    deployment, _ = _asking_nothing(*sites.camera(image, name))
    spec = deployment["spec"]["template"]["spec"]
    container = spec["containers"][0]
    container["command"] = ["python", "-c", program]
    del container["ports"], container["readinessProbe"]
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
