"""The demo: what the detector says of the video is what the same model finds in it offline."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import cluster as driver
import frames
import sites
from edgedetector.api import names
from forward import forward, get, serving_pod
from harness import Kubectl, poll
from stages import ROOT

WATCH_SECONDS = 180.0
TARGET_SHARE = 0.95


@pytest.fixture(scope="session")
def people() -> Any:
    """The demo's model file as a module: the same HOG, without Triton."""
    specification = importlib.util.spec_from_file_location("people_model", ROOT / "demo" / "people" / "model.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recorded(demo: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray[Any, Any]]:
    """Every frame of the camera's video, decoded here: digest -> RGB uint8 [576, 768, 3]."""
    path: Path = tmp_path_factory.mktemp("video") / "vtest.mp4"
    command = [driver.build("kubectl"), "--kubeconfig", driver.kubeconfig(), "--namespace", demo.namespace]
    with path.open("wb") as sink:
        subprocess.run(
            [*command, "exec", "deployment/camera", "--", "cat", "/videos/vtest.mp4"], stdout=sink, check=True
        )
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) > 700, "the whole surveillance video has 795 frames"
    return {hashlib.blake2b(frame.tobytes(), digest_size=16).hexdigest(): frame for frame in frames}


def boxes_of(event: dict[str, Any]) -> list[tuple[float, ...]]:
    """The event's boxes in a fixed order, to a hundredth of a pixel."""
    return sorted(tuple(round(float(value), 2) for value in found["box"]) for found in event["detections"])


def test_every_inferred_frame_has_the_boxes_that_the_same_model_finds_offline(
    demo: Kubectl, recorded: dict[str, np.ndarray[Any, Any]], people: Any
) -> None:
    detector = demo.get("edgedetector", "yard")
    camera = detector["spec"]["cameras"][0]
    taken: list[dict[str, Any]] = []
    offline: dict[str, Future[list[tuple[float, ...]]]] = {}

    def boxes_offline(digest: str) -> list[tuple[float, ...]]:
        found, _scores = people.detect(recorded[digest])[:2]
        return sorted(tuple(round(float(value), 2) for value in box) for box in found)

    # One at a time and beside the watching, which takes its time anyway; pods have the first claim to the processor.
    with ThreadPoolExecutor(1) as pool:

        def take(event: dict[str, Any]) -> None:
            taken.append(event)
            digest = event["frame"].get("digest")
            if digest in recorded and digest not in offline:
                offline[digest] = pool.submit(boxes_offline, digest)

        with frames.follow(demo.namespace, "yard", take, digest=True):
            poll("a first event", lambda: len(taken), bool)
            begin = len(taken)
            time.sleep(WATCH_SECONDS)  # the point of it: this long, whatever happens
            seen = [e for e in taken[begin:] if e["camera"] == camera["name"] and e["frame"].get("digest")]

    unknown = [event["frame"]["digest"] for event in seen if event["frame"]["digest"] not in recorded]
    assert unknown == [], "frames that are not in the video"
    different = [event for event in seen if boxes_of(event) != offline[event["frame"]["digest"]].result()]
    assert different == []
    assert sum(len(boxes.result()) for boxes in offline.values()) > len(offline), (
        "about 3.6 people a frame walk through the video"
    )

    expected = camera["frameRate"]["target"] * WATCH_SECONDS
    print(f"{len(seen)} frames inferred of {expected:.0f} at the target rate, {len(offline)} different ones, all equal")
    assert len(seen) >= TARGET_SHARE * expected


def is_ready(detector: dict[str, Any]) -> bool:
    """Ready, and for the present generation."""
    status = detector["status"]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])
    return ready and bool(status["observedGeneration"] == detector["metadata"]["generation"])


def test_another_video_gives_other_detections(
    demo: Kubectl, recorded: dict[str, np.ndarray[Any, Any]], people: Any
) -> None:
    before = demo.get("edgedetector", "yard")
    other = json.loads(json.dumps(before["spec"]["cameras"]).replace("/vtest", "/mirrored"))
    assert other != before["spec"]["cameras"]
    pods = sites.marks(demo.namespace, "yard", names.COMPONENT_TRITON)
    demo("patch", "edgedetector", "yard", "--type=merge", "-p", json.dumps({"spec": {"cameras": other}}))
    try:
        taken: list[dict[str, Any]] = []

        def strangers() -> list[dict[str, Any]]:
            return [event for event in taken if (digest := event["frame"].get("digest")) and digest not in recorded]

        with frames.follow(demo.namespace, "yard", taken.append, digest=True):
            seen = poll("people in the other video", strangers, lambda batch: len(batch) >= 5 and _people(batch))
        known = {
            tuple(boxes_of({"detections": [{"box": b} for b in people.detect(f)[0]]}))
            for f in list(recorded.values())[::40]
        }
        assert all(tuple(boxes_of(event)) not in known for event in seen if event["detections"])
    finally:
        back = json.dumps({"spec": {"cameras": before["spec"]["cameras"]}})
        demo("patch", "edgedetector", "yard", "--type=merge", "-p", back)
        poll("the first video again", lambda: demo.get("edgedetector", "yard"), is_ready)
    after = sites.marks(demo.namespace, "yard", names.COMPONENT_TRITON)
    assert sites.touched(pods, after) == {}, "a camera change restarts no Triton pod"


def _people(batch: list[dict[str, Any]]) -> bool:
    return any(event["detections"] for event in batch)


def test_the_annotated_picture_comes_from_the_live_stream(demo: Kubectl, tmp_path: Path) -> None:
    with forward(demo.namespace, serving_pod(demo.namespace, "yard", "gate"), 9091) as base:
        boxes = poll(
            "somebody in the picture",
            lambda: json.loads(get(f"{base}/snapshot/gate.json")),
            lambda frame: len(frame["detections"]) > 0,
        )
        path = tmp_path / "gate.jpg"
        path.write_bytes(get(f"{base}/snapshot/gate.jpg"))
    with av.open(str(path)) as picture:
        frame = next(picture.decode(video=0))
    assert (frame.width, frame.height) == (768, 576)
    assert all(found["label"] == "person" for found in boxes["detections"])
