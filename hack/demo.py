"""`make demo`: from a bare machine to boxed pedestrians on a real cluster.

Detections come first; metrics-server and Prometheus, which nothing in them waits for, are built after them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import cluster
from forward import forward, get, serving_pod
from stages import ROOT, Runner, Stage, StageError, main, say

BUDGET_SECONDS = 1800.0
IMAGES = ("operator", "detector", "triton-cpu", "go2rtc", "camera")
NAMESPACE = cluster.DEMO_NAMESPACE
DETECTOR = "yard"
PICTURE = ROOT / "build" / "demo.jpg"
READY_SECONDS = 180.0
PEOPLE = 4  # in the picture, if so many show up: the video has 3.6 on average


def prepare_stages() -> list[Stage]:
    """Stages that build what the node and the demo are made of and start the node: also what the tests start with."""
    python = sys.executable
    node = str(cluster.NODE / "build.py")
    if cluster.existing():
        # Whether the cluster may be used is settled before anything is built for it.
        return [
            Stage("cluster", cluster.create, 10),
            Stage("images", [python, "images/build.py", *IMAGES], 1200, needs=("cluster",)),
        ]
    return [
        # `pause` in the same go: else the cluster would wait for whatever the images have compiled by then.
        Stage("kubernetes", [python, node, "pause", "node"], 1200),
        Stage("images", [python, "images/build.py", *IMAGES], 1200),
        Stage("cluster", cluster.create, 120, needs=("kubernetes",)),
    ]


def apply_demo(namespace: str = NAMESPACE) -> None:
    """Apply camera, model and EdgeDetector."""
    names = cluster.images("camera")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace_object(namespace)))
    rendered = cluster.kubectl("kustomize", str(ROOT / "demo")).replace("edgedetector/camera:demo", names["camera"])
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--namespace", namespace, "-f", "-", stdin=rendered)


def wait_ready(namespace: str = NAMESPACE, name: str = DETECTOR, seconds: float = READY_SECONDS) -> None:
    """Wait until detections flow.

    Raises
    ------
    StageError
        After `seconds`; the message holds the conditions.
    """
    done = subprocess.run(
        [cluster.build("kubectl"), "wait", "--for=condition=Ready", f"edgedetector/{name}",
         "--namespace", namespace, f"--timeout={seconds:.0f}s"],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}, check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise StageError("not Ready in time:\n" + _conditions(namespace, name) + _pods(namespace))


def show() -> None:
    """Print what a person wants to see: the resource, a line a camera, the picture."""
    say("\n$ kubectl get edgedetectors --all-namespaces")
    say(cluster.kubectl("get", "edgedetectors", "--all-namespaces").rstrip())
    detector = json.loads(cluster.kubectl("get", "edgedetector", DETECTOR, "--namespace", NAMESPACE, "-o", "json"))
    boxes = save_picture()
    say("")
    for camera in detector["status"].get("cameras", []):
        say(f"camera {camera['name']}: {camera['state']}, {boxes.get(camera['name'], 0)} people in the picture below")
    say(f"picture: {PICTURE.relative_to(ROOT)}")
    say(
        'next: eval "$(make -s environment)"; kubectl edgedetector status yard -n demo; '
        "kubectl edgedetector view yard -n demo shows it live; make down ends it"
    )


def save_picture(seconds: float = 20.0) -> dict[str, int]:
    """Save the annotated frame with the most people that each camera shows within `seconds`; camera -> boxes in it."""
    detector = json.loads(cluster.kubectl("get", "edgedetector", DETECTOR, "--namespace", NAMESPACE, "-o", "json"))
    PICTURE.parent.mkdir(exist_ok=True)
    counts: dict[str, int] = {}
    for camera in [camera["name"] for camera in detector["spec"]["cameras"]]:
        counts[camera] = 0
        with forward(NAMESPACE, serving_pod(NAMESPACE, DETECTOR, camera), 9091) as base:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and counts[camera] < PEOPLE:
                boxes = len(json.loads(get(f"{base}/snapshot/{camera}.json"))["detections"])
                if boxes > counts[camera]:
                    PICTURE.write_bytes(get(f"{base}/snapshot/{camera}.jpg"))
                    counts[camera] = boxes
                time.sleep(0.2)  # polls with a deadline: people walk into the picture and out of it
    return counts


def namespace_object(name: str) -> dict[str, object]:
    """Return a Namespace that enforces Pod Security `restricted`."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _conditions(namespace: str, name: str) -> str:
    template = "{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{'\\n'}{end}"
    return cluster.kubectl(
        "get", "edgedetector", name, "--namespace", namespace, f"-o=jsonpath={template}", check=False
    )


def _pods(namespace: str) -> str:
    return cluster.kubectl("get", "pods", "--namespace", namespace, "-o", "wide", check=False)


def demo() -> int:
    """Run the whole."""
    runner = Runner("make demo", budget=BUDGET_SECONDS)
    say("The first run compiles Kubernetes: about 8 minutes to detections on 2 cores, 8 more for monitoring.")

    def load() -> None:
        cluster.install(cluster.load_images(*IMAGES))

    def body() -> None:
        last = prepare_stages()[-1].name
        runner.run([
            *prepare_stages(),
            Stage("operator", load, 240, needs=("images", last)),
            Stage("demo", apply_demo, 60, needs=("operator",)),
            Stage("detections", wait_ready, READY_SECONDS + 10, needs=("demo",)),
        ])  # fmt: skip
        show()
        say(f"\ndetections after {runner.elapsed:.0f} s; now metrics-server and Prometheus (MONITORING=0: without)")
        if os.environ.get("MONITORING") != "0" and not cluster.existing():
            runner.run([Stage("monitoring", [sys.executable, str(cluster.NODE / "monitoring.py"), "up"], 1200)])

    return main(runner, body)


if __name__ == "__main__":
    sys.exit(demo())
