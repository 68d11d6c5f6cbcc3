"""Kopf beside the operator: in a thread with an event loop of its own, and begun anew whenever it ends.

What it watches changes once in a while, so nothing that happens to it is worth the operator's end. In the operator's
own event loop it could not be begun anew: when it ends it cancels every task that is younger than itself, whosever it
is, and has the thread killed a little later. In a loop of its own there are no tasks but its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import os
import random
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import kopf
from kubernetes.aio import client as kubernetes

from edgedetector.controller import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from edgedetector.controller.keys import Key

    Operate = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    """Runs Kopf until it fails, or until the event is set."""

logger = logging.getLogger(__name__)

# Seconds until Kopf is begun anew, after the first and after many ends in a row.
BACKOFF: Final = (1.0, 30.0)
# Seconds of a run after which its end is no longer one in a row.
HEALTHY: Final = 60.0
# Seconds between two tries of one request.
RETRIES: Final = (0.5, 30.0)
# Seconds that Kopf gets to close its connections; it writes nothing, so nothing is lost without them.
STOPPING: Final = 5.0


class Retries:
    """Seconds between the tries of a request, without an end: Kopf ends when those that it is given are used up."""

    def __init__(self, first: float, longest: float, rng: random.Random) -> None:
        self._first, self._longest, self._rng = first, longest, rng

    def __iter__(self) -> Iterator[float]:
        for count in itertools.count():
            yield _spread(self._first, self._longest, count, self._rng)


async def login(**context: Any) -> kopf.ConnectionInfo | None:
    """Log Kopf in as the operator is logged in, to the same address.

    In a pod Kopf would look for a name instead, and not start while the cluster's DNS does not. Credentials that are
    refused end this run of Kopf, as they should: to log in once more within one run closes the connections of all its
    watches, which it takes for defects.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return kopf.login_with_kubeconfig(**context)
    found = kopf.login_with_service_account(**context)
    return found and dataclasses.replace(found, server=kubernetes.Configuration.get_default_copy().host)


def operating(
    wake: Callable[[Key], None], monitoring_changed: Callable[[], None], retries: tuple[float, float]
) -> Operate:
    """Return what runs Kopf; the callbacks are called in its thread. `retries` are as `RETRIES`."""

    async def operate(stop: asyncio.Event) -> None:
        registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
        kopf.on.login(registry=registry)(login)
        watch.register(registry, wake, monitoring_changed)
        watch.operator_settings(settings)
        settings.networking.error_backoffs = Retries(*retries, random.Random())  # noqa: S311 - keeps no secret
        await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, stop_flag=stop)

    return operate


async def watching(
    wake: Callable[[Key], None],
    monitoring_changed: Callable[[], None],
    anew: Callable[[], None],
    retries: tuple[float, float] = RETRIES,
) -> None:
    """Watch with Kopf for ever; `anew` is called whenever it is begun once more. All callbacks come in this loop."""
    loop = asyncio.get_running_loop()
    operate = operating(lambda key: _told(loop, wake, key), lambda: _told(loop, monitoring_changed), retries)
    # Kopf warns that it leaves the signals to others, which is meant.
    logging.getLogger("kopf._core.reactor.running").addFilter(_no_word_of_signals)
    rng = random.Random()  # noqa: S311 - keeps no secret
    await supervise(lambda: apart(operate), anew, loop.time, rng)


async def supervise(
    attempt: Callable[[], Awaitable[BaseException | None]],
    anew: Callable[[], None],
    clock: Callable[[], float],
    rng: random.Random,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Make attempts for ever, with pauses that grow while they are short; `anew` comes before each but the first."""
    ends = 0
    while True:
        began = clock()
        error = await attempt()
        ends = 1 if clock() - began >= HEALTHY else ends + 1
        delay = _spread(*BACKOFF, ends - 1, rng)
        # Not the error's text, which may quote what a server said.
        fields = {"reason": type(error).__name__, "ends": ends, "retry_seconds": round(delay, 1)}
        logger.warning("Kopf has ended, and is begun anew", extra={"fields": fields})
        await pause(delay)
        anew()


async def apart(operate: Operate) -> BaseException | None:
    """Run it in a thread of its own to its end, and return the error that it ended by; cancelled, stop it."""
    ended: Future[BaseException | None] = Future()
    ended.set_running_or_notify_cancel()  # so that nobody but the thread ends it
    stop: Future[Callable[[], object]] = Future()

    async def within() -> None:
        loop, flag = asyncio.get_running_loop(), asyncio.Event()
        stop.set_result(lambda: loop.call_soon_threadsafe(flag.set))
        await operate(flag)

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(within())
        except BaseException as caught:  # noqa: BLE001 - whatever it is, it ended Kopf and nothing else
            error = caught
        ended.set_result(error)

    threading.Thread(target=run, name="kopf", daemon=True).start()
    waiting = asyncio.wrap_future(ended)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        stop.add_done_callback(_stop)
        await asyncio.wait([waiting], timeout=STOPPING)
        raise


def _stop(stop: Future[Callable[[], object]]) -> None:
    with contextlib.suppress(RuntimeError):  # its loop has just ended by itself
        stop.result()()


def _told(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the operator has just ended
        loop.call_soon_threadsafe(tell, *arguments)


def _spread(first: float, longest: float, count: int, rng: random.Random) -> float:
    """Return seconds: doubling with the count, capped, from half to the whole of it."""
    return min(longest, first * 2.0 ** min(count, 30)) * rng.uniform(0.5, 1.0)


def _no_word_of_signals(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("OS signals are ignored")
