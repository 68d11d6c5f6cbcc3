"""Asking pods: over real HTTP, and on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.controller import virtual

from edgedetector.api import names, wire
from edgedetector.api.dataplane import CameraState, DetectorState
from edgedetector.go2rtc.state import MediaState, StreamState
from edgedetector.observe import scrape
from edgedetector.observe.snapshot import PodView

POD = scrape.Target("yard-triton-1", "uid-1", names.COMPONENT_TRITON, "10.0.0.1")
LIVE = DetectorState(1, "id", cameras=(CameraState("gate", "Live"),))
DARK = DetectorState(1, "id", cameras=(CameraState("gate", "Stalled"),))


class Pods:
    """Pods that answer what a test says, and how often they were asked."""

    def __init__(self, answer: scrape.Answer | None) -> None:
        self.answer, self.asked = answer, 0

    async def __call__(self, _target: scrape.Target) -> scrape.Answer | None:
        self.asked += 1
        return self.answer


async def scraper(pods: Pods, woken: list[float], interval: float) -> scrape.Scraper[str]:
    """A scraper that runs and has looked at one pod once."""
    clock = asyncio.get_running_loop().time
    found: scrape.Scraper[str] = scrape.Scraper(pods, lambda _key: woken.append(clock()), clock)
    await found.observe("yard", frozenset({POD}))
    found.pace("yard", interval)
    return found


def play(*changes: tuple[float, scrape.Answer | None], interval: float = 5.0, seconds: float = 60.0) -> list[float]:
    """When the reconciler is woken, if the pod's answer changes at the given times from `LIVE`."""

    async def run() -> list[float]:
        loop, woken, pods = asyncio.get_running_loop(), list[float](), Pods(LIVE)
        found = await scraper(pods, woken, interval)
        running = asyncio.create_task(found.run(tick=0.5))
        for at, answer in changes:
            loop.call_at(at, setattr, pods, "answer", answer)
        await asyncio.sleep(seconds)
        running.cancel()
        return woken

    return virtual.run(run())


def test_an_answer_that_stays_the_same_wakes_nobody() -> None:
    assert play() == []


def test_a_change_is_seen_within_the_interval_and_told_once() -> None:
    assert len(woken := play((12.1, DARK))) == 1
    assert 12.1 <= woken[0] <= 17.6


def test_one_missed_answer_says_nothing_and_three_do() -> None:
    assert play((12.1, None), (18.0, LIVE)) == []
    assert len(play((12.1, None))) == 1


def test_a_pod_that_was_never_asked_is_asked_at_once_and_others_are_not() -> None:
    async def run() -> tuple[int, dict[str, scrape.Answer]]:
        pods = Pods(LIVE)
        found = await scraper(pods, [], 5.0)
        answers = await found.observe("yard", frozenset({POD}))
        return pods.asked, answers

    assert virtual.run(run()) == (1, {"yard-triton-1": LIVE})


def test_a_pod_that_is_gone_is_forgotten() -> None:
    async def run() -> dict[str, scrape.Answer]:
        found = await scraper(Pods(LIVE), [], 5.0)
        return await found.observe("yard", frozenset())

    assert virtual.run(run()) == {}


def test_only_pods_whose_answering_container_runs_are_asked() -> None:
    def view(component: str, *running: str, ip: str = "10.0.0.1", leaving: bool = False) -> PodView:
        name = f"{component}-{len(running)}-{ip}-{leaving}"
        return PodView(name, name, component, ip=ip, leaving=leaving, running=frozenset(running))

    triton, detector, config = names.CONTAINER_TRITON, names.CONTAINER_DETECTOR, names.CONTAINER_MEDIA_CONFIG
    asked = [view("triton", triton, detector), view("media", config)]
    passed = [
        view("triton", triton),
        view("triton", triton, detector, ip=""),
        view("triton", triton, detector, leaving=True),
        view("exporter", "exporter"),
    ]
    assert {target.pod for target in scrape.targets([*asked, *passed])} == {pod.name for pod in asked}


def test_counters_of_the_media_server_are_no_news() -> None:
    before = MediaState(1, "r", ready=True, streams=(StreamState("s", "Live", bytes_received=1, consumers=1),))
    after = MediaState(1, "r", ready=True, restarts=2, streams=(StreamState("s", "Live", bytes_received=9),))
    assert scrape.still(before) == scrape.still(after)


@pytest.fixture
async def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[scrape.Asker]:
    """An asker whose pod, on this machine, answers /state as the test's parameter says."""
    status, text = request.param

    async def handle(_request: web.Request) -> web.Response:
        headers = {"Location": "http://192.0.2.1/"} if status == 302 else {}
        return web.Response(status=status, text=text, headers=headers)

    app = web.Application()
    app.router.add_get("/state", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        monkeypatch.setattr(names, "PORT_DETECTOR", server.port)
        yield scrape.Asker(session)


HERE = scrape.Target("p", "1", names.COMPONENT_TRITON, "127.0.0.1")


@pytest.mark.parametrize("served", [(200, wire.to_json(LIVE))], indirect=True)
async def test_a_pod_says_what_it_is(served: scrape.Asker) -> None:
    assert await served(HERE) == LIVE


@pytest.mark.parametrize(
    "served", [(500, ""), (200, "<html>"), (200, "{}"), (302, ""), (200, '{"x": "' + "x" * 5_000_000)], indirect=True
)
async def test_nonsense_is_no_answer(served: scrape.Asker) -> None:
    assert await served(HERE) is None


async def test_a_closed_port_is_no_answer() -> None:
    async with aiohttp.ClientSession() as session:
        assert await scrape.Asker(session)(HERE) is None
