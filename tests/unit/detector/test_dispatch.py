"""Frames of several cameras through a real tritonserver, in batches and through shared memory."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from bench.calibration import tritonserver

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.batching import Capacity, Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.detection import Detection
from edgedetector.detector.dispatch import AGAIN_SECONDS, STEADY_SECONDS, Dispatcher, Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.metrics import Metrics
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import DIRECTORY, Regions

pytestmark = pytest.mark.tritonserver

KEY = "s3cret"
RESTRICTED = f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}"
PATIENCE = 60.0  # seconds; far more than anything here takes

# One box a frame, within it: its first pixel's colour, and how many frames came with it.
CODE = """
import numpy as np, time
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            images = pb.get_input_tensor_by_name(request, "image").as_numpy()
            time.sleep(0.05)
            count = len(images)
            boxes = np.array([[[image[0, 0, 0], 0, image[0, 0, 0] + 1, count]] for image in images], np.float32)
            found = {"boxes": boxes, "scores": np.full((count, 1), 0.9, np.float32),
                     "classes": np.zeros((count, 1), np.int32)}
            answers.append(pb.InferenceResponse([pb.Tensor(name, value) for name, value in found.items()]))
        return answers
"""
CONFIG = """
name: "any" backend: "python" max_batch_size: 4
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 48, 64, 3 ] } ]
output [ { name: "boxes" data_type: TYPE_FP32 dims: [ 1, 4 ] }, { name: "scores" data_type: TYPE_FP32 dims: [ 1 ] },
         { name: "classes" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""
OUTPUTS = (Tensor("boxes", (1, 4), "FP32"), Tensor("scores", (1,), "FP32"), Tensor("classes", (1,), "INT32"))
MODEL = Model(DetectorModel("any", (Tensor("image", (48, 64, 3), "UINT8"),), OUTPUTS, Decoder("none", ("x",), 0.1), 4))


def picture(grey: int) -> Frame:
    """A frame of one grey, which is its time stamp too."""
    pixels = np.full((48, 64, 3), grey, np.uint8)
    return Frame(av.VideoFrame.from_ndarray(pixels, format="rgb24"), grey, time.monotonic(), time.time())


@dataclass
class Owner:
    """A camera that remembers."""

    results: list[tuple[int, Detection]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    fates: list[Outcome] = field(default_factory=list)

    confidence: float | None = None

    def found(self, shot: Shot, _model: str, decoded: Decoded, _seconds: float) -> None:
        self.results.append((shot.frame.pts or 0, decoded.detections[0]))

    def failed(self, _shot: Shot, _model: str, error: Exception) -> None:
        self.errors.append(error)

    def settled(self, _shot: Shot, fate: Outcome) -> None:
        self.fates.append(fate)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a tritonserver with the model. Module, since a start takes seconds."""
    repository: Path = tmp_path_factory.mktemp("models")
    (repository / "any" / "1").mkdir(parents=True)
    (repository / "any" / "1" / "model.py").write_text(CODE)
    (repository / "any" / "config.pbtxt").write_text(CONFIG)
    directory = tmp_path_factory.mktemp("triton") / "server"
    directory.mkdir()
    arguments = (RESTRICTED, "--disable-auto-complete-config")
    with (
        tritonserver.running(tritonserver.prepare(), directory, repository, *arguments) as server,
        Client(server.grpc, key=KEY) as found,
    ):
        found.load("any")
        yield found


@pytest.mark.parametrize("shared", [True, False])
def test_frames_of_all_cameras_come_back_to_their_own_and_share_requests(client: Client, *, shared: bool) -> None:
    guard, metrics = Guard(), Metrics()
    dispatcher = Dispatcher(
        client,
        regions=Regions() if shared else None,
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda name: Stopwatch(CLOCKS, lambda spent: metrics.spent(name, spent)),
        clock=time.monotonic,
    )
    before = mapped()
    owners = {f"camera-{number}": Owner() for number in range(6)}
    dispatcher.configure({"any": MODEL}, {"any": Capacity(4, 2)}, dict.fromkeys(owners, 0))
    for turn in range(20):
        for number, (name, owner) in enumerate(owners.items()):
            shot = Shot(owner, picture(number * 10 + turn % 10), 1)
            dispatcher.offer(name, ("any",), shot, arrived=time.monotonic(), wait=PATIENCE)
        settle(owners, turn + 1)
    mine = mapped() - before
    assert len(mine) == (2 if shared else 0)
    assert dispatcher.trouble == ""
    for number, owner in enumerate(owners.values()):
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED] * 20)
        assert [grey for grey, _ in owner.results] == [number * 10 + turn % 10 for turn in range(20)]
        assert all(found.box[0] == grey for grey, found in owner.results)
    together = [found.box[3] for owner in owners.values() for _, found in owner.results]
    assert max(together) >= 3, "frames that wait go together"
    assert metrics.registry.get_sample_value("edgedetector_stage_cpu_seconds_total", {"stage": "prepare"})
    dispatcher.close()
    assert not mine & regions()
    assert not guard.stop.is_set()


def settle(owners: dict[str, Owner], count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(len(owner.fates) < count for owner in owners.values()):
        assert time.monotonic() < deadline, owners
        threading.Event().wait(0.002)


def regions() -> set[str]:
    """Everybody's."""
    return {path.name for path in DIRECTORY.iterdir() if path.name.startswith("edgedetector-tensors-")}


def test_where_memory_cannot_be_shared_frames_go_in_messages_and_it_is_said_why(client: Client, tmp_path: Path) -> None:
    """Regions lie where Triton does not look, as when the containers do not share /dev/shm."""
    guard = Guard()
    dispatcher = Dispatcher(
        client,
        regions=Regions(tmp_path),
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda _: Stopwatch(CLOCKS, lambda _: None),
        clock=time.monotonic,
    )
    owners = {"gate": Owner(), "yard": Owner(), "dock": Owner()}
    # A request each at once, which all find it out.
    dispatcher.configure({"any": MODEL}, {"any": Capacity(1, 3)}, dict.fromkeys(owners, 0))
    for turn in range(2):
        for name, owner in owners.items():
            shot = Shot(owner, picture(turn), 1)
            dispatcher.offer(name, ("any",), shot, arrived=time.monotonic(), wait=PATIENCE)
        settle(owners, turn + 1)
    for owner in owners.values():
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED] * 2)
    assert not guard.stop.is_set()
    assert "shared memory" in dispatcher.trouble
    assert "\n" not in dispatcher.trouble
    assert list(tmp_path.iterdir()) == []
    dispatcher.close()


def test_shared_memory_is_tried_again_and_the_trouble_ends_once_it_has_held_for_a_while(
    client: Client, tmp_path: Path
) -> None:
    guard, ahead = Guard(), [0.0]
    directory = tmp_path / "shm"
    directory.mkdir()

    def clock() -> float:
        return time.monotonic() + ahead[0]

    dispatcher = Dispatcher(
        client,
        regions=Regions(directory),
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda _: Stopwatch(CLOCKS, lambda _: None),
        clock=clock,
    )
    owners = {"gate": Owner(), "yard": Owner(), "dock": Owner()}
    dispatcher.configure({"any": MODEL}, {"any": Capacity(1, 3)}, dict.fromkeys(owners, 0))
    before, turn = mapped(), 0

    def frames() -> str:
        nonlocal turn
        turn += 1
        for name, owner in owners.items():
            dispatcher.offer(name, ("any",), Shot(owner, picture(turn), 1), arrived=clock(), wait=PATIENCE)
        settle(owners, turn)
        return dispatcher.trouble

    assert "shared memory" in (trouble := frames())
    ahead[0] += AGAIN_SECONDS
    assert frames() == trouble, "tried again, in vain"
    directory.rmdir()
    directory.symlink_to(DIRECTORY)
    assert frames() == trouble, "not tried with every request"
    ahead[0] += AGAIN_SECONDS
    assert frames() == trouble, "too soon to be believed"
    ahead[0] += STEADY_SECONDS
    assert frames() == ""
    assert (mine := mapped() - before)
    for owner in owners.values():
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED] * turn)
    dispatcher.close()
    assert not mine & regions()
    assert not guard.stop.is_set(), guard.failed


def mapped() -> set[str]:
    """Regions of this process."""
    return set(re.findall(r"/dev/shm/(edgedetector-tensors-\S+)", Path("/proc/self/maps").read_text()))


def test_batches_that_become_smaller_and_larger_lose_no_frame(client: Client) -> None:
    guard = Guard()
    dispatcher = Dispatcher(
        client,
        regions=Regions(),
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda _: Stopwatch(CLOCKS, lambda _: None),
        clock=time.monotonic,
    )
    owners = {f"camera-{number}": Owner() for number in range(6)}
    for turn in range(30):
        for number, (name, owner) in enumerate(owners.items()):
            room = Capacity(1 if (turn + number) % 2 else 4, 2)
            dispatcher.configure({"any": MODEL}, {"any": room}, dict.fromkeys(owners, 0))
            shot = Shot(owner, picture(turn), 1)
            dispatcher.offer(name, ("any",), shot, arrived=time.monotonic(), wait=PATIENCE)
        settle(owners, turn + 1)
    for owner in owners.values():
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED] * 30)
    assert not guard.stop.is_set(), guard.failed
    dispatcher.close()
