"""What the pods say of themselves, over HTTP, on a cadence of its own.

A pod's answer changes without any event at the API server: a camera goes dark, a model finishes loading. So each
detector's pods are asked every few seconds, and only an answer that differs from the last one wakes the reconciler.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import aiohttp

from edgedetector.api import names, urls
from edgedetector.api.dataplane import DetectorState
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.go2rtc import client as media_client
from edgedetector.go2rtc.state import MediaState, StreamState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

    from edgedetector.observe.snapshot import PodView

K = TypeVar("K", bound="Hashable")

Answer = DetectorState | MediaState

# Seconds. A pod on the same cluster network answers in milliseconds; a hung one must not hold up the others.
DEADLINE: Final = 2.0
# A busy pod may miss one question: only silence of this many in a row says something about it.
MISSES: Final = 3
# Bytes; a state document of 1,000 cameras has 200 kB.
MAX_BODY: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A pod to ask: what answers there depends on its component."""

    pod: str
    uid: str
    component: str
    ip: str


def targets(pods: Iterable[PodView]) -> frozenset[Target]:
    """Return the pods that can be asked: those whose answering container runs."""
    answering = {
        names.COMPONENT_TRITON: names.CONTAINER_DETECTOR,
        names.COMPONENT_MEDIA: names.CONTAINER_MEDIA_CONFIG,
    }
    return frozenset(
        Target(pod.name, pod.uid, pod.component, pod.ip)
        for pod in pods
        if pod.ip and not pod.leaving and answering.get(pod.component) in pod.running
    )


class Asker:
    """Asks one pod; silence and nonsense are None."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(self, target: Target) -> Answer | None:
        """Return what the pod says of itself, without its counters, or None."""
        try:
            if target.component == names.COMPONENT_MEDIA:
                return still(await media_client.state(target.ip, deadline=DEADLINE, session=self._session))
            async with asyncio.timeout(DEADLINE):
                url = f"http://{urls.authority(target.ip, names.PORT_DETECTOR)}/state"
                return from_json(DetectorState, await document(self._session, url))
        except (
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            InvalidDocumentError,
            UnicodeDecodeError,
            media_client.MediaUnavailableError,
        ):
            return None


async def document(session: aiohttp.ClientSession, url: str) -> str:
    """Return what is answered there, as text; anything but a document of reasonable size is "", which no document is.

    Raises
    ------
    aiohttp.ClientError, OSError, UnicodeDecodeError
        If there is no answer, or it is no text.
    """
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != HTTPStatus.OK:
            return ""
        body = b""
        async for chunk in answer.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > MAX_BODY:
                return ""
        return body.decode()


def still(state: MediaState) -> MediaState:
    """Return the state without what changes while nothing happens."""
    streams = tuple(StreamState(stream.stream, stream.state, stream.message) for stream in state.streams)
    return dataclasses.replace(state, streams=streams, restarts=0)


@dataclass(slots=True)
class _Watched:
    targets: frozenset[Target] = frozenset()
    answers: dict[str, Answer] = field(default_factory=dict)
    """By pod uid."""
    misses: dict[str, int] = field(default_factory=dict)
    interval: float = 5.0
    due: float = 0.0


class Scraper(Generic[K]):
    """Keeps the latest answers of each key's pods.

    Parameters
    ----------
    ask
        Asks one pod.
    changed
        Called with the key when an answer differs from the last one.
    clock
        Seconds on a monotonic clock.
    parallel
        Questions under way at once.
    """

    def __init__(
        self,
        ask: Callable[[Target], Awaitable[Answer | None]],
        changed: Callable[[K], None],
        clock: Callable[[], float],
        parallel: int = 32,
    ) -> None:
        self._ask = ask
        self._changed = changed
        self._clock = clock
        self._limit = asyncio.Semaphore(parallel)
        self._watched: dict[K, _Watched] = {}

    async def observe(self, key: K, wanted: frozenset[Target]) -> dict[str, Answer]:
        """Return the latest answers by pod name, asking pods that were never asked before."""
        watched = self._watched.setdefault(key, _Watched(due=self._clock()))
        watched.targets = wanted
        uids = {target.uid for target in wanted}
        watched.answers = {uid: answer for uid, answer in watched.answers.items() if uid in uids}
        watched.misses = {uid: count for uid, count in watched.misses.items() if uid in uids}
        new = [t for t in wanted if t.uid not in watched.answers and t.uid not in watched.misses]
        await asyncio.gather(*(self._question(watched, target) for target in new))
        return {target.pod: watched.answers[target.uid] for target in wanted if target.uid in watched.answers}

    def pace(self, key: K, interval: float) -> None:
        """Ask the key's pods every so many seconds from now on."""
        watched = self._watched.get(key)
        if watched is not None:
            watched.interval = interval
            watched.due = min(watched.due, self._clock() + interval)

    def forget(self, key: K) -> None:
        """Stop asking."""
        self._watched.pop(key, None)

    async def run(self, tick: float = 0.5) -> None:
        """Ask whoever is due, for ever."""
        rounds: set[asyncio.Task[None]] = set()
        while True:
            now = self._clock()
            for key, watched in list(self._watched.items()):
                if watched.due <= now and watched.targets:
                    watched.due = now + watched.interval
                    task = asyncio.create_task(self.round(key))
                    rounds.add(task)
                    task.add_done_callback(rounds.discard)
            await asyncio.sleep(tick)

    async def round(self, key: K) -> None:
        """Ask all pods of the key once and say so if an answer is new."""
        watched = self._watched.get(key)
        if watched is None:
            return
        changes = await asyncio.gather(*(self._question(watched, target) for target in watched.targets))
        if any(changes):
            self._changed(key)

    async def _question(self, watched: _Watched, target: Target) -> bool:
        """Ask one pod; tell whether what is known of it has changed."""
        async with self._limit:
            answer = await self._ask(target)
        before = watched.answers.get(target.uid)
        if answer is None:
            misses = watched.misses.get(target.uid, 0) + 1
            watched.misses[target.uid] = misses
            if misses >= MISSES:
                watched.answers.pop(target.uid, None)
            return before is not None and misses == MISSES
        watched.misses.pop(target.uid, None)
        watched.answers[target.uid] = answer
        return answer != before
