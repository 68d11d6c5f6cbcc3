"""Alive means that passes end, however they end; ready, that the first one that matters has ended well."""

from __future__ import annotations

import aiohttp
from prometheus_client import CollectorRegistry, Gauge

from edgedetector.controller import health, keys

RESYNC = 300.0


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_operator_in_which_no_pass_ends_is_not_alive_until_one_does() -> None:
    clock = Clock()
    found = health.Health(clock, RESYNC)
    assert found.alive, "the first pass has its time"
    clock.now += RESYNC * health.PATIENCE - 1
    assert found.alive
    clock.now += 1
    assert not found.alive
    found.finished()
    assert found.alive


def test_it_is_ready_from_the_first_good_pass_on_that_it_waits_for_and_stays_so() -> None:
    found = health.Health(Clock(), RESYNC, keys.Subject.PROFILE)
    found.finished()
    found.succeeded(keys.Subject.SHIPPED)
    assert not found.ready
    found.succeeded(keys.Subject.PROFILE)
    found.succeeded(keys.Subject.DETECTOR)
    assert found.ready


async def test_probe_and_figures_are_served() -> None:
    clock, registry = Clock(), CollectorRegistry()
    Gauge("anything", "A figure.", registry=registry).set(7)
    found = health.Health(clock, RESYNC)
    runner = await health.serve(0, found, registry)
    try:
        # With port 0 each of the two families gets one of its own.
        port = next(address[1] for address in runner.addresses if ":" not in address[0])
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            assert (await session.get("/healthz")).status == 200
            assert (await session.get("/readyz")).status == 503
            found.succeeded(keys.Subject.SHIPPED)
            assert (await session.get("/readyz")).status == 200
            assert "anything 7.0" in await (await session.get("/metrics")).text()
            clock.now += RESYNC * health.PATIENCE
            assert (await session.get("/healthz")).status == 503
    finally:
        await runner.cleanup()
