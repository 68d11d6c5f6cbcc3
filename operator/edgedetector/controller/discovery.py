"""Which of the optional kinds the API server serves, asked live: they may be installed or removed at any time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from edgedetector.cluster import kinds
from edgedetector.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgedetector.cluster.client import Client

logger = logging.getLogger(__name__)

# Seconds. Saves a request a pass; a watch on the kinds' definitions drops the memory at once.
MEMORY: Final = 10.0


class Discovery:
    """Remembers for a moment which optional kinds there are, and tells when that changes.

    The watch on the kinds' definitions is not enough: a kind is served some time after its definition is there, and
    no event says when. So `run` asks again for ever, with one request for all detectors together.

    Parameters
    ----------
    client
        Asks the API server.
    clock
        Monotonic seconds.
    changed
        Called when an answer differs from the last one.
    """

    def __init__(self, client: Client, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._client = client
        self._clock = clock
        self._changed = changed
        self._known: frozenset[str] | None = None
        self._until = float("-inf")

    async def served(self) -> frozenset[str]:
        """Return those of the kinds that the API server serves."""
        if self._known is not None and self._clock() < self._until:
            return self._known
        found = await self._client.served(kinds.MONITORING_API, kinds.OPTIONAL)
        before, self._known, self._until = self._known, found, self._clock() + MEMORY
        if before is not None and before != found:
            logger.info("other kinds are served", extra={"fields": {"served": sorted(found)}})
            self._changed()
        return found

    def forget(self) -> None:
        """Ask again the next time."""
        self._until = float("-inf")

    async def run(self) -> None:
        """Notice for ever, within twice `MEMORY`, what comes and goes, also while every detector is at rest."""
        while True:
            try:
                await self.served()
            except ClusterError as error:
                logger.info("kinds not known: %s", error)
            await asyncio.sleep(MEMORY)
