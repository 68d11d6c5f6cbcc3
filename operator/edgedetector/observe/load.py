"""How pods are asked for their load, and what they showed between one answer and the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import aiohttp

from edgedetector.api import names
from edgedetector.api.observation import Observation
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.observe.scrape import document
from edgedetector.observe.windows import SHORTEST, window
from edgedetector.tuning.window import Configuration, Window

LONGEST: Final = 120.0
"""Seconds above which a window is none: over longer ones traffic moves and comes back, which shows in no difference of
its ends. Only after a silence, since pods are asked every few seconds."""


async def observe(session: aiohttp.ClientSession, ip: str, deadline: float) -> Observation | None:
    """Return what a pod tells of its load; silence and nonsense are None.

    Parameters
    ----------
    ip
        Of the pod, of version 4 or 6.
    deadline
        Seconds that it may take.
    """
    host = f"[{ip}]" if ":" in ip else ip
    try:
        async with asyncio.timeout(deadline):
            return from_json(Observation, await document(session, f"http://{host}:{names.PORT_DETECTOR}/observation"))
    except (aiohttp.ClientError, OSError, TimeoutError, InvalidDocumentError, UnicodeDecodeError):
        return None


class Samples:
    """The last observation of each pod.

    Parameters
    ----------
    clock
        Seconds, the tuner's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, Observation]] = {}

    def add(
        self,
        uid: str,
        pod: str,
        observation: Observation | None,
        *,
        knobs: Mapping[str, Configuration],
        percentile: int,
    ) -> Window | None:
        """Return the window since the pod's last observation; None if there is none to tell of yet.

        A pod that was silent in between has a longer window: its own counters tell whether it was away. An observation
        that is not a second newer waits for the next.

        Parameters
        ----------
        uid, pod
            Of the pod; one that is made anew under the name of another has another uid.
        knobs, percentile
            See `windows.window`.
        """
        if observation is None:
            return None
        now, last = self._clock(), self._last.get(uid)
        if last is not None and last[1].epoch == observation.epoch and 0 <= observation.at - last[1].at < SHORTEST:
            return None
        self._last[uid] = now, observation
        if last is None or now - last[0] > LONGEST:
            return None
        start, before = last
        return window(before, observation, pod=pod, knobs=knobs, percentile=percentile, now=now, start=start)

    def keep(self, uids: Collection[str]) -> None:
        """Forget all other pods."""
        self._last = {uid: last for uid, last in self._last.items() if uid in uids}
