"""What is read from the pods for the page: video, results, and pictures where the browser cannot play the video.

A feed is a thread that reads one thing until it is stopped. Whatever ends it, a pod that is replaced or a port that is
no longer forwarded, it tells, waits a moment and begins anew with the pod that is there then.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from edgedetector.api import names
from edgedetector.cli.errors import CommandError
from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.mp4 import NoVideoError, Piece, Splitter

SILENCE: Final = 15.0
"""Seconds without a byte after which a connection is given up: events have a comment every 5 s, and a camera that is
dialled again has been so by then."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 8.0
"""Seconds until a feed begins anew, doubled each time that it brings nothing."""
PICTURES: Final = 1.0
"""Seconds between two pictures: each costs the box some 10 ms of a core."""
CHUNK: Final = 1 << 16

Pod = Callable[[], str]
"""Name of the pod to read from now; empty: there is none."""


class AnswerError(Exception):
    """A pod answers, and not with what is wanted; says what helps."""


class Feed:
    """A thread that reads again and again.

    Parameters
    ----------
    read
        Reads until it ends or breaks off; yields whenever something has come.
    tell
        Told why nothing comes; empty: all is well.
    pause
        Seconds to wait after each thing that comes.
    """

    def __init__(
        self, name: str, read: Callable[[], Generator[None]], tell: Callable[[str], None], pause: float = 0.0
    ) -> None:
        self._read = read
        self._tell = tell
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stopped(self) -> bool:
        """Return whether it is to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End it, at the next thing that comes or the silence that follows."""
        self._stop.set()

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self.stopped():
            why = "the connection has ended"
            try:
                with closing(self._read()) as things:
                    for _ in things:
                        if self.stopped():
                            return
                        self._tell("")
                        wait = FIRST_WAIT
                        self._stop.wait(self._pause)
            except (AnswerError, CommandError, NoVideoError) as error:
                why = str(error)
            except (OSError, http.client.HTTPException) as error:
                why = f"the connection is broken: {type(error).__name__}"
            except (ValueError, LookupError, TypeError) as error:
                why = f"what comes cannot be read: {type(error).__name__}"
            if self.stopped():
                return
            self._tell(why)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)


@contextmanager
def opened(links: Links, pod: str, port: int, path: str, *, token: str = "") -> Iterator[http.client.HTTPResponse]:
    """Open a request to a pod; whatever fails closes the forwarded port, since nobody else says that it is dead.

    Raises
    ------
    CommandError
        If the port cannot be forwarded.
    OSError, http.client.HTTPException
        If nobody answers.
    """
    url = links.url(pod, port)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SILENCE)
    try:
        headers = {names.HEADER_VIEW: names.HEADER_VIEW_VALUE}
        connection.request("GET", path, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
        yield connection.getresponse()
    except (OSError, http.client.HTTPException):
        links.drop(pod, port, url)
        raise
    finally:
        connection.close()


def video(links: Links, pod: Pod, stream: str, take: Callable[[Piece, str], None]) -> Generator[None]:
    """Read a camera's video as it is, and hand it on in pieces with its type, e.g. `video/mp4; codecs="avc1.640028"`.

    Raises
    ------
    AnswerError
        If there is no video that a browser could play.
    """
    found = _there(pod(), "no media pod runs")
    path = f"{names.PATH_VIDEO}{quote(stream)}"
    with opened(links, found, names.PORT_MEDIA_VIDEO, path) as answer:
        if answer.status == HTTPStatus.NOT_FOUND:
            raise AnswerError("the media pod does not know the camera yet")
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise AnswerError("too many watch the cameras of the media pod at once: close a page")
        if answer.status != HTTPStatus.OK:
            # The state of the camera says why.
            raise AnswerError("the media pod has no video of it that a browser can play")
        splitter, kind = Splitter(), answer.headers.get("Content-Type", "")
        while content := answer.read1(CHUNK):
            for piece in splitter.feed(content):
                take(piece, kind)
            yield


def results(
    links: Links, pod: str, token: Callable[[], str], take: Callable[[dict[str, Any]], None]
) -> Generator[None]:
    """Read what an inference pod finds.

    Raises
    ------
    AnswerError
        If it does not let us.
    """
    with opened(links, pod, names.PORT_DETECTOR_EVENTS, "/events", token=token()) as answer:
        _permitted(answer)
        event = ""
        while line := answer.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("event:"):
                event = text[6:].strip()
            elif text.startswith("data:") and not event:
                take(json.loads(text[5:]))
            elif not text:
                event = ""
            yield


def pictures(
    links: Links, pod: Pod, camera: str, token: Callable[[], str], take: Callable[[bytes], None]
) -> Generator[None]:
    """Fetch the newest picture of a camera, with its boxes, again and again.

    Raises
    ------
    AnswerError
        If there is none.
    """
    while True:
        found = _there(pod(), "no inference pod has the camera")
        path = f"/snapshot/{quote(camera)}.jpg"
        with opened(links, found, names.PORT_DETECTOR_EVENTS, path, token=token()) as answer:
            _permitted(answer)
            if answer.status != HTTPStatus.OK:
                raise AnswerError("there is no picture of it yet")
            take(answer.read())
        yield


def _permitted(answer: http.client.HTTPResponse) -> None:
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise AnswerError(
            "spec.outputs.events.tokenSecretRef asks for a token; give a file that holds it with --token-file"
        )


def _there(pod: str, why: str) -> str:
    if not pod:
        raise AnswerError(why)
    return pod
