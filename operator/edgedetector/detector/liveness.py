"""Which replicas are alive, pure: what probes found and when -> who counts as a replica.

    unknown ──answer──> alive ──three misses in a row, or another's answer──> dead ──newer answer──> alive

Replicas exchange greetings: a probe carries the prober's own, the answer that of the probed. So each direction in which
connections work tells both sides, and a replica that is slow to answer is heard through its own probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Final

PERIOD: Final = 1.0
"""Seconds from the start of one probe to that of the next."""
DEADLINE: Final = 0.5
"""Seconds in which a probe is answered, connection and all; after a miss the next follows at once, and no sooner."""
MISSES: Final = 3
"""Misses in a row after which a replica is dead: at most PERIOD + MISSES x DEADLINE = 2.5 s after its last sign."""
STUCK: Final = 3.0
"""Seconds without a turn of its cameras' loop after which a replica that still answers HTTP is dead all the same."""


class Finding(StrEnum):
    """What a probe came to."""

    ANSWERED = "Answered"
    REFUSED = "Refused"
    """Nobody listens, or the connection broke off: the process is gone, the pod is not."""
    UNREACHABLE = "Unreachable"
    """No connection came about: the pod or the way to it is gone."""
    HUNG = "Hung"
    """Connected, and no whole answer within the deadline; or an answer that says that the cameras' loop is stuck."""
    WRONG = "Wrong"
    """Somebody else answered: the address belongs to another pod now."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What replicas tell each other: who I am, and what I do with which camera."""

    group: str
    """Namespace and name of the EdgeDetector: a replica of another one is none of ours."""
    address: str
    """IP address of the pod, by which replicas know each other."""
    pod: str
    """Name of the pod, for people."""
    boot: str
    """Random, once a process."""
    number: int
    """Rises with each greeting of this process: one that was overtaken on its way is recognised."""
    idle: float = 0.0
    """Seconds since the loop that keeps the cameras last turned."""
    joining: bool = False
    """Has not looked around yet, and takes no cameras."""
    leaving: bool = False
    """Is being ended: everything it holds is offered."""
    held: tuple[str, ...] = ()
    """Cameras that it reads or tries to open."""
    live: tuple[str, ...] = ()
    """Those of `held` from which frames arrive."""
    offered: tuple[str, ...] = ()
    """Those of `held` that it thinks another should take over."""

    @property
    def member(self) -> bool:
        """Whether cameras are shared out to it."""
        return not self.joining and not self.leaving


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of one address. Times in seconds, monotonic."""

    due: float
    """When to probe it next."""
    began: float | None = None
    """When the probe that is under way was sent; None: there is none."""
    greeting: Greeting | None = None
    """The newest that came from it."""
    misses: int = 0
    finding: Finding | None = None
    """Of the last probe; None before the first has ended."""

    @property
    def alive(self) -> bool:
        """Whether it counts as a replica: one that has never answered does not."""
        return self.greeting is not None and self.misses < MISSES and self.greeting.idle < STUCK

    def begun(self, now: float) -> Peer:
        """Return the peer after a probe was sent."""
        return replace(self, due=now + PERIOD, began=now)

    def ended(self) -> Peer:
        """Return the peer after a probe came to an end, whatever it found."""
        return replace(self, began=None)

    def hurried(self, now: float) -> Peer:
        """Return the peer with its next probe due at once; not one that is suspected: its misses would come as fast."""
        return self if self.misses or not self.alive else replace(self, due=now)

    def heard(self, greeting: Greeting) -> Peer:
        """Return the peer after a greeting came, as an answer or with a probe of its own.

        One that was sent before the newest known is no sign of life: it may have been under way since.
        """
        known = self.greeting
        if known and known.boot == greeting.boot and known.number >= greeting.number:
            return self
        finding = Finding.HUNG if greeting.idle >= STUCK else Finding.ANSWERED
        return replace(self, greeting=greeting, misses=0, finding=finding)

    def missed(self, finding: Finding) -> Peer:
        """Return the peer after the probe under way failed: one that is suspected is asked again before its turn."""
        misses = MISSES if finding is Finding.WRONG else min(self.misses + 1, MISSES)
        missed = replace(self, misses=misses, finding=finding)
        if self.began is None or not missed.alive:
            return missed
        return replace(missed, due=min(self.due, self.began + DEADLINE))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other replicas, by address."""

    peers: Mapping[str, Peer] = field(default_factory=dict)

    def listed(self, addresses: Iterable[str], now: float) -> Neighbours:
        """Return them after DNS told of `addresses`. One that is alive stays, listed or not: it answers."""
        kept = {address: peer for address, peer in self.peers.items() if peer.alive or address in addresses}
        return Neighbours({address: Peer(due=now) for address in addresses} | kept)

    def due(self, now: float) -> frozenset[str]:
        """Return the addresses that are to be probed."""
        return frozenset(address for address, peer in self.peers.items() if peer.due <= now and peer.began is None)

    def next_due(self) -> float:
        """Return when the next probe is due; infinity when none is to be sent before another has ended."""
        return min((peer.due for peer in self.peers.values() if peer.began is None), default=inf)

    def put(self, address: str, peer: Peer) -> Neighbours:
        """Return them with one changed."""
        return Neighbours({**self.peers, address: peer})

    def alive(self) -> Mapping[str, Greeting]:
        """Return the greetings of those that are alive, by address."""
        return {address: peer.greeting for address, peer in self.peers.items() if peer.greeting and peer.alive}

    def asked(self) -> bool:
        """Return whether each has answered or failed to at least once."""
        return all(peer.finding for peer in self.peers.values())
