"""The way from shared memory to messages and back, with a server that shares memory, or hangs, as the tests say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.unit.detector.test_dispatch import OUTPUTS, PATIENCE, Owner, picture, settle
from tests.unit.triton.triton_double import KEY, Triton, serve
from tritonclient.grpc import service_pb2

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector import dispatch
from edgedetector.detector.batching import Capacity, Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.dispatch import AGAIN_SECONDS, STEADY_SECONDS, Dispatcher, Shot
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded, Model
from edgedetector.triton.client import Client
from edgedetector.triton.errors import DeadlineError
from edgedetector.triton.shared_memory import Regions

LEFT = "edgedetector-tensors-00000000deadbeef-0"
UNREACHABLE = (grpc.StatusCode.INTERNAL, "Unable to open shared memory region: '/x'")


class Finds(Triton):
    """Answers every frame with a box of nothing. Has room for `room` regions; models in `hanging` wait for `go`."""

    def __init__(self, directory: Path, version: str = "2.51.0") -> None:
        super().__init__(directory, version)
        self.room = 100
        self.hanging: set[str] = set()
        self.asked: list[str] = []

    def SystemSharedMemoryRegister(self, request, context):  # noqa: N802 - a generated name
        if len(self.regions) >= self.room:
            context.abort(*UNREACHABLE)
        return super().SystemSharedMemoryRegister(request, context)

    def ModelInfer(self, request, context):  # noqa: N802 - a generated name
        memories = [self._memory(context, tensor) for tensor in (*request.inputs, *request.outputs)]
        self.asked.append(request.model_name)
        self.arrived.release()
        if request.model_name in self.hanging:
            self.go.wait(PATIENCE)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        rows = request.inputs[0].shape[0]
        for tensor, memory in zip(OUTPUTS, memories[len(request.inputs) :], strict=True):
            found = np.zeros((rows, *tensor.dims), np.int32 if tensor.data_type == "INT32" else np.float32)
            answer.outputs.add(name=tensor.name, datatype=tensor.data_type, shape=found.shape)
            answer.raw_output_contents.append(found.tobytes() if memory is None else b"")
        return answer


def model(name: str) -> Model:
    inputs = (Tensor("image", (48, 64, 3), "UINT8"),)
    return Model(DetectorModel(name, inputs, OUTPUTS, Decoder("none", ("x",), 0.1), 4))


def any_size(name: str) -> Model:
    """A model whose requests have nothing that could lie in a region."""
    inputs = (Tensor("image", (-1, -1, 3), "UINT8"),)
    outputs = tuple(Tensor(tensor.name, (-1, *tensor.dims[1:]), tensor.data_type) for tensor in OUTPUTS)
    return Model(DetectorModel(name, inputs, outputs, Decoder("none", ("x",), 0.1), 4))


class Camera(Owner):
    """Counts results, since nothing is found in them."""

    answers = 0

    def found(self, _shot: Shot, _model: str, _decoded: Decoded, _seconds: float) -> None:
        self.answers += 1


class Bench:
    """A dispatcher of two models, one request each at a time, on a clock that stands until it is moved."""

    def __init__(self, client: Client, regions: Regions) -> None:
        self.now = 1000.0
        self.guard, self.threads = Guard(), []
        self.dispatcher = Dispatcher(
            client,
            regions=regions,
            start=self._start,
            stage=lambda _: Stopwatch(CLOCKS, lambda _: None),
            clock=lambda: self.now,
        )

    def serve(self, *models: Model) -> None:
        capacities = {model.name: Capacity(1, 1) for model in models}
        self.dispatcher.configure({model.name: model for model in models}, capacities, {"gate": 0})

    def offer(self, name: str) -> Camera:
        owner = Camera()
        self.dispatcher.offer("gate", (name,), Shot(owner, picture(7), 1), arrived=self.now, wait=PATIENCE)
        return owner

    def ask(self, name: str) -> str:
        """Send a frame, and return the trouble after its answer."""
        owner = self.offer(name)
        settle({name: owner}, 1)
        assert (owner.errors, owner.fates) == ([], [Outcome.SERVED])
        return self.dispatcher.trouble

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        self.threads.append(self.guard.start(name, work, essential=False))
        return self.threads[-1]


@contextmanager
def bench(triton: Finds) -> Iterator[Bench]:
    with serve(triton) as address, Client(address, key=KEY) as client:
        found = Bench(client, Regions(triton.directory))
        try:
            yield found
        finally:
            triton.go.set()
            found.dispatcher.close()
            assert not found.guard.stop.is_set(), found.guard.failed


def test_what_a_killed_process_left_goes_though_its_memory_made_us_leave_shared_memory(tmp_path: Path) -> None:
    """And a region of ours goes not with it: a request uses it, and this Triton dies of that."""
    triton = Finds(tmp_path, version="2.36.0")
    triton.regions[LEFT] = b"1"
    triton.room, triton.hanging = 2, {"a"}
    with bench(triton) as found:
        found.dispatcher.sweep(linger=1.0)
        found.serve(model("a"), model("b"))
        found.offer("a")
        assert triton.arrived.acquire(timeout=PATIENCE)
        (own,) = set(triton.regions) - {LEFT}
        assert "shared memory" in found.ask("b")
        assert triton.unregistered.acquire(timeout=PATIENCE)
        assert set(triton.regions) == {own}
        assert not (tmp_path / own).exists(), "so that it looks like one that was left"


def test_who_waits_for_a_killed_process_s_requests_ends_with_the_dispatcher(tmp_path: Path) -> None:
    triton = Finds(tmp_path, version="2.36.0")
    triton.regions[LEFT] = b"1"
    with bench(triton) as found:
        found.dispatcher.sweep(linger=PATIENCE)
        (waiting,) = found.threads
        found.dispatcher.close()
        waiting.join(PATIENCE / 2)
        assert not waiting.is_alive()
        assert set(triton.regions) == {LEFT}, "a request of the killed process may still be writing"


def test_trouble_with_room_for_one_of_two_models_stays_until_there_is_room_for_both(tmp_path: Path) -> None:
    triton = Finds(tmp_path)
    triton.room = 1
    with bench(triton) as found:
        found.serve(model("a"), model("b"))
        assert found.ask("a") == ""
        assert "shared memory" in (trouble := found.ask("b"))
        for _ in range(3):
            found.now += AGAIN_SECONDS
            assert found.ask("a") == trouble
            assert triton.regions, "tried again, and with success, for this model"
            found.now += STEADY_SECONDS / 2
            assert found.ask("b") == trouble
        triton.room = 2
        found.now += AGAIN_SECONDS
        assert found.ask("a") == found.ask("b") == trouble
        found.now += STEADY_SECONDS
        assert found.ask("a") == ""


def test_a_request_that_needs_no_region_does_not_end_the_trouble_with_shared_memory(tmp_path: Path) -> None:
    triton = Finds(tmp_path)
    triton.room = 0
    with bench(triton) as found:
        found.serve(any_size("a"), model("b"))
        assert "shared memory" in (trouble := found.ask("b"))
        found.now += AGAIN_SECONDS
        assert found.ask("a") == trouble
        found.now += STEADY_SECONDS
        assert found.ask("a") == trouble
        triton.room = 1
        assert found.ask("b") == ""


def test_a_frame_that_got_no_answer_in_time_is_not_sent_again_though_shared_memory_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result would be one of a picture that is long gone."""
    monkeypatch.setattr(dispatch, "REQUEST_SECONDS", 2.0)
    triton = Finds(tmp_path)
    triton.room, triton.hanging = 1, {"a"}
    with bench(triton) as found:
        found.serve(model("a"), model("b"))
        late = found.offer("a")
        assert triton.arrived.acquire(timeout=PATIENCE)
        triton.hanging = set()
        assert "shared memory" in found.ask("b")
        settle({"a": late}, 1)
        assert [type(error) for error in late.errors] == [DeadlineError]
        assert (late.answers, late.fates, triton.asked) == (0, [Outcome.FAILED], ["a", "b"])
