"""Passes that end well, fail, or hang, on virtual time."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.controller import virtual

from edgedetector.api.errors import PermanentError, RetryError
from edgedetector.cluster.errors import UnavailableError
from edgedetector.controller import keys
from edgedetector.controller.health import Health
from edgedetector.controller.logs import JsonFormatter
from edgedetector.controller.loop import DEADLINE, AwaitsError, Loop
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.queue import KeyedQueue

KEY = keys.detector("site", "yard")


class Scripted:
    """A reconciler that does what its script says, pass by pass, and notes when."""

    def __init__(self, clock: Callable[[], float], *script: Any) -> None:
        self.clock, self.script, self.times = clock, list(script), list[float]()

    async def reconcile(self, _key: keys.Key, /) -> float | None:
        self.times.append(self.clock())
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await asyncio.sleep(10_000)
        return step  # type: ignore[no-any-return]


def play(*script: Any, seconds: float = 1000.0) -> tuple[list[float], Metrics, Health]:
    async def run() -> tuple[list[float], Metrics, Health]:
        clock = asyncio.get_running_loop().time
        queue: KeyedQueue[keys.Key] = KeyedQueue(clock)
        reconciler = Scripted(clock, *script)
        metrics, health = Metrics(), Health(clock, 300.0)
        subjects = {keys.Subject.DETECTOR: reconciler}
        loop = Loop(queue, subjects, metrics, health, clock, random.Random(1))
        queue.add(KEY)
        worker = asyncio.create_task(loop.work())
        await asyncio.sleep(seconds)
        worker.cancel()
        return reconciler.times, metrics, health

    return virtual.run(run())


def test_the_next_look_comes_when_the_pass_asked_for_it() -> None:
    assert play(5.0, 300.0, None)[0] == [0, 5, 305]


def test_a_resource_that_is_gone_is_not_looked_at_again() -> None:
    assert play(None)[0] == [0]


def test_a_failing_pass_is_tried_again_after_longer_and_longer_and_forgets_its_failures_on_success() -> None:
    times, metrics, _ = play(*[RetryError("no")] * 4, 1.0, RetryError("no"), None)
    waits = [after - before for before, after in itertools.pairwise(times)]
    for wait, ceiling in zip(waits, [0.5, 1, 2, 4], strict=False):
        assert ceiling / 2 <= wait <= ceiling
    assert waits[4] == pytest.approx(1.0)
    assert waits[5] <= 0.5
    failed = metrics.registry.get_sample_value(
        "edgedetector_operator_reconciles_total", {"subject": "EdgeDetector", "result": "error"}
    )
    assert failed == 5


def test_a_pass_that_waits_for_another_comes_after_each_of_those_and_is_no_success() -> None:
    """The other one fails once; later ones of it wake nobody who has gone on."""

    async def run() -> tuple[list[float], Metrics]:
        clock = asyncio.get_running_loop().time
        queue: KeyedQueue[keys.Key] = KeyedQueue(clock)
        awaiting = Scripted(clock, AwaitsError(keys.SHIPPED), AwaitsError(keys.SHIPPED), None)
        awaited = Scripted(clock, 7.0, RetryError("no"), 100.0, 100.0, None)
        subjects = {keys.Subject.DETECTOR: awaiting, keys.Subject.SHIPPED: awaited}
        metrics = Metrics()
        loop = Loop(queue, subjects, metrics, Health(clock, 300.0), clock, random.Random(1))
        queue.add(keys.SHIPPED)
        await loop.one(await queue.take())
        queue.done(keys.SHIPPED)
        succeeded = metrics.registry.get_sample_value("edgedetector_operator_last_success_timestamp_seconds")
        queue.add(KEY)
        await loop.one(await queue.take())
        queue.done(KEY)
        assert metrics.registry.get_sample_value("edgedetector_operator_last_success_timestamp_seconds") == succeeded
        worker = asyncio.create_task(loop.work())
        await asyncio.sleep(1000)
        worker.cancel()
        assert len(awaited.times) == 5
        assert awaiting.times[1:] == awaited.times[1:3]
        return awaiting.times, metrics

    times, metrics = virtual.run(run())
    assert len(times) == 3
    count = functools.partial(metrics.registry.get_sample_value, "edgedetector_operator_reconciles_total")
    assert count({"subject": "EdgeDetector", "result": "waiting"}) == 2
    assert count({"subject": "EdgeDetector", "result": "ok"}) == 1
    assert count({"subject": "EdgeDetector", "result": "error"}) is None


def test_an_api_server_that_asks_for_patience_is_left_alone_for_so_long() -> None:
    asked = UnavailableError("too many requests")
    asked.after = 7.0
    assert play(asked, None)[0] == [0, 7]


def test_a_pass_that_hangs_is_ended_and_tried_again() -> None:
    times = play("hang", None)[0]
    assert DEADLINE <= times[1] <= DEADLINE + 1


def test_a_defect_in_a_pass_ends_neither_the_worker_nor_silently(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        times = play(KeyError("rtsp://user:password@camera"), PermanentError("said"), None)[0]
    assert len(times) == 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    for formatter in (JsonFormatter(), logging.Formatter("%(message)s %(fields)s")):
        line = formatter.format(caplog.records[0])
        assert "KeyError" in line
        assert "in reconcile" in line, "where it happened is wanted"
        assert "password" not in line


def test_failing_passes_count_as_life_and_silence_does_not() -> None:
    assert play(*[RetryError("no")] * 100, seconds=2000)[2].alive
    assert not play(None, seconds=2000)[2].alive
