"""Which replica serves which camera: rendezvous hashing, so that a lost replica moves only its own cameras."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

Resolve = Callable[[str], frozenset[str]]


def owner(camera: str, replicas: Iterable[str]) -> str:
    """Return the replica with the highest weight for a camera; `replicas` must not be empty."""
    return max(replicas, key=lambda replica: (_weight(camera, replica), replica))


def share(cameras: Iterable[str], replicas: frozenset[str], own: str) -> frozenset[str]:
    """Return the cameras that the replica `own` serves; it always counts itself as one of the replicas."""
    everyone = replicas | {own}
    return frozenset(camera for camera in cameras if owner(camera, everyone) == own)


class Peers:
    """The replicas behind a headless Service, as DNS last told.

    When DNS fails, the last answer stays: cameras must not move because a name server is restarting. Before the first
    answer a replica is alone and serves everything; two replicas that see a camera do less harm than none.
    """

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve or resolve_host
        self._host = ""
        self._known: frozenset[str] = frozenset()

    def of(self, host: str) -> frozenset[str]:
        """Return the addresses behind `host`; none for an empty name."""
        if host != self._host:
            self._host, self._known = host, frozenset()
        if host:
            try:
                self._known = self._resolve(host)
            except OSError as error:
                log.warning("replicas of %s are not known: %s", host, error)
        return self._known


def resolve_host(host: str) -> frozenset[str]:
    """Return the IP addresses of a name.

    Raises
    ------
    OSError
        If the name server does not answer or knows no such name.
    """
    return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def _weight(camera: str, replica: str) -> bytes:
    return hashlib.blake2b(f"{camera}\0{replica}".encode(), digest_size=8).digest()
