"""Models of the benchmark: how Triton is told of them, and how the data plane is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.inference import Model

SIZE = 320
"""Pixels of an input's side; uint8, [320, 320, 3]."""
IMAGE = Tensor("image", (SIZE, SIZE, 3), "UINT8")
OUTPUTS = (Tensor("boxes", (4, 4), "FP32"), Tensor("scores", (4,), "FP32"), Tensor("classes", (4,), "INT32"))

# Four boxes a frame, the same ones; the input is not looked at. It takes base + each * frames milliseconds.
CODE = """
import json, time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.base, self.each = (float(parameters[name]["string_value"]) / 1e3 for name in ("base", "each"))

    def execute(self, requests):
        answers = []
        for request in requests:
            count = len(pb.get_input_tensor_by_name(request, "image").as_numpy())
            if self.base + self.each > 0:
                time.sleep(self.base + self.each * count)
            frame = np.float32([[10, 10, 60, 60], [80, 80, 90, 200], [1, 2, 3, 4], [9, 9, 300, 300]])
            boxes = np.tile(frame, (count, 1, 1))
            found = {"boxes": boxes, "scores": np.full((count, 4), 0.9, np.float32),
                     "classes": np.zeros((count, 4), np.int32)}
            answers.append(pb.InferenceResponse([pb.Tensor(name, value) for name, value in found.items()]))
        return answers
"""


@dataclass(frozen=True)
class Served:
    """A model in a repository."""

    name: str
    instances: int = 1
    max_batch: int = 8
    base: float = 0.0
    """Milliseconds an execution takes, and `each` for every frame; both 0: at once."""
    each: float = 0.0
    emulated: bool = False
    """Whether the emulated accelerator executes it, with an FP16 engine, and not the code above."""

    def write(self, repository: Path) -> None:
        """Put it into a repository."""
        directory = repository / self.name
        (directory / "1").mkdir(parents=True)
        if self.emulated:
            engine = {"emulatedEngine": {"precision": "fp16", "maxBatch": 32}}
            (directory / "1" / "model.engine").write_text(json.dumps(engine))
        else:
            (directory / "1" / "model.py").write_text(CODE)
        (directory / "config.pbtxt").write_text(self.config)

    @property
    def config(self) -> str:
        """Return config.pbtxt. Without dynamic batching: what the client puts together is what is measured."""
        backend, kind = ("dlnne", "KIND_MODEL") if self.emulated else ("python", "KIND_CPU")
        outputs = ", ".join(f"{{ {_tensor(tensor)} }}" for tensor in OUTPUTS)
        lines = [
            f'name: "{self.name}" backend: "{backend}" max_batch_size: {self.max_batch}',
            f"input [ {{ {_tensor(IMAGE)} }} ]",
            f"output [ {outputs} ]",
            f"instance_group [ {{ count: {self.instances} kind: {kind} }} ]",
        ]
        if not self.emulated:
            values = {"base": self.base, "each": self.each}
            lines += [
                f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in values.items()
            ]
        return "\n".join(lines) + "\n"

    @property
    def seen(self) -> DetectorModel:
        """Return it as the data plane sees it."""
        return DetectorModel(self.name, (IMAGE,), OUTPUTS, Decoder("none", ("thing",), 0.4), self.max_batch)

    def model(self) -> Model:
        return Model(self.seen)

    @property
    def output_bytes(self) -> int:
        """Return the bytes of the largest output of one frame, which perf_analyzer wants to know."""
        return max(4 * math.prod(tensor.dims) for tensor in OUTPUTS)


def _tensor(tensor: Tensor) -> str:
    return f'name: "{tensor.name}" data_type: TYPE_{tensor.data_type} dims: {list(tensor.dims)}'
