"""Workers that take keys from the queue and see each pass through to its end, good or bad."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from edgedetector.api.errors import OperatorError, UserError
from edgedetector.cluster.errors import UnavailableError
from edgedetector.controller.logs import about, frames
from edgedetector.controller.queue import KeyedQueue, backoff

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from edgedetector.controller.health import Health
    from edgedetector.controller.keys import Key, Subject
    from edgedetector.controller.metrics import Metrics

logger = logging.getLogger(__name__)

# Seconds. Far above any good pass: what takes longer hangs.
DEADLINE: Final = 60.0


class Reconciler(Protocol):
    """Brings one thing to where it should be."""

    async def reconcile(self, key: Key, /) -> float | None:
        """Do one pass.

        Returns
        -------
        float or None
            Seconds until the next look if nothing happens before; None if the thing is gone.

        Raises
        ------
        AwaitsError
            If nothing can be done before a pass over another key; no try is made before, unless something happens.
        """


class AwaitsError(Exception):
    """A pass has to wait for one over another key, whose end, good or bad, brings the next try."""

    def __init__(self, key: Key) -> None:
        super().__init__(str(key))
        self.key = key


@dataclass(slots=True)
class Loop:
    """The queue and what is done with its keys."""

    queue: KeyedQueue[Key]
    reconcilers: Mapping[Subject, Reconciler]
    metrics: Metrics
    health: Health
    clock: Callable[[], float]
    rng: random.Random
    failures: dict[Key, int] = field(default_factory=dict)
    awaiting: dict[Key, set[Key]] = field(default_factory=dict)
    """By a key, those that wait for a pass over it."""

    async def work(self) -> None:
        """Take keys for ever."""
        while True:
            key = await self.queue.take()
            try:
                await self.one(key)
            finally:
                self.queue.done(key)
                self.health.finished()
                self.metrics.queued.set(len(self.queue))

    async def one(self, key: Key) -> None:
        """See one pass through: whatever it raises ends in a log line, a figure and another try."""
        started = self.clock()
        try:
            async with asyncio.timeout(DEADLINE):
                again = await self.reconcilers[key.subject].reconcile(key)
        except AwaitsError as error:
            self.awaiting.setdefault(error.key, set()).add(key)
            self.metrics.passes.labels(key.subject, "waiting").inc()
            return
        except Exception as error:  # noqa: BLE001 - the loop outlives every pass
            self._failed(key, error)
            return
        finally:
            self.metrics.seconds.labels(key.subject).observe(self.clock() - started)
            for waiting in self.awaiting.pop(key, ()):
                self.queue.add(waiting)
        self.failures.pop(key, None)
        self.health.succeeded(key.subject)
        self.metrics.passes.labels(key.subject, "ok").inc()
        self.metrics.last_success.set_to_current_time()
        if again is not None:
            self.queue.add(key, again)

    def _failed(self, key: Key, error: Exception) -> None:
        count = self.failures[key] = self.failures.get(key, 0) + 1
        patience = error.after if isinstance(error, UnavailableError) else 0.0
        delay = max(backoff(count, self.rng), patience)
        reason = error.reason if isinstance(error, OperatorError) else type(error).__name__
        self.metrics.passes.labels(key.subject, "error").inc()
        # An error of our own says all in its text. Any other is a defect: where it happened is wanted.
        known = isinstance(error, OperatorError)
        level = logging.INFO if isinstance(error, UserError) else logging.WARNING if known else logging.ERROR
        text = str(error) if known else type(error).__name__
        where = {} if known else {"traceback": frames(error)}
        said = about(key, reason=reason, failures=count, retry_seconds=round(delay, 1), **where)
        logger.log(level, "pass failed: %s", text, extra=said)
        self.queue.add(key, delay)
