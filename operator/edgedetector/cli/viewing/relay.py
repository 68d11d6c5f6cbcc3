"""Between the pods and the pages: reads what the open pages watch, and nothing while none is open."""

from __future__ import annotations

import statistics
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Final

from edgedetector.api import names
from edgedetector.cli.errors import CommandError
from edgedetector.cli.snapshot import Snapshot, Subject
from edgedetector.cli.viewing import feeds
from edgedetector.cli.viewing.feeds import Feed
from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.message import document, packed
from edgedetector.cli.viewing.mp4 import Piece
from edgedetector.cli.viewing.page import Rate, Rates, page, running, source
from edgedetector.cli.viewing.results import parse
from edgedetector.cli.viewing.session import Session

LOOK: Final = 2.0
"""Seconds between two looks at the cluster."""
RATES: Final = 5.0
"""Seconds over which results are counted."""
VIDEO: Final = "video"
PICTURES: Final = "pictures"

Watched = Mapping[str, str]
"""Camera -> as what: `VIDEO` or `PICTURES`."""


class Relay:
    """Everything that is read for the pages.

    Parameters
    ----------
    look
        Returns what is there now, of one EdgeDetector; may raise CommandError.
    token
        Returns what events and pictures may ask for, read anew each time; empty: nothing.
    """

    def __init__(self, look: Callable[[], Snapshot], links: Links, token: Callable[[], str] = str) -> None:
        self._look = look
        self._links = links
        self._token = token
        # Held while a feed is stopped and while what one brings is taken: a stopped one brings nothing more.
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._watched: dict[str, dict[str, tuple[str, Feed]]] = {}
        self._results: dict[str, Feed] = {}
        self._trouble: dict[str, str] = {}
        self._arrivals: dict[tuple[str, str], deque[tuple[float, float]]] = {}
        self._subject: Subject | None = None
        self._opened = threading.Event()

    # Pages

    def open(self) -> Session:
        """Return a new page's session."""
        session = Session()
        with self._lock:
            self._sessions[session.id] = session
            self._watched[session.id] = {}
        session.put(packed("hello", session=session.id))
        self._opened.set()
        return session

    def close(self, session: Session) -> None:
        """Forget a page."""
        session.close()
        self.watch(session.id, {})
        with self._lock:
            self._sessions.pop(session.id, None)
            self._watched.pop(session.id, None)

    def watch(self, number: str, wanted: Watched) -> bool:
        """Have a page get these cameras and no others; False: there is no such page."""
        with self._lock:
            session, watched = self._sessions.get(number), self._watched.get(number)
            if session is None or watched is None:
                return False
            for camera in [camera for camera, (kind, _) in watched.items() if wanted.get(camera) != kind]:
                watched.pop(camera)[1].stop()
            for camera, kind in wanted.items():
                if camera not in watched:
                    watched[camera] = kind, self._feed(session, camera, kind)
        return True

    # The cluster

    def run(self, stop: threading.Event) -> None:
        """Look again and again while pages are open, until `stop` is set."""
        try:
            while not stop.is_set():
                if self._sessions:
                    self.round()
                    stop.wait(LOOK)
                else:
                    self._rest()
                    self._opened.wait(LOOK)
                    self._opened.clear()
        finally:
            self.end()

    def end(self) -> None:
        """Close all pages and ports, for good; it does not wait for a look that goes on."""
        self._links.close()
        self._rest()
        for session in list(self._sessions.values()):
            self.close(session)

    def round(self) -> None:
        """Look once, read from the inference pods that there are, and tell all pages."""
        try:
            self._told(self._look())
        except CommandError as error:
            self._tell(packed("blind", why=str(error)[:2000]))
        except Exception as error:  # noqa: BLE001 - a page that stands still would look as if all were as it was
            self._tell(packed("blind", why=_unforeseen(error)))

    def _told(self, seen: Snapshot) -> None:
        (self._subject,) = seen.subjects
        pods = running(self._subject, names.COMPONENT_TRITON)
        self._links.keep({*pods, *running(self._subject, names.COMPONENT_MEDIA)})
        self._follow(pods)
        with self._lock:
            trouble = dict(self._trouble)
        self._tell(document("page", page(seen, self.rates(time.monotonic()), trouble)))

    def rates(self, now: float) -> Rates:
        """Return what has come of each camera and model within the last seconds."""
        with self._lock:
            recent = {
                key: [age for at, age in arrivals if now - at <= RATES] for key, arrivals in self._arrivals.items()
            }
        return {key: Rate(len(ages) / RATES, statistics.median(ages) if ages else None) for key, ages in recent.items()}

    def _follow(self, pods: tuple[str, ...]) -> None:
        with self._lock:
            for pod in [pod for pod in self._results if pod not in pods]:
                self._results.pop(pod).stop()
                self._trouble.pop(_results_of(pod), None)
            for pod in pods:
                if pod not in self._results:
                    read = partial(feeds.results, self._links, pod, self._token)
                    note = partial(self._note, _results_of(pod))
                    self._results[pod] = self._begun(f"results of {pod}", read, self._result, note)

    def _rest(self) -> None:
        self._follow(())

    def _tell(self, message: bytes) -> None:
        for session in list(self._sessions.values()):
            session.put(message)

    def _note(self, what: str, why: str) -> None:
        with self._lock:
            if why:
                self._trouble[what] = why
            else:
                self._trouble.pop(what, None)

    # What comes

    def _result(self, event: dict[str, Any]) -> None:
        found, now = parse(event), time.monotonic()
        with self._lock:
            arrivals = self._arrivals.setdefault((found.camera, found.model), deque())
            arrivals.append((now, found.age))
            while now - arrivals[0][0] > RATES:
                arrivals.popleft()
            watching = [
                self._sessions[number]
                for number, watched in self._watched.items()
                if watched.get(found.camera, ("", None))[0] == VIDEO
            ]
        for session in watching:
            session.result(found, now)

    def _feed(self, session: Session, camera: str, kind: str) -> Feed:
        def told(why: str) -> None:
            if why and not session.closed:
                session.end(camera, kind, why)

        if kind == PICTURES:

            def picture(content: bytes) -> None:
                session.put(packed("picture", content, camera=camera))

            read = partial(feeds.pictures, self._links, partial(self._replica, camera), camera, self._token)
            return self._begun(f"pictures of {camera}", read, picture, told, feeds.PICTURES)

        def piece(content: Piece, what: str) -> None:
            session.video(camera, content, what, time.monotonic())

        def film(take: Callable[[Piece, str], None]) -> Generator[None]:
            return feeds.video(self._links, *self._video(camera), take)

        return self._begun(f"video of {camera}", film, piece, told)

    def _begun(
        self,
        name: str,
        read: Callable[[Callable[..., None]], Generator[None]],
        take: Callable[..., None],
        tell: Callable[[str], None],
        pause: float = 0.0,
    ) -> Feed:
        """Return a new feed, of which nothing is taken and told once it is stopped."""

        def passed(to: Callable[..., None]) -> Callable[..., None]:
            def passing(*things: Any) -> None:
                with self._lock:
                    if not feed.stopped():
                        to(*things)

            return passing

        with self._lock:  # so that `feed` is there before anything comes
            feed = Feed(name, partial(read, passed(take)), passed(tell), pause)
        return feed

    def _video(self, camera: str) -> tuple[Callable[[], str], str]:
        subject = self._subject
        if subject is None:
            raise feeds.AnswerError("the cluster was not looked at yet")
        found = source(subject, camera)
        return (lambda: found.media), found.stream

    def _replica(self, camera: str) -> str:
        return source(self._subject, camera).replica if self._subject is not None else ""


def _results_of(pod: str) -> str:
    return f"results of pod {pod}"


def _unforeseen(error: Exception) -> str:
    """Return what is told of a mistake of ours: where, and not what it says, which may hold anything."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{at.filename.replace(chr(92), '/').rpartition('/')[2]}, line {at.lineno}"
    return f"{type(error).__name__} at {where}: a mistake of this program, please report it"
