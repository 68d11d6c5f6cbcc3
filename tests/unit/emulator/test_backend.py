"""The backend without Triton: its outputs, and its connection to a real device process's server."""

import importlib.util
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from emulator.device import CALIBRATION
from hypothesis import given, settings
from hypothesis import strategies as st

# By path: Triton loads it as one file.
EMULATOR = Path(CALIBRATION).parent
_FILE = EMULATOR / "backend" / "model.py"
_specification = importlib.util.spec_from_file_location("dlnne_backend", _FILE)
backend = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(backend)

checksums = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 99))
def test_a_changed_byte_changes_the_checksum_of_a_small_payload(seed, position):
    image = np.random.default_rng(seed).integers(0, 256, 100, np.uint8)
    changed = image.copy()
    changed[position] ^= 1

    assert backend.payload_checksum({"images": image}) == backend.payload_checksum({"images": image.copy()})
    assert backend.payload_checksum({"images": image}) != backend.payload_checksum({"images": changed})


def test_the_checksum_tells_names_shapes_and_types_apart():
    zeros = np.zeros((2, 8), np.float32)
    different = [
        {"a": zeros},
        {"b": zeros},
        {"a": zeros.reshape(8, 2)},
        {"a": zeros.view(np.int32)},
        {"a": zeros, "b": zeros},
        {"a": np.array([b"0", b"00"], np.object_)},
        {"a": np.array([b"00", b"0"], np.object_)},
    ]

    assert len({backend.payload_checksum(tensors) for tensors in different}) == len(different)


def test_a_large_picture_is_looked_at_all_over():
    picture = np.zeros((3, 640, 640), np.float32)
    empty = backend.payload_checksum({"images": picture})

    for row in range(0, 640, 80):
        shifted = picture.copy()
        shifted[1, row : row + 4] = 1.0
        assert backend.payload_checksum({"images": shifted}) != empty


@given(checksums, st.integers(64, 2000), st.integers(64, 2000))
def test_boxes_lie_in_the_picture_and_do_not_touch(checksum, width, height):
    boxes = backend.boxes_of(checksum, width, height)

    np.testing.assert_array_equal(boxes, backend.boxes_of(checksum, width, height))
    assert 1 <= len(boxes) <= backend.MAXIMUM_BOXES
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        for other in boxes[index + 1 :]:
            assert x1 <= other[0] or other[2] <= x0 or y1 <= other[1] or other[3] <= y0


@settings(deadline=None, max_examples=30)
@given(checksums, st.sampled_from([np.float32, np.float16]))
def test_a_yolov8_output_holds_boxes_and_checksum(checksum, kind):
    values = backend.output("output0", (84, 8400), kind, checksum, (640, 640))
    confident = values[4:].max(axis=0) > 0.5

    cx, cy, w, h = values[:4, confident].astype(np.float32)
    decoded = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    np.testing.assert_allclose(decoded, backend.boxes_of(checksum, 640, 640), atol=0.5)
    assert int.from_bytes(bytes(values[0, -4:].astype(np.uint8)), "big") == checksum
    assert not values[4:, -4:].any(), "no detection hides in the checksum"


@given(checksums)
def test_outputs_of_a_model_with_nms_inside_agree_with_each_other(checksum):
    shapes = {"boxes": (64, 4), "scores": (64,), "classes": (64,), "count": (1,)}
    kinds = {"boxes": np.float32, "scores": np.float32, "classes": np.int32, "count": np.int32}
    values = {name: backend.output(name, shapes[name], kinds[name], checksum, (768, 576)) for name in shapes}
    count = int(values["count"][0])

    np.testing.assert_array_equal(values["boxes"][:count], backend.boxes_of(checksum, 768, 576))
    assert (values["scores"][:count] >= 0.6).all()
    assert not values["scores"][count:].any()


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int32, np.uint8, np.int64])
def test_any_other_output_begins_with_the_checksum_s_bytes(kind):
    values = backend.output("logits", (10,), kind, 0x01020304, (640, 640))

    assert values.dtype == kind
    assert values.tolist() == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]


def test_text_and_declared_checksums_hold_it_whole():
    assert backend.output("names", (2,), np.object_, 0xDEADBEEF, (1, 1)).tolist() == [b"deadbeef"] * 2
    assert backend.output("checksum", (1,), np.uint32, 0xDEADBEEF, (1, 1)).tolist() == [0xDEADBEEF]


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ([[3, 640, 480]], (480, 640)),
        ([[576, 768, 3]], (768, 576)),
        ([[8], [1, 32, 64]], (64, 32)),
        ([[8]], (640, 640)),
        ([[-1, -1, 3]], (640, 640)),
    ],
    ids=["CHW", "HWC", "the second input", "no picture", "of any size"],
)
def test_the_picture_s_size_is_told_by_the_inputs(inputs, size):
    assert backend.picture_size([{"dims": dims} for dims in inputs]) == size


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({"m.plan": '{"emulatedEngine": {"precision": "fp16", "maxBatch": 8}}'}, {"precision": "fp16", "maxBatch": 8}),
        ({"m.engine": '{"emulatedEngine": {"precision": "int8"}}'}, {"precision": "int8"}),
        ({"m.plan": "\x00\x01 a real engine"}, {}),
        ({"m.plan": "[1]"}, {}),
        ({"m.plan": '{"emulatedEngine": 4}'}, {}),
        ({"model.onnx": '{"emulatedEngine": {"precision": "fp16"}}'}, {}),
    ],
)
def test_an_emulated_engine_s_file_decides_and_any_other_does_not(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert backend.read_engine(tmp_path) == expected


@dataclass
class Process:
    """A device process that can be killed and started on its port again, as a pod is replaced."""

    port: int
    process: subprocess.Popen | None = None

    def start(self):
        command = [sys.executable, "-m", "emulator.device", "-a", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*command, "--execute-port", str(self.port)], cwd=EMULATOR.parent, stderr=subprocess.DEVNULL
        )

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def process():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = Process(listener.getsockname()[1])
    process.start()
    yield process
    process.kill()


def connection(process, **engine):
    engine = {"model": "people", "precision": "fp32", "maxBatch": 32, **engine}
    return backend.DeviceConnection((f"127.0.0.1:{process.port}",), engine)


def test_an_execution_returns_no_sooner_than_the_device_says(process):
    device = connection(process)
    device.open()
    started = time.perf_counter()

    device.execute(8, 0)

    assert time.perf_counter() - started >= 0.045  # link 23.1 ms and device 24.8 ms, less what waking up takes
    device.close()


def test_a_refused_load_says_why(process):
    device = connection(process, precision="fp64")

    with pytest.raises(backend.DeviceError, match="has no fp64"):
        device.open()
    device.close()


def test_more_than_the_compiled_batch_is_an_error_of_that_request_only(process):
    device = connection(process, maxBatch=4)
    device.open()

    with pytest.raises(backend.DeviceError, match="compiled for 1 to 4"):
        device.execute(5, 0)
    device.execute(1, 0)
    device.close()


def test_a_device_that_is_not_there_is_an_error_with_its_address():
    device = backend.DeviceConnection(("127.0.0.1:1",), {"model": "people"})

    with pytest.raises(backend.DeviceError, match=r"cannot be reached at 127\.0\.0\.1:1"):
        device.open(seconds=0)


def test_the_engine_is_loaded_again_when_the_device_s_process_was_replaced(process):
    device = connection(process)
    device.open()
    device.execute(1, 0)

    process.kill()
    process.start()

    device.execute(1, 0)
    assert device.answer["session"] == 1, "the first of a new process"
    device.close()


def test_the_second_address_is_tried_when_nobody_answers_at_the_first(process):
    engine = {"model": "people", "precision": "fp16"}
    device = backend.DeviceConnection(("127.0.0.1:1", f"127.0.0.1:{process.port}"), engine)
    device.open()

    assert device.answer["maxBatch"] == 32
    device.close()
