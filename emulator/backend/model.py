"""`dlnne`, the emulated accelerator's backend: a python-based backend of Triton that computes nothing.

Installed as ``/opt/tritonserver/backends/dlnne/model.py`` it serves every model with ``backend: "dlnne"``, whatever its
inputs and outputs are; a Triton older than 23.10 has no python-based backends, there the same file is a model of the
python backend. An execution takes as long as the emulated device says (`emulator.device`), over TCP at
``EMULATED_ACCELERATOR_ADDRESS`` (``host:port``).

The engine is the first ``*.plan``, ``*.engine`` or ``*.dlnne`` file beside the model's version. If it is a JSON object
``{"emulatedEngine": {"precision": "fp16", "maxBatch": 32}}``, it decides precision and largest batch; otherwise the
first input's data type does (FP16, INT8/UINT8, else FP32) with the device's own largest batch.

Outputs depend on nothing but the inputs. With ``c`` the payload checksum (`payload_checksum`) of the request:

* an output named ``checksum`` holds ``c``, in each element as far as its type can;
* outputs ``boxes``, ``scores``, ``classes``, ``count`` hold the boxes of `boxes_of(c)` with the count, as a model does
  that has non-maximum suppression inside;
* an output [4 + classes, anchors], as YOLOv8 has it, holds the same boxes in its first anchors, and the four bytes of
  ``c``, most significant first, as numbers in the first row's last four anchors, whose scores are 0;
* any other output is 0 but for its first four elements, the four bytes of ``c``; text is ``c`` in hexadecimal.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import time
import zlib
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt

try:
    pb_utils: Any = importlib.import_module("triton_python_backend_utils")  # only inside Triton's python backend
except ImportError:
    pb_utils = None

# The exporter's Service of the shipped profile `denglin-ks20`. The device speaks this protocol on both of its ports.
# The metrics port comes first: it is the only one that the operator's Service has, and a Service drops what it has not.
DEFAULT_ADDRESSES: Final = (
    "edgedetector-exporter-denglin-ks20.edgedetector-system.svc:9400",
    "edgedetector-exporter-denglin-ks20.edgedetector-system.svc:9401",
)
ENGINE_SUFFIXES: Final = frozenset({".plan", ".engine", ".dlnne"})
# Seconds to find the device in: for a load, and again when its connection broke (its pod was replaced).
CONNECT_SECONDS: Final = 10.0
# Bytes of a tensor that its checksum looks at, evenly spread: all 4.9 MB would cost milliseconds of CPU a frame.
CHECKSUM_SAMPLES: Final = 16_384
# time.sleep wakes up about this late, seconds.
OVERSLEEP: Final = 0.00008
# An execution that follows within this many seconds was waiting for the one before; a device does not oversleep, so
# what the last one overslept is given back. Otherwise a busy machine would make the emulated device slower.
BACK_TO_BACK: Final = 0.005

YOLO_MINIMUM_ANCHORS: Final = 100
YOLO_MINIMUM_ROWS: Final = 5
CHECKSUM_BYTES: Final = 4
MAXIMUM_BOXES: Final = 6
RANK_WITH_CHANNELS: Final = 3

log = logging.getLogger("dlnne")

Array = npt.NDArray[Any]


class DeviceError(Exception):
    """The device refused or cannot be reached; the message is for Triton's log and the request's sender."""


def payload_checksum(tensors: dict[str, Array]) -> int:
    """Return the CRC-32 of one image's or request's inputs: names, shapes, types and evenly spread bytes of each."""
    checksum = 0
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        if tensor.dtype == np.object_:
            tensor = np.frombuffer(b"\0".join(bytes(value) for value in tensor.reshape(-1)) or b"\0", np.uint8)
        data = tensor.reshape(-1).view(np.uint8)
        step = max(1, data.size // CHECKSUM_SAMPLES) | 1  # odd, or only one byte of each element would be looked at
        checksum = zlib.crc32(f"{name} {tensor.shape} {tensor.dtype}".encode(), checksum)
        checksum = zlib.crc32(data[::step].tobytes(), checksum)
    return checksum


def boxes_of(checksum: int, width: int, height: int) -> Array:
    """Return the boxes of a payload: FP32 [N, 4], xyxy in pixels, 1 to 6, upright, none touching another."""
    random = Random(checksum)  # noqa: S311 - reproducible, not secret
    cells = random.sample([(column, row) for row in range(2) for column in range(4)], random.randint(1, MAXIMUM_BOXES))
    boxes = []
    for column, row in cells:
        w, h = random.uniform(0.3, 0.6) * width / 4, random.uniform(0.6, 0.9) * height / 2
        x = (column + 0.5) * width / 4
        y = (row + 0.5) * height / 2
        boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return np.array(boxes, np.float32)


def scores_of(count: int) -> Array:
    """Return the scores of `count` boxes, FP32 [N], highest first."""
    return np.linspace(0.95, 0.6, count, dtype=np.float32) if count else np.zeros(0, np.float32)


def picture_size(inputs: list[dict[str, Any]]) -> tuple[int, int]:
    """Return (width, height) of the first input that looks like a picture, CHW or HWC; 640 x 640 without one."""
    for entry in inputs:
        dims = [int(size) for size in entry["dims"]]
        if len(dims) >= RANK_WITH_CHANNELS and min(dims[-3:]) > 0:
            channels_last = dims[-1] in {1, 3, 4} and dims[-3] not in {1, 3, 4}
            height, width = dims[-3:-1] if channels_last else dims[-2:]
            return width, height
    return 640, 640


def output(name: str, shape: tuple[int, ...], kind: Any, checksum: int, size: tuple[int, int]) -> Array:
    """Return one image's output tensor as the module's docstring says; `size` is the picture's (width, height)."""
    if kind == np.object_:
        return np.full(shape, f"{checksum:08x}".encode(), np.object_)
    if name == "checksum":
        return np.full(shape, checksum, np.uint64).astype(kind)
    values = np.zeros(shape, kind)
    boxes = boxes_of(checksum, *size)
    if name in {"boxes", "scores", "classes", "count"}:
        _fill_detections(name, values, boxes)
    elif len(shape) == 2 and shape[0] >= YOLO_MINIMUM_ROWS and shape[1] >= YOLO_MINIMUM_ANCHORS:  # noqa: PLR2004
        x0, y0, x1, y1 = boxes.T
        values[:4, : len(boxes)] = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
        values[4, : len(boxes)] = scores_of(len(boxes))
        values[0, -CHECKSUM_BYTES:] = _bytes_of(checksum)
    else:
        flat = values.reshape(-1)
        flat[:CHECKSUM_BYTES] = _bytes_of(checksum)[: flat.size].astype(kind)
    return values


def _fill_detections(name: str, values: Array, boxes: Array) -> None:
    """Write boxes into an output of a model that has non-maximum suppression inside; the rest stays 0."""
    if name == "boxes":
        room = min(len(boxes), len(values))
        values[:room] = boxes[:room]
    elif name == "scores":
        room = min(len(boxes), values.size)
        values.reshape(-1)[:room] = scores_of(len(boxes))[:room]
    elif name == "count":
        values[...] = len(boxes)


def _bytes_of(checksum: int) -> Array:
    return np.frombuffer(checksum.to_bytes(CHECKSUM_BYTES, "big"), np.uint8)


def precision_of(data_type: str) -> str:
    """Return the precision of an engine by its first input's Triton data type."""
    return {"TYPE_FP16": "fp16", "TYPE_BF16": "fp16", "TYPE_INT8": "int8", "TYPE_UINT8": "int8"}.get(data_type, "fp32")


def read_engine(directory: Path) -> dict[str, Any]:
    """Return what an emulated engine file in a model version's directory says; empty if there is none."""
    files = sorted(path for path in directory.glob("*") if path.suffix in ENGINE_SUFFIXES)
    if not files:
        return {}
    try:
        document = json.loads(files[0].read_bytes())
    except ValueError:
        return {}  # a real engine, or anything else: its precision is told by the inputs
    engine = document.get("emulatedEngine") if isinstance(document, dict) else None
    return engine if isinstance(engine, dict) else {}


class DeviceConnection:
    """An engine instance on the device, loaded for as long as the connection lasts."""

    def __init__(self, addresses: tuple[str, ...], engine: dict[str, Any]) -> None:
        self._addresses, self._engine = addresses, engine
        self._socket: socket.socket | None = None
        self._lines: Any = None
        self._woken = self._overslept = 0.0
        self.answer: dict[str, Any] = {}
        """What the device said to the load."""

    def open(self, seconds: float = CONNECT_SECONDS) -> None:
        """Load the engine, trying for `seconds` to reach the device.

        Raises
        ------
        DeviceError
            If the device refuses (it is not asked again) or cannot be reached in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._connect()
                break
            except OSError as error:
                self.close()
                if time.monotonic() >= deadline:
                    where = " and ".join(self._addresses)
                    raise DeviceError(f"the emulated accelerator cannot be reached at {where}: {error}") from None
                time.sleep(0.1)
        self.answer = self._ask({"op": "open", **self._engine})

    def execute(self, images: int, payload: int) -> None:
        """Execute a batch of `images` with `payload` bytes of tensors: return when the device would have.

        Raises
        ------
        DeviceError
            If the device refuses or stays away.
        """
        started = time.perf_counter()
        late = self._overslept if started - self._woken < BACK_TO_BACK else 0.0
        request = {"op": "execute", "batch": images, "bytes": payload, "lateMs": late * 1e3}
        try:
            answer = self._ask(request)
        except OSError as error:
            log.warning("the connection to the emulated accelerator broke (%s); loading the engine again", error)
            self.close()
            self.open()
            answer = self._ask(request)
        due = started + answer["waitMs"] / 1e3
        time.sleep(max(0.0, due - OVERSLEEP - time.perf_counter()))
        self._woken = time.perf_counter()
        self._overslept = max(0.0, self._woken - due)

    def close(self) -> None:
        """Unload the engine."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> None:
        last: OSError = OSError("no address")
        for address in self._addresses:
            host, _, port = address.rpartition(":")
            try:
                self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5.0)
            except OSError as error:
                last = error
                continue
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lines = self._socket.makefile("rb")
            return
        raise last

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._socket is None:
            raise OSError("not connected")
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._lines.readline()
        if not line:
            raise OSError("closed by the device")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise DeviceError(f"emulated accelerator: {answer['error']}")
        return answer


def addresses() -> tuple[str, ...]:
    """Return where to look for the device, in this order."""
    configured = os.environ.get("EMULATED_ACCELERATOR_ADDRESS", "")
    return tuple(configured.split(",")) if configured else DEFAULT_ADDRESSES


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the engine on the device; a refusal (out of memory) fails the load in Triton."""
        config = json.loads(args["model_config"])
        self.name = args["model_name"]
        self.batched = config["max_batch_size"] > 0
        self.inputs = [entry["name"] for entry in config["input"]]
        self.size = picture_size(config["input"])
        self.outputs = [
            (entry["name"], tuple(max(1, int(size)) for size in entry["dims"]),
             pb_utils.triton_string_to_numpy(entry["data_type"]))
            for entry in config["output"]
        ]  # fmt: skip
        directory = Path(args["model_repository"]) / str(args["model_version"])
        engine = {"precision": precision_of(config["input"][0]["data_type"]), **read_engine(directory)}
        self.device = DeviceConnection(addresses(), {"model": self.name, **engine})
        try:
            self.device.open()
        except DeviceError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        largest = int(self.device.answer["maxBatch"])
        if config["max_batch_size"] > largest:
            self.device.close()
            raise pb_utils.TritonModelException(
                f"max_batch_size {config['max_batch_size']}: the engine was compiled for at most {largest}"
            )
        pb_utils.Logger.log_warn(
            f"{self.name}: EMULATED accelerator, {engine['precision']}: times and outputs are simulated"
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Execute the requests as one batch."""
        answers: list[list[Any] | None] = []
        images = payload = 0
        for request in requests:
            tensors = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            count = len(next(iter(tensors.values()))) if self.batched else 1
            outputs = self._outputs(tensors, count)
            images += count
            payload += sum(tensor.nbytes for tensor in tensors.values()) + sum(array.nbytes for _, array in outputs)
            answers.append([pb_utils.Tensor(name, array) for name, array in outputs])
        try:
            self.device.execute(images, payload)
        except (DeviceError, OSError) as error:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        return [pb_utils.InferenceResponse(output_tensors=tensors) for tensors in answers]

    def _outputs(self, tensors: dict[str, Array], count: int) -> list[tuple[str, Array]]:
        """Return a request's outputs, image by image so that an answer does not depend on its batch."""
        images = [{name: tensor[index] for name, tensor in tensors.items()} for index in range(count)] \
            if self.batched else [tensors]  # fmt: skip
        checksums = [payload_checksum(image) for image in images]
        outputs = []
        for name, shape, kind in self.outputs:
            arrays = [output(name, shape, kind, checksum, self.size) for checksum in checksums]
            outputs.append((name, np.stack(arrays) if self.batched else arrays[0]))
        return outputs

    def finalize(self) -> None:
        """Unload the engine."""
        self.device.close()
