"""Asking pods for their load over real HTTP, and the windows between their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.observe.test_windows import AFTER, BEFORE, KNOBS

from edgedetector.api import names, wire
from edgedetector.api.observation import Observation
from edgedetector.observe.load import LONGEST, Samples, observe
from edgedetector.tuning.window import Window

Observe = Callable[[], "asyncio.Future[Observation | None]"]


@dataclass
class Pod:
    """A pod on this machine that answers GET /observation as the test says."""

    status: int = 200
    text: str = ""
    hangs: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _request: web.Request) -> web.Response:
        if self.status == 0:
            await self.hangs.wait()
        headers = {"Location": "http://192.0.2.1/"} if self.status == 302 else {}
        return web.Response(status=self.status or 200, text=self.text, headers=headers)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.fixture
async def pod(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    """A pod that is asked as 127.0.0.1."""
    found, app = Pod(), web.Application()
    app.router.add_get("/observation", found.answer)
    async with TestServer(app) as server:
        monkeypatch.setattr(names, "PORT_DETECTOR", server.port)
        yield found
        found.hangs.set()


async def test_a_pod_tells_its_load(pod: Pod, session: aiohttp.ClientSession) -> None:
    pod.text = wire.to_json(AFTER)
    assert await observe(session, "127.0.0.1", 30.0) == AFTER


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, wire.to_json(AFTER)),
        (404, "not found"),
        (302, ""),
        (200, "<html>"),
        (200, "{}"),
        (200, "[" * 100_000),
        (200, '{"at": 1, "epoch": "' + "x" * 5_000_000 + '"}'),
        (200, '{"epoch": "a", "at": 1' + "0" * 400 + "}"),
        (200, '{"at": 1, "epoch": "a", "probeOutcome": "\\ud800"}'),
        (200, '{"at": 1, "epoch": "a", "stages": {"\\ud800": 1}}'),
    ],
)
async def test_nonsense_is_no_observation(pod: Pod, session: aiohttp.ClientSession, status: int, text: str) -> None:
    pod.status, pod.text = status, text
    assert await observe(session, "127.0.0.1", 30.0) is None


async def test_whoever_hangs_or_is_not_there_is_no_observation(
    pod: Pod, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    pod.status = 0
    assert await observe(session, "127.0.0.1", 0.05) is None
    monkeypatch.setattr(names, "PORT_DETECTOR", unused_tcp_port)
    assert await observe(session, "127.0.0.1", 30.0) is None
    assert await observe(session, "::1", 30.0) is None


class Tuner:
    """Samples of pods, on a clock of the test's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.samples = Samples(lambda: self.now)

    def add(self, observation: Observation | None, *, uid: str = "u1", at: float | None = None) -> Window | None:
        self.now = self.now if at is None else at
        return self.samples.add(uid, "yard-1", observation, knobs=KNOBS, percentile=99)


def test_two_observations_make_a_window() -> None:
    tuner = Tuner()
    assert tuner.add(BEFORE) is None
    found = tuner.add(AFTER, at=1010.5)
    assert found is not None
    assert (found.pod, found.start, found.seconds, found.disturbed) == ("yard-1", 1000.0, 10.0, "")
    third = tuner.add(replace(AFTER, at=62.0), at=1012.5)
    assert third is not None
    assert (third.start, third.seconds, third.models["people"].rate) == (1010.5, 2.0, 0.0)


def test_the_same_answer_again_waits_for_a_newer_one() -> None:
    tuner = Tuner()
    assert tuner.add(BEFORE) is None
    assert tuner.add(BEFORE, at=1000.4) is None
    assert tuner.add(replace(BEFORE, at=50.9), at=1000.9) is None
    found = tuner.add(AFTER, at=1010.0)
    assert found is not None
    assert (found.start, found.seconds) == (1000.0, 10.0)


def test_silence_in_between_makes_a_longer_window_unless_it_was_long() -> None:
    tuner = Tuner()
    tuner.add(BEFORE)
    assert tuner.add(None, at=1005.0) is None
    assert (found := tuner.add(AFTER, at=1010.0)) is not None
    assert found.seconds == 10.0
    later = replace(AFTER, at=AFTER.at + LONGEST + 1)
    assert tuner.add(later, at=1011.0 + LONGEST) is None
    assert tuner.add(replace(later, at=later.at + 10), at=1021.0 + LONGEST) is not None


def test_a_pod_that_restarted_says_so_once() -> None:
    tuner = Tuner()
    tuner.add(AFTER)
    fresh = replace(BEFORE, epoch="b", at=60.5)
    assert (found := tuner.add(fresh, at=1001.0)) is not None
    assert "restarted" in found.disturbed
    assert (found := tuner.add(replace(AFTER, epoch="b", at=70.5), at=1011.0)) is not None
    assert found.disturbed == ""


def test_pods_are_told_apart_by_uid_and_forgotten() -> None:
    tuner = Tuner()
    tuner.add(BEFORE, uid="u1")
    assert tuner.add(AFTER, uid="u2") is None
    tuner.samples.keep({"u2"})
    assert tuner.add(AFTER, uid="u1", at=1010.0) is None
    assert tuner.add(replace(AFTER, at=75.0), uid="u2", at=1015.0) is not None


def results(second: int) -> int:
    """Ten a second, and after 100 s one."""
    return 10 * second if second < 100 else 900 + second


def slow(second: int, **changes: Any) -> Observation:
    """A pod of so few results, after so many seconds."""
    model = replace(BEFORE.models[0], ages={"30": results(second)})
    return replace(BEFORE, **{"at": 100.0 + second, "models": (model,), **changes})


def test_a_slow_pods_percentile_is_of_half_a_minute_and_never_of_more_than_one() -> None:
    tuner = Tuner()
    tuner.add(slow(0))
    for second in range(2, 200, 2):
        made = tuner.add(slow(second), at=1000.0 + second)
        assert made is not None
        assert made.seconds == 2.0
        model = made.models["people"]
        assert (model.latency is not None) == (results(second) - results(max(0, second - 60)) >= 299)
        if 30 <= second < 100:
            assert (model.stretch, model.samples) == (30.0, 300)


@pytest.mark.parametrize("change", [{"epoch": "b"}, {"moves": 9}, {"transport": "Grpc"}, {"measurements": 2}])
def test_what_came_before_a_disturbance_is_not_pooled(change: dict[str, Any]) -> None:
    tuner = Tuner()
    for second in range(0, 60, 2):
        tuner.add(slow(second), at=1000.0 + second)
    windows = [tuner.add(slow(second, **change), at=1000.0 + second) for second in range(60, 100, 2)]
    known = [made.models["people"].latency is not None for made in windows if made and made.models]
    assert known[-5:] == [True] * 5
    assert not any(known[:-5])
