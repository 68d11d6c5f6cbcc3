"""Which replica should serve which camera: rendezvous hashing, with a bound on what one replica gets.

Every replica that sees the same cameras and replicas computes the same. A lost replica moves its own cameras, and of
the others only some that the bound keeps, or had kept, from their first choice.
"""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil
from types import MappingProxyType
from typing import Final

log = logging.getLogger(__name__)

Resolve = Callable[[str], frozenset[str]]

BOUND: Final = Fraction(5, 4)
"""No replica gets more than this times the mean (the 1 + epsilon of Mirrokni, Thorup and Zadimoghaddam, "Consistent
Hashing with Bounded Loads", 2016): lower is more even, higher moves fewer cameras when replicas come and go."""


def limit(cameras: int, replicas: int) -> int:
    """Return how many cameras one replica gets at most: ceil(BOUND x cameras / replicas)."""
    return ceil(BOUND * cameras / replicas)


def assign(cameras: frozenset[str], replicas: frozenset[str]) -> Mapping[str, str]:
    """Return the replica of each camera; empty without replicas.

    The pairs of camera and replica are taken by falling weight, and each that still finds the camera free and the
    replica not full holds. So a replica keeps the cameras that weigh most with it, and one that it has no room for goes
    to its next choice, whatever the order in which the cameras are named.
    """
    return _assign(cameras, replicas)


# A few replicas' views of the recent past: the fleet asks every second, and the answer changes once in a while.
@lru_cache(maxsize=8)
def _assign(cameras: frozenset[str], replicas: frozenset[str]) -> Mapping[str, str]:
    pairs = sorted((weight(camera, replica), replica, camera) for camera in cameras for replica in replicas)
    room = dict.fromkeys(replicas, limit(len(cameras), len(replicas)) if replicas else 0)
    found: dict[str, str] = {}
    for _, replica, camera in reversed(pairs):
        if camera not in found and room[replica]:
            found[camera] = replica
            room[replica] -= 1
    return MappingProxyType(found)


def owner(camera: str, replicas: Iterable[str]) -> str:
    """Return the first choice of a camera, whatever the bound says; `replicas` must not be empty."""
    return max(replicas, key=lambda replica: (weight(camera, replica), replica))


def resolve_host(host: str) -> frozenset[str]:
    """Return the IP addresses of a name.

    Raises
    ------
    OSError
        If the name server does not answer or knows no such name.
    """
    return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def weight(camera: str, replica: str) -> bytes:
    """Return how much a camera and a replica want each other: 8 bytes, to be compared with those of other pairs."""
    return hashlib.blake2b(f"{camera}\0{replica}".encode(), digest_size=8).digest()
