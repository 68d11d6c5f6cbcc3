"""The tuner's loop on a box: what it writes is what a pod of ours goes by, and what came of it is compared fairly."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.dataplane.agents.fed import Fed
from bench.tuner import live, live_cases
from bench.tuner.live import MODEL, Box, Load, Measured, Wanted
from bench.tuner.live_cases import Outcome, seeded
from bench.tuner.live_loop import Loop, Story
from tests.unit.controller.tuned import GOAL, TTL, climb

from edgedetector.api import names
from edgedetector.api.dataplane import Probe, ServingConfig
from edgedetector.api.observation import BatchCounters, ModelCounters, Observation
from edgedetector.api.wire import from_json
from edgedetector.detector import trial as trials
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.repository import Paths
from edgedetector.tuning.window import Knobs


class Pod(Box):
    """A box without processes: a pod's own rules for trials on virtual time, ten frames a second of 20 ms each."""

    def __init__(self, wanted: Wanted, root: Path) -> None:
        super().__init__(wanted, Paths.under(root), "", "", memory=8192.0, roots={})
        self.seconds, self.trial, self.serves, self.epoch = 1_000_000.0, None, None, 0
        self.served: list[Knobs] = []
        self.files = Paths.under(root).serving

    def document(self, kind: Any, name: str) -> Any:
        path = self.files / name
        return from_json(kind, path.read_text()) if path.exists() else None

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.round()

    def round(self) -> None:
        probe = self.document(Probe, names.FILE_PROBE)
        self.trial = trials.judge(probe, self.trial, pod=live.POD, now=self.seconds, boot="b")
        wanted = trials.target(self.document(ServingConfig, names.FILE_ACCEPTED), probe, self.trial)
        if wanted != self.serves:
            self.serves, self.epoch = wanted, self.epoch + 1
            self.served.append(self.known[wanted.id][MODEL])

    def observe(self) -> Observation | None:
        self.round()
        assert self.serves is not None
        count = int(self.seconds * 10)
        batch = BatchCounters(1, count, 0, count * 20_000_000, 0)
        model = ModelCounters(
            MODEL, self.serves.id, count, count, 0, 0, count * 21_000_000, (batch,), demand=10.0, offered=count,
            requests=count,
        )  # fmt: skip
        trial = self.trial
        said = {"probe_id": trial.id, "probe_outcome": str(trial.outcome)} if trial is not None else {}
        return Observation(self.seconds, str(self.epoch), (model,), **said)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """One that was left with one instance."""
    return Pod(Wanted(largest=8, start=Knobs(1, 1)), tmp_path)


def loop(pod: Pod, said: list[str], **more: Any) -> Loop:
    return Loop(pod, step=climb, say=said.append, clock=lambda: pod.seconds, pause=pod.pause, **more)


def test_a_loop_tries_in_the_pod_keeps_and_tells_each_decision(pod: Pod) -> None:
    said: list[str] = []
    story = loop(pod, said).run(600.0)
    assert pod.served == [Knobs(1, 1), Knobs(2, 1), Knobs(3, 1)], "what is kept is not loaded anew"
    assert (story.probes, story.kept, story.reverted, story.final) == (2, 2, 0, {MODEL: Knobs(GOAL, 1)})
    told = [what for _, what, _ in story.decisions if what != "Diagnosis"]
    assert told == ["Probed", "Kept", "Probed", "Kept", "Converged"]
    assert len(said) == len(story.decisions)
    assert story.converged is not None
    assert story.disturbed


def test_a_trial_that_nobody_renews_is_ended_by_the_pod(pod: Pod) -> None:
    running = loop(pod, [])
    while pod.trial is None:
        running.look()
        pod.pause(2.0)
    pod.pause(TTL + 1.0)
    assert pod.served == [Knobs(1, 1), Knobs(2, 1), Knobs(1, 1)]


def test_when_its_time_is_up_a_trial_is_withdrawn_and_what_is_accepted_serves(pod: Pod) -> None:
    story = loop(pod, []).run(3.0)
    pod.round()
    assert not (pod.files / names.FILE_PROBE).exists()
    assert (pod.served[-1], story.final) == (Knobs(1, 1), {MODEL: Knobs(1, 1)})


def measured(rate: float, p99: float | None = 40.0) -> Measured:
    return Measured(5.0, rate, 200.0, 20.0, p99, 0.1, 0, 0.5, rate)


def outcome(after: Measured, swept: dict[Knobs, Measured]) -> Outcome:
    story = Story(final={MODEL: Knobs(2, 8)})
    return Outcome(measured(100.0), after, story, "Link", "", 0, swept=swept, latency=0.05)


def test_the_best_keeps_the_latency_and_what_was_reached_may_be_it() -> None:
    swept = {Knobs(4, 32): measured(300.0, 60.0), Knobs(1, 8): measured(160.0), Knobs(4, 8): measured(170.0, None)}
    assert outcome(measured(150.0), swept).best == (Knobs(1, 8), measured(160.0))
    assert outcome(measured(150.0), swept).reached == pytest.approx(150 / 160)
    assert outcome(measured(180.0), swept).reached == 1.0
    assert outcome(measured(180.0, 90.0), {}).best is None


@pytest.mark.parametrize(("again", "steady"), [(95.0, True), (80.0, False), (115.0, False)])
def test_a_case_counts_if_what_it_began_with_still_shows_the_same(again: float, *, steady: bool) -> None:
    one = outcome(measured(150.0), {})
    assert one.steady is None
    one.again = measured(again)
    assert one.steady is steady


def test_a_record_is_json_whatever_came() -> None:
    case = live_cases.NAMED["ks20-x4"]
    for one in (outcome(measured(150.0), {}), outcome(measured(0.0, None), {Knobs(1, 1): measured(0.0, None)})):
        found = json.loads(json.dumps(live_cases.record(case, one, case.missed(one))))
        assert found["missed"]
        assert case.name in live_cases.summary(case, one)


@pytest.mark.parametrize("case", [*live_cases.NAMED.values(), seeded(7), seeded(8)], ids=lambda case: case.name)
def test_every_case_can_be_specified_and_starts_as_it_says(case: live_cases.Case, tmp_path: Path) -> None:
    box = Pod(replace(case.wanted, largest=case.wanted.largest or 32), tmp_path)
    loop(box, [])
    (model,) = box.accepted.models
    start = case.wanted.start
    assert (model.instances, model.max_batch_size) == (start.instances, start.max_batch_size)
    assert model.max_queue_delay_microseconds == start.max_queue_delay_microseconds
    box.round()
    assert box.served == [start]


def test_streams_from_memory_come_at_their_rate_and_end_with_another_url() -> None:
    asked = itertools.cycle([True, False])
    fed = Fed("memory:500/cam0", CLOCKS, due=lambda _: next(asked), budget=None)
    frames = fed.frames()
    first, second = next(frames), next(frames)
    assert second.arrived > first.arrived
    assert fed.reading().frames["decoded"] == 2
    assert fed.reading().frames["passed_over"] == 1
    fed.url = "memory:1/cam0"
    assert list(frames) == []


def test_a_stream_that_is_stopped_ends() -> None:
    fed = Fed(f"memory:{Load().rate:g}/cam0", CLOCKS, due=lambda _: True)
    threading.Timer(0.01, fed.stop).start()
    assert len(list(fed.frames())) <= 1
