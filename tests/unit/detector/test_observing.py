"""What a pod tells of its load: counters that never go backwards within an epoch, whatever becomes of Triton."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tritonclient.grpc import service_pb2, service_pb2_grpc

from edgedetector.api import names
from edgedetector.api.dataplane import ModelServing, ModelState
from edgedetector.api.observation import BatchCounters, Observation, shrunk
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector import web
from edgedetector.detector.batching import Outcome
from edgedetector.detector.gauges import Seen
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.observing import EVERY, Observer
from edgedetector.detector.trial import Trial
from edgedetector.triton.client import Client
from edgedetector.triton.errors import UnavailableError


def statistics(name: str, *, images: int = 0, requests: int = 0, queue: int = 0, batches: dict[int, int]) -> Any:
    """Triton's counters; a batch takes 1, 5 and 2 ns for input, inference and output."""
    found = service_pb2.ModelStatistics(name=name, inference_count=images, execution_count=sum(batches.values()))
    found.inference_stats.success.count = requests
    found.inference_stats.success.ns = 100 * requests
    found.inference_stats.queue.ns = queue
    for size, count in batches.items():
        batch = found.batch_stats.add(batch_size=size)
        for part, spent in ((batch.compute_input, 1), (batch.compute_infer, 5), (batch.compute_output, 2)):
            part.count, part.ns = count, count * spent
    return found


@dataclass
class Pod:
    """The parts of a detector that tell something, as the test says."""

    loads: int = 0
    wanted: dict[str, ModelServing] = field(default_factory=dict)
    states: tuple[ModelState, ...] = ()
    trial: Trial | None = None
    triton: dict[str, Any] | None = field(default_factory=dict)
    now: float = 100.0
    asked: int = 0
    demand: dict[str, float] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    stat: str = "cpu 100 0 50 800 50 0 0 0 0 0\n"
    ledger: Ledger = field(default_factory=Ledger)
    metrics: Metrics = field(default_factory=Metrics)
    measurements: int = 0
    meanwhile: int = 0
    """Measurements that begin or end while Triton is asked."""

    def serve(self, *models: str, serving_id: str = "one") -> None:
        platforms = {name: names.ENSEMBLE if name.endswith(names.PIPELINE) else "" for name in models}
        self.wanted = {name: ModelServing(name, 1, (), 4, 0, "", {}, platforms[name]) for name in models}
        self.states = tuple(ModelState(name, "Ready", "", serving_id, 1) for name in models)

    def statistics(self, timeout: float) -> dict[str, Any]:
        assert timeout > 0
        self.asked += 1
        self.measurements += self.meanwhile
        if self.triton is None:
            raise UnavailableError("no answer")
        return self.triton

    def observer(self, shared_memory: Path = Path("/nowhere")) -> Observer:
        return Observer(
            statistics=self.statistics,
            serving=self,
            ledger=self.ledger,
            metrics=self.metrics,
            demand=lambda: self.demand,
            device=lambda _now: self.seen,
            transport=lambda: "SharedMemory",
            boot="b",
            clock=lambda: self.now,
            measurements=lambda: self.measurements,
            stat=lambda: self.stat,
            shared_memory=shared_memory,
        )


def test_everything_is_told_that_is_known(tmp_path: Path) -> None:
    pod = Pod(demand={"people": 35.0})
    pod.serve("people", "people" + names.POST_PROCESSING, "people" + names.PIPELINE)
    pod.trial = Trial("probe-1", 0, 0.0, "boot", "Running")
    pod.seen = Seen({"utilization": 0.5, "memoryTotal": 8e9}, 4, 2.5)
    pod.triton = {
        "people": statistics("people", images=9, requests=5, queue=70, batches={4: 1, 1: 5}),
        "people" + names.POST_PROCESSING: statistics("people" + names.POST_PROCESSING, batches={1: 9}),
        "people" + names.PIPELINE: statistics("people" + names.PIPELINE, images=9, batches={}),
        "stranger": statistics("stranger", images=3, batches={}),
    }
    for outcome in (Outcome.SERVED, Outcome.EXPIRED, Outcome.FAILED):
        pod.ledger.offered("people")
        pod.ledger.settled("people", outcome)
    pod.ledger.answered("people", 0.0004, [0.001])
    pod.metrics.add_camera("gate", 5.0)
    pod.metrics.rungs.labels("gate").set(2)
    pod.metrics.moves.labels("down", "HostCpu").inc(3)
    pod.metrics.moves.labels("up", "").inc(1)

    found = pod.observer(tmp_path).observation()

    model, post = found.models
    assert (model.name, model.serving_id, post.name) == ("people", "one", "people+postprocessing")
    assert (model.images, model.executions, model.requests) == (9, 6, 5)
    assert (model.queue, model.request) == (70, 500)
    assert model.batches == (BatchCounters(1, 5, 5, 25, 10), BatchCounters(4, 1, 1, 5, 2))
    assert (model.offered, model.skipped, model.failures) == (3, 1, 1)
    assert (model.ages, model.exchanges, model.exchange) == ({"8": 1}, {"0": 1}, 400_000)
    assert (model.demand, post.demand) == (35.0, 35.0)
    assert (post.executions, post.ages, post.offered, post.failures) == (9, model.ages, 3, 0)
    assert found.gauges.pop("sharedMemoryFree") > 0
    assert found.gauges == {"utilization": 0.5, "memoryTotal": 8e9}
    assert (found.looks, found.utilizations) == (4, 2.5)
    assert (found.host_busy, found.host_total) == (1.5, 10.0)
    assert (found.moves, found.degraded, found.transport) == (4, 2, "SharedMemory")
    assert (found.probe_id, found.probe_outcome) == ("probe-1", "Running")
    assert from_json(Observation, to_json(found)) == found


@pytest.mark.parametrize(
    ("before", "meanwhile", "told"),
    [(0, 0, 0), (1, 0, 1), (2, 0, 2), (0, 1, 1), (1, 1, 1), (0, 2, 1), (2, 2, 3), (1, 2, 1)],
)
def test_a_measurement_during_a_look_is_told_as_running(before: int, meanwhile: int, told: int) -> None:
    """Whether its load is among what was counted cannot be known, so it must disturb the windows on both sides."""
    pod = Pod(measurements=before, meanwhile=meanwhile)
    observer = pod.observer()

    assert observer.observation().measurements == told
    pod.meanwhile, pod.now = 0, pod.now + EVERY
    assert observer.observation().measurements == before + meanwhile


def test_why_a_probe_failed_is_told() -> None:
    pod = Pod()
    pod.trial = Trial("probe-1", 0, 0.0, "boot", "Failed", "out of memory")
    found = pod.observer().observation()
    assert (found.probe_outcome, found.probe_message) == ("Failed", "out of memory")


def test_triton_is_asked_at_most_once_a_second_and_only_when_somebody_asks() -> None:
    pod = Pod()
    observer = pod.observer()
    assert pod.asked == 0
    first = observer.observation()
    pod.now += EVERY / 2
    assert observer.observation() is first
    pod.now += EVERY / 2
    assert observer.observation() is not first
    assert pod.asked == 2


def test_a_triton_that_does_not_answer_leaves_the_rest() -> None:
    pod = Pod(triton=None)
    pod.serve("people")
    found = pod.observer().observation()
    assert found.models == ()
    assert found.host_total == 10.0


@pytest.mark.parametrize("stat", ["", "cpu x\n", "intr 1\n"])
def test_a_node_that_does_not_tell_is_not_known(stat: str) -> None:
    found = Pod(stat=stat).observer().observation()
    assert (found.host_busy, found.host_total) == (None, None)


@pytest.mark.parametrize("during", [True, False])
def test_while_a_model_is_loaded_none_serves_a_configuration(*, during: bool) -> None:
    """Nor if the load began and ended while Triton was asked: which of the two the counters are of, nobody knows."""
    pod = Pod()
    pod.serve("people")
    pod.triton = {"people": statistics("people", batches={})}
    observer = pod.observer()
    assert [model.serving_id for model in observer.observation().models] == ["one"]
    ask = pod.statistics

    def loading(timeout: float) -> dict[str, Any]:
        pod.loads += 1 if during else 2
        return ask(timeout)

    observer._statistics = loading
    pod.now += EVERY
    assert [model.serving_id for model in observer.observation().models] == [""]


class Monotone(RuleBasedStateMachine):
    """Observations of a pod to which everything happens that can; Triton's counters grow, start anew, are missing."""

    @initialize()
    def begin(self) -> None:
        self.pod = Pod()
        self.pod.serve("a", "b")
        self.observer = self.pod.observer()
        self.seen: list[Observation] = []

    @rule(
        name=st.sampled_from("ab"),
        images=st.integers(0, 3),
        requests=st.integers(0, 3),
        queue=st.integers(0, 3),
        batches=st.dictionaries(st.integers(1, 3), st.integers(0, 3)),
    )
    def say(self, name: str, batches: dict[int, int], **figures: int) -> None:
        if self.pod.triton is not None:
            self.pod.triton[name] = statistics(name, batches=batches, **figures)

    @rule(name=st.sampled_from("ab"))
    def unload(self, name: str) -> None:
        if self.pod.triton is not None:
            self.pod.triton.pop(name, None)

    @rule(answers=st.booleans())
    def triton(self, *, answers: bool) -> None:
        self.pod.triton = {} if answers else None

    @rule(times=st.integers(1, 2))
    def load(self, times: int) -> None:
        self.pod.loads += times

    @rule(models=st.sets(st.sampled_from("ab")))
    def want(self, models: set[str]) -> None:
        self.pod.serve(*models)

    @rule(busy=st.integers(0, 3), idle=st.integers(0, 3))
    def kernel(self, busy: int, idle: int) -> None:
        """Also what it should not: idle time that goes backwards."""
        self.pod.stat = f"cpu {busy} 0 0 {idle} 0 0 0 0\n"

    @rule(name=st.sampled_from("ab"), seconds=st.floats(0, 1), outcome=st.sampled_from(Outcome))
    def frame(self, name: str, seconds: float, outcome: Outcome) -> None:
        self.pod.ledger.offered(name)
        self.pod.ledger.answered(name, seconds, [seconds])
        self.pod.ledger.settled(name, outcome)

    @rule(used=st.floats(0, 1), looks=st.integers(0, 2))
    def exporter(self, used: float, looks: int) -> None:
        self.pod.seen = Seen({}, looks, used)

    @rule()
    def look(self) -> None:
        self.pod.now += EVERY
        self.seen.append(self.observer.observation())

    @invariant()
    def nothing_goes_backwards_within_an_epoch(self) -> None:
        if not getattr(self, "seen", None):
            return
        last = self.seen[-1]
        for before in self.seen[:-1]:
            if before.epoch == last.epoch:
                assert not shrunk(before, last)
                assert before.at < last.at
        epochs = [one.epoch for one in self.seen]
        assert len({*epochs}) == 1 + sum(a != b for a, b in pairwise(epochs)), "none comes back"


TestMonotone = Monotone.TestCase


def test_an_epoch_lasts_while_everything_grows_and_ends_with_what_does_not() -> None:
    pod = Pod()
    pod.serve("a")
    observer, epochs = pod.observer(), list[str]()
    # The fourth begins anew and has grown past the third by a load that nobody saw but the applier.
    for images, loads, stat in ((5, 0, 9), (6, 0, 8), (3, 0, 9), (9, 2, 9), (9, 2, 9)):
        pod.triton, pod.loads, pod.stat = (
            {"a": statistics("a", images=images, batches={})},
            loads,
            f"cpu {stat} 0 0 1\n",
        )
        epochs.append(observer.observation().epoch)
        pod.now += EVERY
    first, second, third, fourth, fifth = epochs
    assert first == second
    assert len({first, third, fourth}) == 3
    assert fourth == fifth


class Hung(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A Triton that gives statistics once it is let go."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), 0
        self.go.set()

    def ModelStatistics(self, request, context):  # noqa: ARG002, N802 - a generated name
        self.asked += 1
        self.go.wait(60)
        return service_pb2.ModelStatisticsResponse(model_stats=[statistics("people", images=7, batches={1: 7})])


@pytest.fixture
def hung() -> Iterator[tuple[Hung, str]]:
    """A Triton that can hang, and its address."""
    triton, running = Hung(), grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield triton, f"127.0.0.1:{port}"
    triton.go.set()
    running.stop(None).wait()


def test_whoever_asks_over_http_is_answered_also_while_triton_hangs(hung: tuple[Hung, str]) -> None:
    triton, address = hung
    pod = Pod()
    pod.serve("people")
    with Client(address) as client:
        observer = pod.observer()
        observer._statistics = lambda timeout: client.all_statistics(timeout=timeout)
        observer._clock = time.monotonic
        server, stop = (
            web.public(
                ("127.0.0.1", 0),
                state=str,
                observation=lambda: to_json(observer.observation()),
                exposition=bytes,
                greet=lambda _source, _text: "",
            ),
            threading.Event(),
        )
        thread = threading.Thread(target=server.run, args=(stop,))
        thread.start()

        def ask() -> Observation:
            url = f"http://127.0.0.1:{server.server_address[1]}/observation"
            with urllib.request.urlopen(url, timeout=50) as answer:
                assert answer.headers["Content-Type"] == "application/json"
                return from_json(Observation, answer.read().decode())

        try:
            first = ask()
            assert [model.images for model in first.models] == [7]
            triton.go.clear()
            observer._last = replace(first, at=first.at - EVERY)
            with ThreadPoolExecutor(4) as pool:
                answers = [one.result() for one in [pool.submit(ask) for _ in range(4)]]
            assert all(one.models == () for one in answers), "answered while it hangs, before it is let go"
        finally:
            triton.go.set()
            stop.set()
            thread.join()
