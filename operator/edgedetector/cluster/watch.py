"""Follow the objects of one kind: a list in pages, then the events since, for ever.

Kopf could do it, and keeps for every object what its handlers may need. Of the dozen children that each resource has,
the operator wants to know no more than which one changed: their metadata, or a digest of the whole. So this keeps the
memory and the time of a thousand resources small. And unlike a bare watch it tells what vanished while nobody watched:
whatever was known and is in no new list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from edgedetector.cluster.errors import ClusterError, ExpiredError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from edgedetector.cluster import kinds
    from edgedetector.cluster.client import Client, Object

logger = logging.getLogger(__name__)

# Seconds after which the server ends a watch; a connection that died silently is found a little later. Spread, so that
# the watches of all kinds do not begin anew at once.
LENGTH: Final = (240.0, 300.0)
# Seconds until the next look for a kind that is not served; who has it appear is told by the kinds' definitions.
ABSENT: Final = 10.0
# Seconds, after the first and after many failures in a row.
BACKOFF: Final = (0.5, 30.0)
# Failures in a row after which the version itself is doubted: a server whose store was restored never comes to it.
DOUBT: Final = 4


class Listener(Protocol):
    """Is told what is known of the objects of one kind."""

    def begin(self) -> None:
        """Begin a list: until `end`, every object that exists is told by `saw`."""

    def saw(self, obj: Object) -> None:
        """Take note of an object as it is now."""

    def end(self) -> None:
        """End the list: what was in no `saw` since `begin` is gone."""

    def gone(self, obj: Object) -> None:
        """Take note that an object was deleted, or lost the labels."""


@dataclass(slots=True)
class Watch:
    """One kind in one namespace, or in all."""

    client: Client
    kind: kinds.Kind
    namespace: str
    selector: str
    listener: Listener
    rng: random.Random
    whole: bool = False
    """Whether metadata is not enough."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _version: str = ""
    """From which the events go on; empty: a list comes first."""
    _failures: int = 0
    """In a row."""

    async def run(self) -> None:
        """Follow for ever: no failure of the API server ends it."""
        while True:
            await self.round()

    async def round(self) -> None:
        """List if that is due, follow until something ends it, and wait for as long as that asks for."""
        try:
            if not self._version:
                await self._list()
            self._failures = 0 if await self._follow() else self._failures + 1
        except ExpiredError:
            self._version = ""
            self._failures += 1  # a server that forgets at once is not to be asked in a circle
        except NotFoundError:
            self._empty()
            self._version, self._failures = "", 0
            await self.pause(ABSENT)
        except ClusterError as error:
            self._failures += 1
            level = logging.INFO if isinstance(error, UnavailableError) else logging.WARNING
            logger.log(level, "watch of %s interrupted: %s", self.kind.plural, error)
            if self._failures >= DOUBT:
                self._version = ""
        if self._failures:
            longest = min(BACKOFF[1], BACKOFF[0] * 2.0 ** min(self._failures - 1, 30))
            await self.pause(longest * self.rng.uniform(0.5, 1.0))

    async def _list(self) -> None:
        """Tell of all objects."""
        self.listener.begin()
        token = ""
        while True:
            page = await self.client.page(self.kind, self.namespace, self.selector, token, whole=self.whole)
            for obj in page.items:
                self.listener.saw(obj)
            token = page.token
            if not token:
                self.listener.end()
                self._version = page.version
                return

    async def _follow(self) -> bool:
        """Tell of events until the server ends them; returns whether there was a sign of life, a bookmark at least."""
        alive, seconds = False, int(self.rng.uniform(*LENGTH))
        events = self.client.events(self.kind, self.namespace, self.selector, self._version, seconds, whole=self.whole)
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                alive, obj = True, event["object"]
                if event["type"] == "DELETED":
                    self.listener.gone(obj)
                elif event["type"] != "BOOKMARK":
                    self.listener.saw(obj)
                self._version = obj["metadata"]["resourceVersion"]
        return alive

    def _empty(self) -> None:
        """Tell that there is nothing: a kind that is not served has no objects."""
        self.listener.begin()
        self.listener.end()
