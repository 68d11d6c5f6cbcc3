"""The detector's own process under a bench, with a real tritonserver and cameras on this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from tests.unit.detector import realpod
from tests.unit.detector.realpod import Pod, until

from edgedetector.api.bench import Bench, Order
from edgedetector.api.observation import Observation
from edgedetector.api.wire import from_json, to_json
from edgedetector.observe.windows import MEASURED, window
from edgedetector.tuning.window import Knobs

pytestmark = pytest.mark.tritonserver
JSON = {"Content-Type": "application/json"}
HOURS = 90.0
"""Seconds of latency that nothing here reaches."""


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """Module, since a start takes seconds."""
    home = tmp_path_factory.mktemp("bench")
    with (
        realpod.cameras(home / "cameras") as cameras,
        realpod.detector(home / "pod", cameras.url, "gate", "yard") as running,
    ):
        yield running


@contextlib.contextmanager
def ordered(pod: Pod, order: Order) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", pod.port, timeout=realpod.PATIENCE)) as connection:
        connection.request("POST", "/bench", to_json(order), JSON)
        yield connection


def made(pod: Pod, order: Order) -> Bench:
    with ordered(pod, order) as connection:
        answer = connection.getresponse()
        text = answer.read().decode()
    assert answer.status == HTTPStatus.OK, text
    return from_json(Bench, text)


def observed(pod: Pod) -> Observation:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", pod.port, timeout=10)) as connection:
        connection.request("GET", "/observation")
        return from_json(Observation, connection.getresponse().read().decode())


def quiet(pod: Pod) -> Observation:
    """What is told once the last measurement is over: for a second the look before is told again."""
    return until("no measurement runs", lambda: observed(pod), lambda one: one.measurements % 2 == 0)


def counts(one: Observation) -> tuple[int, int, int]:
    """What the tuner counts of the cameras' frames: of the load nothing is among them."""
    (model,) = one.models
    return model.offered, sum(model.ages.values()), sum(model.exchanges.values())


def regions() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def test_the_load_grows_and_its_frames_are_none_of_the_cameras(pod: Pod) -> None:
    before, there = quiet(pod), regions()
    runs = list[Bench]()

    def run() -> Bench:
        runs.append(made(pod, Order(6.0, 4, HOURS)))
        return runs[-1]

    # On a machine that is busy with other things a camera loses a frame now and then, which ends a bench.
    found = until("a bench with two steps", run, lambda one: len(one.steps) > 2)

    first, *steps = found.steps
    assert (first.frames, first.rate) == (0, 0.0)
    assert first.requests > 0, "the cameras' own"
    assert [one.frames for one in steps] == [1, 2, 4][: len(steps)]
    whole = steps[:-1]
    assert all(0 < (one.p50 or 0) <= (one.p90 or 0) <= (one.p99 or 0) for one in whole), found
    assert all(one.rate > 2 * first.cameras for one in whole), "far more than two cameras at 5 frames a second"
    assert found.stopped
    assert found.models["any"].max_batch_size == 4
    over = before.measurements + 2 * len(runs)
    after = until("the bench is over for observers", lambda: observed(pod), lambda one: one.measurements == over)
    sent = sum(one.requests for run in runs for one in run.steps if one.frames)
    grew = [new - old for new, old in zip(counts(after), counts(before), strict=True)]
    assert max(grew) < sent, "the ledger has the cameras' frames alone"
    assert after.models[0].images - before.models[0].images >= sent
    until("its memory is given back", lambda: regions() - there, lambda left: not left)


def test_the_tuner_learns_nothing_of_it(pod: Pod) -> None:
    before = quiet(pod)
    made(pod, Order(5.0, 1, HOURS))
    after = until("another look", lambda: observed(pod), lambda one: one.measurements == before.measurements + 2)

    knobs = {model.serving_id: {"any": Knobs()} for model in after.models}
    found = window(before, after, pod="p", knobs=knobs, percentile=99, now=after.at, start=before.at)

    assert found.disturbed == MEASURED


def test_it_ends_at_the_latency_objective(pod: Pod) -> None:
    found = made(pod, Order(5.0, 4, 1e-6))

    assert [one.frames for one in found.steps] == [0], "no load where it is broken already"
    assert found.stopped.startswith("without load already, p99 was")


def test_without_an_objective_twice_the_present_is_the_limit(pod: Pod) -> None:
    found = made(pod, Order(5.0, 1))

    assert found.steps[0].p99
    assert found.limit == pytest.approx(2 * found.steps[0].p99)


def test_one_at_a_time_and_a_dead_connection_ends_it(pod: Pod) -> None:
    before = quiet(pod).measurements
    with ordered(pod, Order(120.0, 1, HOURS, by="ann@laptop")):
        until("it runs", lambda: observed(pod).measurements, lambda count: count == before + 1)
        with ordered(pod, Order()) as second:
            answer = second.getresponse()
            said: dict[str, Any] = json.load(answer)

    assert answer.status == HTTPStatus.CONFLICT
    assert said["message"] == "a bench of ann@laptop runs; it ends by itself, so try again"
    until("it has ended", lambda: observed(pod).measurements, lambda count: count == before + 2)
