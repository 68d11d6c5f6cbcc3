"""Ports of pods that are open for the page: one each, for all that reads it, opened when it is first needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from edgedetector.cli.errors import UnreachableError

Enter = Callable[[str, int], AbstractContextManager[str]]
"""Takes pod and port, and gives the address of the port on this machine for as long as the context lasts."""


@dataclass(slots=True)
class _Link:
    # Held while it is opened, which takes seconds: others of this port wait, those of another do not.
    lock: threading.Lock = field(default_factory=threading.Lock)
    stack: ExitStack | None = None
    url: str = ""
    gone: bool = False
    """Nobody wants it any more: who is just opening it closes it."""


class Links:
    """Forwarded ports. For several threads; closing does not wait for a port that is just being opened."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter
        self._lock = threading.Lock()
        self._links: dict[tuple[str, int], _Link] = {}
        self._closed = False

    def url(self, pod: str, port: int) -> str:
        """Return the address on this machine of a pod's port.

        Raises
        ------
        CommandError
            If it cannot be forwarded.
        """
        with self._lock:
            if self._closed:
                raise UnreachableError("the page is closed")
            link = self._links.setdefault((pod, port), _Link())
        with link.lock:
            if link.stack is None and not link.gone:
                stack = ExitStack()
                link.url, link.stack = stack.enter_context(self._enter(pod, port)), stack
            url = link.url
        # After the lock: who has found it taken since then leaves the closing to us.
        if link.gone:
            _close(link)
            raise UnreachableError(f"pod {pod} is gone, or the page is closed")
        return url

    def drop(self, pod: str, port: int, url: str) -> None:
        """Close one that does not work, if nobody has done so already: the next who asks opens it anew."""
        with self._lock:
            link = self._links.get((pod, port))
        if link is not None:
            _close(link, url)

    def keep(self, pods: Collection[str]) -> None:
        """Close those of all other pods."""
        with self._lock:
            gone = [self._links.pop(key) for key in list(self._links) if key[0] not in pods]
        for link in gone:
            link.gone = True
            _close(link, wait=False)

    def close(self) -> None:
        """Close all, for good."""
        with self._lock:
            self._closed = True
        self.keep(())


def _close(link: _Link, url: str = "", *, wait: bool = True) -> None:
    if not link.lock.acquire(blocking=wait):
        return
    try:
        if link.stack is not None and url in {"", link.url}:
            stack, link.stack = link.stack, None
            with contextlib.suppress(OSError):
                stack.close()
    finally:
        link.lock.release()
