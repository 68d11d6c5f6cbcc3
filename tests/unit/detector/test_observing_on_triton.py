"""A window of a real tritonserver behind the detector's own parts, against what was sent.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from bench.calibration import tritonserver
from tests.unit.detector import realpod

from edgedetector.api import names
from edgedetector.api.dataplane import Decoder, DetectorModel, ModelServing, ServingConfig, Tensor
from edgedetector.api.observation import Observation
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector.batching import Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.gauges import Seen
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.observing import Observer
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths
from edgedetector.detector.run import capacities
from edgedetector.detector.serving import Serving
from edgedetector.observe.windows import window
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions
from edgedetector.tuning.window import Knobs, Window

pytestmark = pytest.mark.tritonserver

PATIENCE = 60.0  # seconds; far more than anything here takes
EXECUTION = 0.05  # seconds that the model takes for a batch, at least
CAMERAS = 6
CODE = f"""
import numpy as np, time
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        time.sleep({EXECUTION})
        return [self.answer(len(pb.get_input_tensor_by_name(one, "image").as_numpy())) for one in requests]

    def answer(self, count):
        found = {{"boxes": np.tile(np.float32([[[1, 1, 9, 9]]]), (count, 1, 1)),
                 "scores": np.full((count, 1), 0.9, np.float32), "classes": np.zeros((count, 1), np.int32)}}
        return pb.InferenceResponse([pb.Tensor(name, value) for name, value in found.items()])
"""
CONFIG = """
name: "any" backend: "python" max_batch_size: 4
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ 48, 64, 3 ] }} ]
output [ {{ name: "boxes" data_type: TYPE_FP32 dims: [ 1, 4 ] }}, {{ name: "scores" data_type: TYPE_FP32 dims: [ 1 ] }},
         {{ name: "classes" data_type: TYPE_INT32 dims: [ 1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
"""
OUTPUTS = (Tensor("boxes", (1, 4), "FP32"), Tensor("scores", (1,), "FP32"), Tensor("classes", (1,), "INT32"))
MODEL = Model(DetectorModel("any", (Tensor("image", (48, 64, 3), "UINT8"),), OUTPUTS, Decoder("none", ("x",), 0.1), 4))
KNOBS = {name: {"any": Knobs(1, 4, (), delay)} for name, delay in (("fast", 0), ("slow", 100))}


@dataclass
class Owner:
    """A camera that counts."""

    fates: list[Outcome] = field(default_factory=list)
    confidence: float | None = None

    def found(self, shot: Shot, _model: str, _decoded: Decoded, _seconds: float) -> None:
        """Nothing to remember: `settled` is told, too."""

    def failed(self, _shot: Shot, _model: str, error: Exception) -> None:
        raise AssertionError(error)

    def settled(self, _shot: Shot, fate: Outcome) -> None:
        self.fates.append(fate)


class Pod:
    """Triton, and beside it the parts of the detector that frames go through."""

    def __init__(self, paths: Paths, client: Client) -> None:
        self.paths, self.guard, self.metrics, self.ledger = paths, Guard(), Metrics(), Ledger()
        self.client, self.serving = client, Serving(paths, client, pod="me")
        self.dispatcher = Dispatcher(
            client,
            regions=Regions(),
            start=lambda name, work: self.guard.start(name, work, essential=False),
            stage=lambda name: Stopwatch(CLOCKS, lambda spent: self.metrics.spent(name, spent)),
            clock=time.monotonic,
            ledger=self.ledger,
        )
        self.observer = Observer(
            statistics=lambda timeout: client.all_statistics(timeout=timeout),
            serving=self.serving,
            ledger=self.ledger,
            metrics=self.metrics,
            demand=lambda: {"any": 30.0},
            device=lambda _now: Seen(),
            transport=lambda: self.dispatcher.transport,
            boot="b",
            clock=time.monotonic,
        )
        self.owners = {f"camera-{number}": Owner() for number in range(CAMERAS)}

    def close(self) -> None:
        self.dispatcher.close()

    def write(self, serving_id: str) -> None:
        """Write what the operator would."""
        delay = KNOBS[serving_id]["any"].max_queue_delay_microseconds
        text = CONFIG.format(delay=delay)
        model = ModelServing("any", 1, (), 4, delay, text, {"1/model.py": "model.py"})
        (self.paths.serving / names.FILE_ACCEPTED).write_text(to_json(ServingConfig(serving_id, (model,))))

    def serve(self, serving_id: str) -> None:
        self.write(serving_id)
        until(self.serving.states, self._served, lambda states: [one.serving_id for one in states] == [serving_id])
        rooms = capacities(self.serving.wanted)
        self.dispatcher.configure({"any": MODEL}, rooms, dict.fromkeys(self.owners, 0))

    def _served(self):
        self.serving.round()
        return self.serving.states

    def send(self, turns: int) -> None:
        """Send a frame of each camera so many times, the next ones when all have settled."""
        for _ in range(turns):
            settled = len(self.fates())
            for name, owner in self.owners.items():
                picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                frame = Frame(picture, 0, time.monotonic(), time.time())
                self.dispatcher.offer(name, ("any",), Shot(owner, frame, 1), arrived=frame.arrived, wait=PATIENCE)
            until("frames settled", lambda: len(self.fates()) - settled, CAMERAS.__eq__)  # noqa: B023 - waited for

    def fates(self) -> list[Outcome]:
        return [fate for owner in self.owners.values() for fate in owner.fates]

    def look(self) -> Observation:
        """Return a new observation, as it comes over the wire."""
        # Triton counts a batch after it has answered it; until then, what was sent in whole turns does not look so.
        until("whole turns", lambda: self.client.statistics("any").inference_count, lambda count: count % CAMERAS == 0)
        last = self.observer._last
        before = last.at if last else 0.0
        found = until("a new one", self.observer.observation, lambda one: one.at > before)
        return from_json(Observation, to_json(found))


def until(what: object, look: Callable, good: Callable):
    deadline = time.monotonic() + PATIENCE
    while not good(seen := look()):
        assert time.monotonic() < deadline, (what, seen)
        threading.Event().wait(0.01)
    return seen


def between(before: Observation, after: Observation) -> Window:
    return window(before, after, pod="me", knobs=KNOBS, percentile=90, start=before.at, now=after.at)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A pod that serves `fast`. Module, since a start takes seconds."""
    home: Path = tmp_path_factory.mktemp("pod")
    paths = Paths.under(home)
    for directory in (paths.serving, paths.detector, paths.models, paths.sources / "any", paths.run):
        directory.mkdir(parents=True)
    (paths.sources / "any" / "model.py").write_text(CODE)
    installation = tritonserver.prepare()
    with (
        tritonserver.running(installation, home, paths.models, "--disable-auto-complete-config") as server,
        Client(server.grpc) as client,
        closing(Pod(paths, client)) as found,
    ):
        found.write("fast")
        assert prepare(paths) == 0
        found.serve("fast")
        yield found


def test_a_window_counts_what_was_sent(pod: Pod) -> None:
    pod.send(2)  # What is set up with the first requests is no part of it.
    before, cpu = pod.look(), pod.metrics.stage_seconds()
    pod.send(15)
    after = pod.look()
    found = between(before, after)
    model, frames = found.models["any"], 15 * CAMERAS

    assert found.disturbed == ""
    assert model.knobs == KNOBS["fast"]["any"]
    assert round(model.rate * found.seconds) == frames
    assert round(model.offered * found.seconds) == frames
    assert (model.failed, model.skipped, model.samples) == (0, 0.0, frames)
    assert sum(size * batch.executions for size, batch in model.batches.items()) == frames
    assert max(model.batches) > 1, "frames that wait went together"
    assert all(batch.seconds >= EXECUTION for batch in model.batches.values())
    executing = sum(batch.executions * batch.seconds for batch in model.batches.values())
    assert model.busy == pytest.approx(executing / found.seconds, rel=1e-6)
    assert 0 < model.busy < 1
    assert model.exchange is not None
    assert model.exchange >= model.request >= EXECUTION
    assert 0 <= model.queue < model.request
    assert model.latency is not None
    assert model.median is not None
    assert model.latency >= model.median >= EXECUTION / 1.1
    assert found.transport == "SharedMemory"
    assert (found.host or 0) > 0
    assert (found.shared_memory_free or 0) > 0
    spent = pod.metrics.stage_seconds()["request"] - cpu["request"]
    assert found.stages["request"] == pytest.approx(spent / found.seconds, rel=0.01)
    assert Counter(owner.fates.count(Outcome.SERVED) for owner in pod.owners.values()) == {17: CAMERAS}


def test_a_reload_ends_the_epoch_and_the_next_window_is_of_the_new_configuration(pod: Pod) -> None:
    pod.send(1)
    first = pod.look()
    pod.serve("slow")
    pod.send(40)  # More than before, so that no counter of Triton's need be lower.
    second = pod.look()
    assert second.models[0].images == 40 * CAMERAS, "statistics begin anew with a reload"
    assert "restarted" in between(first, second).disturbed
    pod.send(3)
    found = between(second, pod.look())
    assert found.disturbed == ""
    assert found.models["any"].knobs == KNOBS["slow"]["any"]
    assert round(found.models["any"].rate * found.seconds) == 3 * CAMERAS


def test_a_model_that_is_gone_from_triton_disturbs_and_comes_back_in_another_epoch(pod: Pod) -> None:
    first = pod.look()
    pod.client.unload("any")
    second = until("a new one", pod.observer.observation, lambda one: one.at > first.at)
    assert between(first, second).disturbed == "Triton did not answer"
    serving_id = pod.serving.states[0].serving_id
    until("it is loaded again", pod._served, lambda _: pod.client.is_ready("any"))
    third = pod.look()
    assert third.epoch != first.epoch
    assert [model.serving_id for model in third.models] == [serving_id]


def test_the_process_tells_what_its_cameras_offered_and_triton_did(tmp_path: Path) -> None:
    with (
        realpod.cameras(tmp_path / "cameras") as cameras,
        realpod.detector(tmp_path / "pod", cameras.url, "gate", "yard") as running,
    ):

        def ask() -> Observation:
            with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/observation", timeout=10) as answer:
                return from_json(Observation, answer.read().decode())

        before = ask()
        offered = before.models[0].offered
        after = until("frames", ask, lambda one: one.models and one.models[0].offered >= offered + 40)
    knobs = Knobs(1, 4)
    found = window(before, after, pod="p", knobs={"one": {"any": knobs}}, percentile=90, start=0.0, now=after.at)
    model = found.models["any"]
    assert found.disturbed == ""
    assert model.demand == 10.0, "two cameras of five frames a second"
    assert model.rate * found.seconds == pytest.approx(model.samples, abs=4), "but for those on their way"
    assert model.failed == 0
    assert 0 < model.busy < 1
    assert model.latency is not None
    assert (model.exchange or 0) >= model.request > 0
    assert found.stages.keys() >= {"read", "decode", "prepare", "request", "boxes", "track"}
    assert found.transport == "Grpc", "Triton is none of the same pod"
    assert before.at < after.at
