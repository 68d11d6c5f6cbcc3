"""Models with a YOLOv8 head that find many objects: raw outputs, or boxes with suppression in or behind the model.

Nothing is computed from the picture. Every object has `CANDIDATES` boxes that overlap, which is what suppression has to
compare; the other anchors have scores below any threshold. Suppression in the model is the detector's own way, so that
only the place differs.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import edgedetector.detector
from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector import decoders
from edgedetector.detector.inference import Model

SIZE, CLASSES, ANCHORS = 640, 80, 8400
PICTURE = 150, 340
"""First row and rows in which the objects are: within a 16:9 picture between its borders."""
CANDIDATES = 6
CONFIDENCE, IOU = 0.4, 0.5
ROOM = decoders.CANDIDATES
"""Boxes at most, of a model with suppression; the shipped one also compares no more."""
IMAGE = Tensor("image", (SIZE, SIZE, 3), "UINT8")
RAW = (Tensor("output0", (4 + CLASSES, ANCHORS), "FP32"),)
BOXES = (
    Tensor("boxes", (ROOM, 4), "FP32"),
    Tensor("scores", (ROOM,), "FP32"),
    Tensor("classes", (ROOM,), "INT32"),
    Tensor("count", (1,), "INT32"),
)
SHIPPED = Path(edgedetector.detector.__file__).parent / "builtin" / "nms.py"
"""The post-processing model that the product ships."""
CODE = """
import json
import cv2
import numpy as np
import triton_python_backend_utils as pb

cv2.setNumThreads(1)

def scene(objects, candidates, classes, anchors, size, top, height):
    random = np.random.default_rng(7)
    raw = np.zeros((4 + classes, anchors), np.float32)
    raw[4:] = random.uniform(0.0, 0.05, (classes, anchors))
    columns = int(np.ceil(np.sqrt(objects)))
    for number in range(objects):
        x, y = (np.array(divmod(number, columns)) + 0.5) * (size, height) / columns + (0, top)
        side = 0.6 * height / columns
        places = anchors // 3 + number * candidates + np.arange(candidates)
        raw[:4, places] = np.array([[x], [y], [side], [side]]) + random.uniform(-0.04, 0.04, (4, candidates)) * side
        raw[4 + number % classes, places] = random.uniform(0.5, 0.95, candidates)
    return raw

def suppressed(raw, confidence, iou, room):
    strongest = raw[4:].max(axis=0)
    kept = np.flatnonzero(strongest >= confidence)
    kinds, scores = raw[4:, kept].argmax(axis=0), strongest[kept]
    x, y, w, h = raw[:4, kept]
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    sizes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float64)
    sizes[:, :2] -= sizes[:, :2].min(axis=0)
    best = cv2.dnn.NMSBoxesBatched(sizes, scores.astype(np.float64), kinds.astype(np.int32), 0.0, iou, top_k=1024)
    best = np.asarray(best, np.intp).reshape(-1)[:room]
    boxes, strengths, classes = np.zeros((room, 4), np.float32), np.zeros(room, np.float32), np.zeros(room, np.int32)
    boxes[:len(best)], strengths[:len(best)], classes[:len(best)] = corners[best], scores[best], kinds[best]
    return boxes, strengths, classes, np.array([len(best)], np.int32)

class TritonPythonModel:
    def initialize(self, args):
        given = json.loads(json.loads(args["model_config"])["parameters"]["scene"]["string_value"])
        self.inside, self.confidence, self.iou, self.room = given.pop("inside")
        self.raw = scene(**given)

    def execute(self, requests):
        answers = []
        for request in requests:
            count = len(pb.get_input_tensor_by_name(request, "image").as_numpy())
            if self.inside:
                each = [suppressed(self.raw, self.confidence, self.iou, self.room) for _ in range(count)]
                names = ("boxes", "scores", "classes", "count")
                found = {name: np.stack(arrays) for name, arrays in zip(names, zip(*each))}
            else:
                found = {"output0": np.broadcast_to(self.raw, (count, *self.raw.shape))}
            tensors = [pb.Tensor(name, np.ascontiguousarray(array)) for name, array in found.items()]
            answers.append(pb.InferenceResponse(tensors))
        return answers
"""


@dataclass(frozen=True)
class Scene:
    """A model that finds so many objects in every frame."""

    objects: int
    inside: bool
    """Whether suppression is in the model."""
    max_batch: int = 8
    instances: int = 1

    @property
    def name(self) -> str:
        return f"{'boxes' if self.inside else 'raw'}-{self.objects}"

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return BOXES if self.inside else RAW

    @property
    def config(self) -> str:
        """Return config.pbtxt."""
        given = {
            "objects": self.objects,
            "candidates": CANDIDATES,
            "classes": CLASSES,
            "anchors": ANCHORS,
            "size": SIZE,
            "top": PICTURE[0],
            "height": PICTURE[1],
            "inside": [self.inside, CONFIDENCE, IOU, ROOM],
        }
        text = json.dumps(json.dumps(given))  # as a string of the text format
        return (
            f'name: "{self.name}" backend: "python" max_batch_size: {self.max_batch}\n'
            f"input [ {{ {_tensor(IMAGE)} }} ]\noutput [ {_outputs(self.outputs)} ]\n"
            f"instance_group [ {{ count: {self.instances} kind: KIND_CPU }} ]\n"
            f'parameters {{ key: "scene" value: {{ string_value: {text} }} }}\n'
        )

    def write(self, repository: Path) -> None:
        """Put it into a repository."""
        directory = repository / self.name
        (directory / "1").mkdir(parents=True)
        (directory / "1" / "model.py").write_text(CODE)
        (directory / "config.pbtxt").write_text(self.config)

    @property
    def parts(self) -> tuple[str, ...]:
        """The models that it consists of."""
        return (self.name,)

    def model(self) -> Model:
        """Return it as the data plane sees it."""
        return _model(self.name, self.outputs, "none" if self.inside else "yolov8", self.max_batch)


@dataclass(frozen=True)
class Joined:
    """A scene's raw outputs and a post-processing model behind it, as one model of Triton."""

    raw: Scene
    instances: int = 1
    """Of the post-processing model."""

    @property
    def name(self) -> str:
        return f"joined-{self.raw.objects}"

    @property
    def parts(self) -> tuple[str, ...]:
        """The models that it consists of, itself last."""
        return self.raw.name, f"{self.name}-nms", self.name

    def write(self, repository: Path) -> None:
        """Put it into a repository that has the scene with raw outputs; its own part runs the shipped file."""
        raw, behind, whole = self.parts
        given = {"head": "yolov8", "confidence": str(CONFIDENCE), "iou": str(IOU), "labels": str(CLASSES)}
        parameters = "".join(
            f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n' for key, value in given.items()
        )
        nms = (
            f'name: "{behind}" backend: "python" max_batch_size: {self.raw.max_batch}\n'
            f"input [ {{ {_tensor(RAW[0])} }} ]\noutput [ {_outputs(BOXES)} ]\n"
            f"instance_group [ {{ count: {self.instances} kind: KIND_CPU }} ]\n{parameters}"
        )
        steps = [_step(raw, {IMAGE.name: IMAGE.name}, {RAW[0].name: "raw"})]
        steps += [_step(behind, {RAW[0].name: "raw"}, {tensor.name: tensor.name for tensor in BOXES})]
        joined = (
            f'name: "{whole}" platform: "ensemble" max_batch_size: {self.raw.max_batch}\n'
            f"input [ {{ {_tensor(IMAGE)} }} ]\noutput [ {_outputs(BOXES)} ]\n"
            f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n"
        )
        for name, config in ((behind, nms), (whole, joined)):
            (repository / name / "1").mkdir(parents=True)
            (repository / name / "config.pbtxt").write_text(config)
        shutil.copy(SHIPPED, repository / behind / "1" / "model.py")

    def model(self) -> Model:
        """Return it as the data plane sees it."""
        return _model(self.name, BOXES, "none", self.raw.max_batch)


def _model(name: str, outputs: tuple[Tensor, ...], decoder: str, max_batch: int) -> Model:
    labels = tuple(f"class{number}" for number in range(CLASSES))
    known = DetectorModel(name, (IMAGE,), outputs, Decoder(decoder, labels, CONFIDENCE, IOU), max_batch)
    # The same for all: by default a model with a `none` decoder gets its frames stretched.
    return Model(known, fit="letterbox")


def _step(model: str, inputs: dict[str, str], outputs: dict[str, str]) -> str:
    maps = {"input_map": inputs, "output_map": outputs}
    text = " ".join(
        f'{kind} {{ key: "{key}" value: "{value}" }}' for kind, pairs in maps.items() for key, value in pairs.items()
    )
    return f'{{ model_name: "{model}" model_version: -1 {text} }}'


def _outputs(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{{ {_tensor(tensor)} }}" for tensor in tensors)


def _tensor(tensor: Tensor) -> str:
    return f'name: "{tensor.name}" data_type: TYPE_{tensor.data_type} dims: {list(tensor.dims)}'
