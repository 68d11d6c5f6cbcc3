"""Post-processing in a real tritonserver, from resource to boxes: planned, staged, loaded and asked as in a pod.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
import pytest
from bench.calibration import tritonserver
from tests.unit.detector.test_decoders import ambiguous, corners, plain_yolo
from tests.unit.plan import scenarios

from edgedetector.api import names
from edgedetector.api.dataplane import ModelState, ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.batching import Outcome
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths, Repository
from edgedetector.detector.run import capacities
from edgedetector.detector.serving import Serving
from edgedetector.plan import serving_config
from edgedetector.plan.dataplane import detector_config
from edgedetector.triton.client import Client
from edgedetector.triton.errors import RejectedError
from edgedetector.triton.shared_memory import Regions

pytestmark = pytest.mark.tritonserver

PATIENCE = 120.0  # seconds; far more than anything here takes
CLASSES, ANCHORS, SIZE = 3, 400, 64
CONFIDENCE, OVERLAP = 0.3, 0.5
CAMERAS = 6

# What every test makes of a frame's grey, here and in the model.
RAW = f"""
import numpy as np

def raw(seed):
    random = np.random.default_rng(int(seed))
    out = np.empty(({4 + CLASSES}, {ANCHORS}), np.float32)
    out[:2] = random.integers(0, {SIZE} * 8, (2, {ANCHORS})) / 8
    out[2:4] = random.integers(16, 24 * 8, (2, {ANCHORS})) / 8
    out[4:] = random.permutation({CLASSES * ANCHORS}).reshape({CLASSES}, {ANCHORS}) / {CLASSES * ANCHORS} * 0.45
    return out.astype(np.DTYPE)
"""
MODEL = (
    RAW
    + """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        images = [pb.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("output0", np.stack([raw(one[0, 0, 0]) for one in some]))])
                for some in images]
"""
)
# A post-processing of the user's own: the best anchor alone, which suppression is not.
BEST = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "output0").as_numpy()) for request in requests]

    def answer(self, raw):
        raw = raw.astype(np.float32)
        best = raw[:, 4:].max(axis=1).argmax(axis=1)
        one = np.take_along_axis(raw, best[:, None, None], axis=2)[:, :, 0]
        x, y, w, h = one[:, :4].T
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)[:, None]
        return pb.InferenceResponse([
            pb.Tensor("boxes", boxes.astype(np.float32)),
            pb.Tensor("scores", one[:, 4:].max(axis=1, keepdims=True)),
            pb.Tensor("classes", one[:, 4:].argmax(axis=1)[:, None].astype(np.int32))])
"""
BEST_OUTPUTS = [
    {"name": "boxes", "dims": [1, 4], "dataType": "FP32"},
    {"name": "scores", "dims": [1], "dataType": "FP32"},
    {"name": "classes", "dims": [1], "dataType": "INT32"},
]


def raw(seed: int, dtype: str) -> np.ndarray:
    names_: dict[str, Any] = {}
    exec(RAW.replace("DTYPE", dtype), names_)  # noqa: S102 - the text above
    found: np.ndarray = names_["raw"](seed)
    return found


def specification(kind: str, post: dict[str, Any] | None, instances: int = 1, **more: Any) -> dict[str, Any]:
    model = {
        "name": "yolo",
        "source": {"configMap": {"name": "yolo-model"}},
        "modelFile": "model.py",
        "maxBatchSize": 8,
        "inputs": [{"name": "image", "dims": [SIZE, SIZE, 3], "dataType": "UINT8"}],
        "outputs": [{"name": "output0", "dims": [4 + CLASSES, ANCHORS], "dataType": kind}],
        "decoder": {
            "type": "yolov8",
            "labels": [f"c{number}" for number in range(CLASSES)],
            "confidence": CONFIDENCE,
            "iou": OVERLAP,
        },
        "warmup": {"enabled": False},
        **({"postProcessing": post} if post else {}),
    }
    return {"acceleratorProfile": "cpu", "models": [model], "serving": {"instances": instances}, **more}


class Pod:
    """Triton, and beside it the part of the detector that keeps its models as they are wanted."""

    def __init__(self, root: Path, address: str) -> None:
        self.paths = Paths.under(root)
        self.client = Client(address)
        self.serving = Serving(self.paths, self.client, pod="me")
        self.model: Model

    def write(self, spec: dict[str, Any]) -> ServingConfig:
        """Write what the operator would."""
        wanted = scenarios.detector("yard", spec)
        profile = scenarios.PROFILES["cpu"]
        accepted = serving_config(wanted, profile)
        self.paths.serving.mkdir(parents=True, exist_ok=True)
        (self.paths.serving / names.FILE_ACCEPTED).write_text(to_json(accepted))
        (config,) = detector_config(wanted, profile, scenarios.SETTINGS).models
        self.model = Model(config)
        return accepted

    def take(self) -> None:
        """Work until the pod serves what is written."""
        deadline = time.monotonic() + PATIENCE
        wanted = self.serving._accepted.read()
        while not all(state.state == "Ready" and state.serving_id == wanted.id for state in self.serving.states) or {
            state.name for state in self.serving.states
        } != {model.name for model in wanted.models}:
            assert time.monotonic() < deadline, self.serving.states
            self.serving.round()
            threading.Event().wait(0.05)

    def state(self, model: str) -> ModelState:
        (found,) = [state for state in self.serving.states if state.name == model]
        return found

    def instances(self, model: str) -> int:
        return sum(group.count for group in self.client.config(model).instance_group)


@contextmanager
def pod(directory: Path, spec: dict[str, Any], code: dict[str, str]) -> Iterator[Pod]:
    """A pod that starts with a specification; `code` by the name of the model in Triton."""
    root = directory / "pod"
    paths = Paths.under(root)
    for path in (paths.models, directory / "triton"):
        path.mkdir(parents=True)
    for name, text in code.items():
        (paths.sources / name).mkdir(parents=True)
        (paths.sources / name / "model.py").write_text(text)
    with tritonserver.running(
        tritonserver.prepare(), directory / "triton", paths.models, "--disable-auto-complete-config"
    ) as server:
        found = Pod(root, server.grpc)
        found.write(spec)
        assert prepare(paths) == 0
        found.take()
        yield found
        found.client.close()


class Owner:
    """A camera that remembers what was found in its frames."""

    confidence: float | None = None

    def __init__(self, confidence: float | None = None) -> None:
        self.confidence = confidence
        self.results: list[tuple[int, Decoded]] = []
        self.errors: list[Exception] = []
        self.fates: list[Outcome] = []

    def found(self, shot: Shot, _model: str, decoded: Decoded, _seconds: float) -> None:
        self.results.append((shot.frame.pts or 0, decoded))

    def failed(self, _shot: Shot, _model: str, error: Exception) -> None:
        self.errors.append(error)

    def settled(self, _shot: Shot, fate: Outcome) -> None:
        self.fates.append(fate)


class Traffic:
    """Frames of some cameras, one after the other for each: the next goes when the last is settled."""

    def __init__(self, pod: Pod, owners: dict[str, Owner]) -> None:
        self.pod, self.owners = pod, owners
        self.stop = threading.Event()
        self.dispatcher = Dispatcher(
            pod.client,
            regions=Regions(),
            start=lambda _name, work: threading.Thread(target=work, daemon=True).start(),
            stage=lambda _name: _nothing(),
            clock=time.monotonic,
        )
        self.configure()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def configure(self) -> None:
        """Follow the instances, as the detector does every second."""
        self.dispatcher.configure(
            {"yolo": self.pod.model}, capacities(self.pod.serving.wanted), dict.fromkeys(self.owners, 0)
        )

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            before = {name: len(owner.fates) for name, owner in self.owners.items()}
            for at, (name, owner) in enumerate(self.owners.items()):
                shot = Shot(owner, picture((number * CAMERAS + at) % 256), 1)
                self.dispatcher.offer(name, ["yolo"], shot, arrived=time.monotonic(), wait=PATIENCE)
            wait(lambda before=before: all(len(o.fates) > before[n] for n, o in self.owners.items()))

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        self.dispatcher.close()

    def more(self, count: int = 10) -> None:
        """Wait for so many further results of every camera."""
        before = {name: len(owner.fates) for name, owner in self.owners.items()}
        wait(lambda: all(len(owner.fates) >= before[name] + count for name, owner in self.owners.items()))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def picture(grey: int) -> Frame:
    """A frame of one grey, which is its time stamp too."""
    pixels = np.full((SIZE, SIZE, 3), grey, np.uint8)
    return Frame(av.VideoFrame.from_ndarray(pixels, format="rgb24"), grey, time.monotonic(), time.time())


def expected(seed: int, dtype: str) -> list[tuple[float, ...]]:
    """What plain loops make of the model's output: class, score, corners in the frame."""
    rows = plain_yolo(raw(seed, dtype).T.astype(float).tolist(), objectness=False)
    clipped = [(*(min(max(edge, 0.0), SIZE) for edge in row[:4]), *row[4:]) for row in rows]
    return sorted((row[5], row[4], *row[:4]) for row in clipped if row[2] > row[0] and row[3] > row[1])


def decidable(seed: int, dtype: str) -> bool:
    """Whether rounding decides nothing for this output; `ambiguous` is told a score's least distance."""
    anchors = raw(seed, dtype).T.astype(float).tolist()
    rows = [(*corners(*a[:4]), max(a[4:]), a[4:].index(max(a[4:]))) for a in anchors if max(a[4:]) >= CONFIDENCE]
    return not ambiguous(rows)


def as_rows(decoded: Decoded) -> list[tuple[float, ...]]:
    return sorted((int(one.label[1:]), one.score, *one.box) for one in decoded.detections)


NMS = {"builtin": "NMS"}


@pytest.mark.parametrize(("kind", "dtype"), [("FP32", "float32"), ("FP16", "float16")])
def test_at_1_2_and_4_instances_the_boxes_are_those_of_plain_loops_and_no_request_fails_on_the_way(
    tmp_path: Path, kind: str, dtype: str
) -> None:
    code = {"yolo": MODEL.replace("DTYPE", dtype)}
    owners = {f"camera-{number}": Owner() for number in range(CAMERAS)}
    with pod(tmp_path, specification(kind, NMS), code) as found, Traffic(found, owners) as traffic:
        asked = 0
        for instances, of_the_model in ((1, 1), (2, 1), (4, 2), (1, 1)):
            found.write(specification(kind, {**NMS, "instances": instances}, of_the_model))
            found.take()
            traffic.configure()
            traffic.more()
            assert found.instances("yolo+postprocessing") == instances
            assert found.instances("yolo") == of_the_model
            now = found.client.statistics("yolo+postprocessing").inference_count
            assert now > asked, "it counts on, so it was changed in place and never loaded anew"
            asked = now
    assert [error for owner in owners.values() for error in owner.errors] == []
    assert {fate for owner in owners.values() for fate in owner.fates} == {Outcome.SERVED}
    results = {seed: decoded for owner in owners.values() for seed, decoded in owner.results}
    sure = [seed for seed in results if decidable(seed, dtype)]
    assert len(sure) >= 20
    for seed in sure:
        assert np.array(as_rows(results[seed])) == pytest.approx(np.array(expected(seed, dtype)), abs=1e-4)
        assert len(results[seed].detections) > 5


def test_either_model_loaded_anew_and_one_that_does_not_load_cost_no_request(tmp_path: Path) -> None:
    code = {"yolo": MODEL.replace("DTYPE", "float32")}
    owners = {f"camera-{number}": Owner() for number in range(CAMERAS)}
    with pod(tmp_path, specification("FP32", NMS), code) as found, Traffic(found, owners) as traffic:
        traffic.more()
        for delay, overlap in (("1ms", OVERLAP), ("1ms", 0.6)):
            changed = specification("FP32", NMS, serving={"maxQueueDelay": delay})
            changed["models"][0]["decoder"]["iou"] = overlap
            found.write(changed)
            found.take()
            traffic.more()
        broken = found.write(changed)
        post = next(model for model in broken.models if model.builtin)
        bad = replace(post, config=post.config.replace('"python"', '"nosuch"'))
        models = tuple(bad if model is post else model for model in broken.models)
        (found.paths.serving / names.FILE_ACCEPTED).write_text(to_json(ServingConfig("broken", models)))
        wait(lambda: found.serving.round() or found.state(post.name).state == "Failed")
        assert "unable to find backend" in found.state(post.name).message
        traffic.more()
        assert found.state("yolo+pipeline").state == "Ready"
    assert [error for owner in owners.values() for error in owner.errors] == []
    assert {fate for owner in owners.values() for fate in owner.fates} == {Outcome.SERVED}


def test_it_finds_what_the_detector_finds_for_each_cameras_own_confidence(tmp_path: Path) -> None:
    cameras = [
        {"name": name, "url": f"rtsp://{name}/main", **({"confidence": of} if of else {})}
        for name, of in (("usual", None), ("lower", 0.2), ("higher", 0.4))
    ]
    code = {"yolo": MODEL.replace("DTYPE", "float32")}
    there = specification("FP32", NMS, cameras=cameras)
    here = Pod(tmp_path / "elsewhere", "127.0.0.1:1")
    here.write(specification("FP32", None, cameras=cameras))
    owners = {camera["name"]: Owner(camera.get("confidence")) for camera in cameras}
    with pod(tmp_path, there, code) as found, Traffic(found, owners) as traffic:
        traffic.more(5)
    for name, owner in owners.items():
        assert owner.results, name
        for seed, decoded in owner.results:
            mapping = here.model.prepare(np.zeros((SIZE, SIZE, 3), np.uint8))[1]
            outputs = {"output0": raw(seed, "float32")[np.newaxis]}
            (own,) = here.model.decode_batch(outputs, [mapping], [owner.confidence])
            assert decoded.detections == own.detections, f"{name} {seed}"


def test_raw_outputs_are_none_of_those_that_a_client_can_have(tmp_path: Path) -> None:
    code = {"yolo": MODEL.replace("DTYPE", "float32")}
    with pod(tmp_path, specification("FP32", NMS), code) as found:
        asked = found.model.config.served_as
        image = np.full((2, SIZE, SIZE, 3), 7, np.uint8)
        assert [output.name for output in found.client.config(asked).output] == list(found.model.outputs)
        assert "output0" not in found.model.outputs
        answer = found.client.infer(asked, {"image": image}, found.model.outputs)
        assert {name: array.shape for name, array in answer.items()} == {
            "boxes": (2, 1024, 4), "scores": (2, 1024), "classes": (2, 1024), "count": (2, 1),
        }  # fmt: skip
        with pytest.raises(RejectedError, match="unexpected inference output 'output0'"):
            found.client.infer(asked, {"image": image}, ["output0"])


def test_a_model_of_the_users_own_does_it_and_the_built_in_one_takes_its_place_and_goes(tmp_path: Path) -> None:
    own = {"source": {"configMap": {"name": "best"}}, "outputs": BEST_OUTPUTS, "instances": 2}
    code = {"yolo": MODEL.replace("DTYPE", "float32"), "yolo+postprocessing": BEST}
    spec = specification("FP32", own)
    spec["models"][0]["decoder"]["type"] = "none"
    owners = {"gate": Owner()}
    with pod(tmp_path, spec, code) as found:
        with Traffic(found, owners) as traffic:
            traffic.more(5)
        assert owners["gate"].errors == []
        for seed, decoded in owners["gate"].results:
            (best,) = decoded.detections
            assert best.score == pytest.approx(float(raw(seed, "float32")[4:].max()))
        found.write(specification("FP32", NMS))
        found.take()
        owners["gate"].results.clear()
        with Traffic(found, owners) as traffic:
            traffic.more(5)
        assert owners["gate"].errors == []
        assert any(len(decoded.detections) > 1 for _, decoded in owners["gate"].results)
        found.write(specification("FP32", None))
        found.take()
        assert {n for n, state in found.client.repository().items() if state == "READY"} == {"yolo"}
        assert Repository(found.paths).remembered() == {"yolo"}


def test_an_output_that_is_no_heads_is_said_in_the_detectors_words(tmp_path: Path) -> None:
    logits = {"yolo": MODEL.replace("DTYPE", "float32").replace("0.45", "7.25")}
    owners = {"gate": Owner()}
    with pod(tmp_path, specification("FP32", NMS), logits) as found, Traffic(found, owners) as traffic:
        traffic.more(2)
    assert set(owners["gate"].fates) == {Outcome.FAILED}
    assert "are no probabilities: the model's last layer must be a sigmoid" in str(owners["gate"].errors[0])
