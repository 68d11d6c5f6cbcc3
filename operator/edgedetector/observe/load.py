"""How pods are asked for their load, and what they showed between one answer and the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from edgedetector.api import names, urls
from edgedetector.api.observation import Observation
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.observe.scrape import document
from edgedetector.observe.windows import SHORTEST, window
from edgedetector.tuning.window import Configuration, Window

LONGEST: Final = 120.0
"""Seconds above which a window is none: over longer ones traffic moves and comes back, which shows in no difference of
its ends. Only after a silence, since pods are asked every few seconds."""


POOLED: Final = 60.0
"""Seconds of which a percentile is made at most where a window has too few results: enough for the 99th of one camera
at 5 frames/s, and in which the next traffic has hardly come."""


async def observe(session: aiohttp.ClientSession, ip: str, deadline: float) -> Observation | None:
    """Return what a pod tells of its load; silence and nonsense are None.

    Parameters
    ----------
    ip
        Of the pod, of version 4 or 6.
    deadline
        Seconds that it may take.
    """
    url = f"http://{urls.authority(ip, names.PORT_DETECTOR)}/observation"
    try:
        async with asyncio.timeout(deadline):
            return from_json(Observation, await document(session, url))
    except (aiohttp.ClientError, OSError, TimeoutError, InvalidDocumentError, UnicodeDecodeError):
        return None


class Samples:
    """The last observations of each pod.

    Parameters
    ----------
    clock
        Seconds, the tuner's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[_Seen, ...]] = {}

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
        now, seen = self._clock(), self._seen.get(uid, ())
        new = _Seen(now, observation)
        if seen and seen[0].again(observation):
            return None
        if not seen or now - seen[0].at > LONGEST:
            self._seen[uid] = (new,)
            return None
        found = window(
            seen[0].observation,
            observation,
            pod=pod,
            knobs=knobs,
            percentile=percentile,
            now=now,
            start=seen[0].at,
            earlier=tuple(one.observation for one in seen[1:] if now - one.at <= POOLED),
        )
        # What came before a disturbance is of another configuration or another load.
        kept = () if found.disturbed else (one for one in seen if now - one.at <= POOLED)
        self._seen[uid] = (new, *kept)
        return found

    def keep(self, uids: Collection[str]) -> None:
        """Forget all other pods."""
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in uids}


@dataclass(frozen=True, slots=True)
class _Seen:
    """An observation, and when it came."""

    at: float
    observation: Observation

    def again(self, other: Observation) -> bool:
        """Return whether another one is hardly newer."""
        before = self.observation
        return before.epoch == other.epoch and 0 <= other.at - before.at < SHORTEST
