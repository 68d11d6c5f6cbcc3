"""One replica among its peers: what it says, what it has heard, and what it serves because of that.

Holds the state of `liveness` and `claims` for the threads that use it: the prober and the HTTP server bring what they
hear, the fleet asks what to serve. Does no I/O and reads no clock but the one it is given.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.detector.claims import Claims, View, decide
from edgedetector.detector.liveness import Finding, Greeting, Neighbours, Peer

log = logging.getLogger(__name__)

SETTLE: Final = 2.0
"""Seconds that a new replica waits for DNS and for its first probes at most. Then it serves, alone if need be."""
NEWS: Final = ("boot", "joining", "leaving", "held", "live", "offered")
"""Fields of a greeting whose change is worth telling, and acting on, at once."""


class Cooperation:
    """What this replica knows and says, for all threads.

    Parameters
    ----------
    own
        IP address of this pod.
    pod
        Name of this pod.
    boot
        Random text, new with each process.
    clock
        Monotonic, in seconds.
    """

    def __init__(self, own: str, pod: str, *, boot: str, clock: Callable[[], float]) -> None:
        self.own = own
        self.on_news: Callable[[], None] = lambda: None
        """Called when there is something to tell the others at once; must return at once."""
        self.on_stranger: Callable[[], None] = lambda: None
        """Called when a replica greeted that DNS has not listed yet; must return at once."""
        self._clock = clock
        self._started = self._turned = clock()
        self._changed = threading.Condition(threading.RLock())
        self._news = False
        self._said = Greeting("", own, pod, boot, 0, joining=True)
        self._neighbours = Neighbours()
        self._listed = False
        self._claims = Claims()

    def decide(
        self, group: str, cameras: frozenset[str], live: frozenset[str], *, alone: bool = False
    ) -> frozenset[str]:
        """Return the cameras to serve here. To be called about once a second, and when `wait` says so.

        Parameters
        ----------
        group
            Namespace and name of the EdgeDetector.
        cameras
            All its cameras.
        live
            Those from which frames arrive here.
        alone
            There are no other replicas, so there is nobody to look around for.
        """
        with self._changed:
            now = self._turned = self._clock()
            others = {} if alone else self._neighbours.alive()
            joining = self._said.joining and not (alone or self._settled(now))
            view = View(self.own, others, joining=joining, leaving=self._said.leaving)
            self._claims = claims = decide(self._claims, view, cameras, now)
            held, seen, offered = map(_listed, (claims.held, claims.held & live, claims.offered))
            self._say(replace(self._said, group=group, joining=joining, held=held, live=seen, offered=offered))
            return claims.held

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most; return whether something was heard that may change what is served here."""
        with self._changed:
            if self._said.joining:
                timeout = min(timeout, max(0.0, self._started + SETTLE - self._clock()))
            heard = self._changed.wait_for(lambda: self._news, timeout)
            self._news = False
            return heard

    def leave(self) -> None:
        """Offer all cameras to the others, and take no more."""
        with self._changed:
            self._said = replace(self._said, leaving=True)
            self._wake()
        self.on_news()

    @property
    def done(self) -> bool:
        """Whether nobody waits for this replica: it is leaving and holds nothing, or nobody could take over."""
        with self._changed:
            others = self._neighbours.alive().values()
            return self._said.leaving and (not self._claims.held or not any(other.member for other in others))

    def greeting(self) -> Greeting:
        """Return what to tell a peer now; each call counts."""
        with self._changed:
            self._said = replace(self._said, number=self._said.number + 1)
            return replace(self._said, idle=max(0.0, self._clock() - self._turned))

    def greeted(self, source: str, text: str) -> bool:
        """Take in the greeting of one that probes us; return whether it was a replica's.

        Only from an address that DNS lists: anybody who reaches the port could otherwise talk cameras away. One that is
        not listed yet may have just started, so DNS is asked again.
        """
        greeting = self._valid(source, text)
        with self._changed:
            known = source in self._neighbours.peers
            if greeting and known:
                self._update(source, lambda peer: peer.heard(greeting))
        if greeting and not known:
            self.on_stranger()
        return greeting is not None and known

    def list(self, addresses: frozenset[str]) -> None:
        """Take in what DNS told."""
        with self._changed:
            before = self._neighbours.peers.keys()
            self._neighbours = self._neighbours.listed(addresses - {self.own}, self._clock())
            if before != self._neighbours.peers.keys() or not self._listed:
                self._wake()
                self.on_news()
            self._listed = True

    def due(self) -> frozenset[str]:
        """Return the addresses to probe now, each as begun; none before the EdgeDetector's name is known."""
        with self._changed:
            now = self._clock()
            due = self._neighbours.due(now) if self._said.group else frozenset[str]()
            for address in due:
                self._neighbours = self._neighbours.put(address, self._neighbours.peers[address].begun(now))
            return due

    def next_due(self) -> float:
        """Return the seconds until a probe is due, infinite without peers."""
        with self._changed:
            return max(0.0, self._neighbours.next_due() - self._clock())

    def hurry(self) -> None:
        """Make probes of all who are alive due now, to tell them what is new."""
        with self._changed:
            now = self._clock()
            self._neighbours = Neighbours({a: peer.hurried(now) for a, peer in self._neighbours.peers.items()})

    def answered(self, address: str, text: str) -> None:
        """Take in the answer to a probe."""
        greeting = self._valid(address, text)
        if greeting is None:
            self.missed(address, Finding.WRONG)
        else:
            self._update(address, lambda peer: peer.ended().heard(greeting))

    def missed(self, address: str, finding: Finding) -> None:
        """Take in that a probe failed."""
        self._update(address, lambda peer: peer.missed(finding).ended())

    def peers(self) -> Mapping[str, Peer]:
        """Return what is known of the others, by address."""
        with self._changed:
            return dict(self._neighbours.peers)

    def _settled(self, now: float) -> bool:
        return (self._listed and self._neighbours.asked()) or now - self._started >= SETTLE

    def _say(self, said: Greeting) -> None:
        before, self._said = self._said, said
        if before != said:
            self.on_news()

    def _valid(self, address: str, text: str) -> Greeting | None:
        try:
            greeting = from_json(Greeting, text)
        except (InvalidDocumentError, RecursionError) as error:
            log.warning("replica %s: %s", address, error)
            return None
        expected = (self._said.group, address)
        return greeting if (greeting.group, greeting.address) == expected and address != self.own else None

    def _update(self, address: str, change: Callable[[Peer], Peer]) -> None:
        with self._changed:
            before = self._neighbours.peers.get(address)
            if before is None:
                return
            after = change(before)
            self._neighbours = self._neighbours.put(address, after)
            if before.alive != after.alive:
                log.warning("replica %s is %s (%s)", address, "alive" if after.alive else "dead", after.finding)
            if before.alive != after.alive or before.finding is None or _differ(before.greeting, after.greeting):
                self._wake()

    def _wake(self) -> None:
        self._news = True
        self._changed.notify_all()


def _listed(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _differ(one: Greeting | None, other: Greeting | None) -> bool:
    return any(getattr(one, name, None) != getattr(other, name, None) for name in NEWS)
