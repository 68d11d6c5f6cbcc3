"""Replicas on virtual time: the real state machines, a network that delays and loses, and faults.

Each replica has a clock of its own, with an offset. Of the product all is real but the sockets and the threads: a probe
is a request and an answer of JSON with a delay and a risk each, a fleet is a turn a second, or sooner on news, and a
stream gives frames a while after it was opened.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgedetector.api.wire import to_json
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.liveness import DEADLINE, Finding

GROUP = "site/yard"
SAMPLE = 0.1
"""Seconds between two looks at who serves what: the error of what is measured."""
OPENING = (0.1, 2.0)
"""Seconds from opening a stream to its first frame: up to one keyframe interval."""
DNS = (0.1, 6.0)
"""Seconds until a replica learns of a new one by DNS."""
LEAVING = 8.0
"""Seconds that a replica takes at most to hand over before it exits."""


@dataclass
class Replica:
    """One pod. `exists`: the pod does; `running`: its process does; `hung`: it is stopped; `media`: streams come."""

    address: str
    offset: float
    cooperation: Cooperation
    boot: int = 0
    exists: bool = True
    running: bool = True
    hung: bool = False
    media: bool = True
    detects: bool = True
    """False once the model server in its pod was ended."""
    opened: dict[str, float] = field(default_factory=dict)
    """Cameras held -> when their frames arrive."""
    deferred: list[Callable[[], None]] = field(default_factory=list)

    @property
    def reads(self) -> bool:
        return self.exists and self.running and not self.hung and self.media


class World:
    """Replicas, the network between them, and what has been seen of each camera."""

    def __init__(self, seed: int, replicas: int, cameras: int, loss: float) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.loss = loss
        self.cameras = frozenset(f"camera-{number}" for number in range(cameras))
        self.replicas: dict[str, Replica] = {}
        self.blocked: set[tuple[str, str]] = set()
        """(from, to) between which no connection can be opened."""
        self.unserved = dict.fromkeys(self.cameras, 0.0)
        self.doubled = dict.fromkeys(self.cameras, 0.0)
        self.worst_unserved = self.worst_doubled = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._addresses = (f"10.0.0.{number}" for number in itertools.count(1))
        for _ in range(replicas):
            self.add()
        self.at(SAMPLE, self._sample)

    def at(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), event))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end

    def forget(self) -> None:
        """Start measuring: what came before was the beginning."""
        self.worst_unserved = self.worst_doubled = 0.0

    def held(self, address: str) -> frozenset[str]:
        return frozenset(self.replicas[address].opened)

    # Pods come and go.

    def add(self) -> str:
        address = next(self._addresses)
        replica = Replica(address, self.random.uniform(0, 1e5), self._cooperation(address, 0, 0.0))
        replica.cooperation = self._cooperation(address, 0, replica.offset)
        self.replicas[address] = replica
        for other in self.replicas.values():
            self._on(other, lambda other=other: self._list(other), self.random.uniform(*DNS))
        self._on(replica, lambda: self._list(replica), 0.1)
        self._begin(replica)
        return address

    def kill(self, address: str, restart: float | None) -> None:
        replica = self.replicas[address]
        replica.running, replica.boot = False, replica.boot + 1
        replica.hung, replica.opened, replica.deferred = False, {}, []
        if restart is not None:
            self.at(restart, lambda: self._restart(replica))

    def hang(self, address: str, seconds: float | None) -> None:
        self.replicas[address].hung = True
        if seconds is not None:
            self.at(seconds, lambda: self._resume(self.replicas[address]))

    def evict(self, address: str, successor: float | None) -> None:
        """End a pod with notice: its model server ends at once, the replica when it has handed over."""
        replica = self.replicas[address]
        replica.detects = False
        self._do(replica, replica.cooperation.leave)
        self._await_exit(replica, self.now + LEAVING)
        if successor is not None:
            self.at(successor, self.add)

    def block(self, pairs: Iterable[tuple[str, str]], seconds: float | None) -> None:
        pairs = set(pairs)
        self.blocked |= pairs
        if seconds is not None:
            self.at(seconds, lambda: self.blocked.difference_update(pairs))

    def blackhole(self, address: str, seconds: float | None) -> None:
        """Drop every packet from and to a pod: its peers' and its cameras' alike."""
        others = self.replicas.keys() - {address}
        self.block({(a, b) for a in (address, *others) for b in (address, *others) if address in (a, b)}, seconds)
        replica = self.replicas[address]
        replica.media = False
        if seconds is not None:
            self.at(seconds, lambda: self._reopen(replica))

    def _await_exit(self, replica: Replica, end: float) -> None:
        if replica.cooperation.done or self.now >= end:
            replica.running = replica.exists = False
            replica.boot, replica.opened = replica.boot + 1, {}
            for other in self.replicas.values():
                self._on(other, lambda other=other: self._list(other), self.random.uniform(*DNS))
        else:
            self.at(0.1, lambda: self._await_exit(replica, end))

    def _restart(self, replica: Replica) -> None:
        replica.running = True
        replica.cooperation = self._cooperation(replica.address, replica.boot, replica.offset)
        self._on(replica, lambda: self._list(replica), 0.1)
        self._begin(replica)

    def _resume(self, replica: Replica) -> None:
        replica.hung = False
        late, replica.deferred = replica.deferred, []
        for event in late:
            event()

    def _reopen(self, replica: Replica) -> None:
        replica.media = True
        replica.opened = {camera: self._first_frame() for camera in replica.opened}

    # What a replica's process does.

    def _cooperation(self, address: str, boot: int, offset: float) -> Cooperation:
        made = Cooperation(address, f"pod-{address}", boot=str(boot), clock=lambda: self.now + offset)
        made.on_news = lambda: self.at(0.001, lambda: self._news(address, made))
        made.on_stranger = lambda: self.at(0.1, lambda: self._list(self.replicas[address]))
        return made

    def _begin(self, replica: Replica) -> None:
        self._turn(replica, again=True)
        self._pump(replica)

    def _on(self, replica: Replica, event: Callable[[], None], delay: float) -> None:
        """Run something of a process later: never once it was killed, and not before it goes on once it is hung."""
        boot = replica.boot

        def late() -> None:
            if replica.boot == boot and replica.running:
                if replica.hung:
                    replica.deferred.append(late)
                else:
                    event()

        self.at(delay, late)

    def _do(self, replica: Replica, action: Callable[[], object]) -> None:
        action()
        if replica.cooperation.wait(0.0):
            self._turn(replica, again=False)

    def _list(self, replica: Replica) -> None:
        if replica.running and not replica.hung:
            pods = frozenset(other.address for other in self.replicas.values() if other.exists)
            self._do(replica, lambda: replica.cooperation.list(pods))

    def _news(self, address: str, cooperation: Cooperation) -> None:
        replica = self.replicas[address]
        if replica.cooperation is cooperation and replica.running and not replica.hung:
            cooperation.hurry()
            self._send(replica)

    def _turn(self, replica: Replica, *, again: bool) -> None:
        live = frozenset(c for c, since in replica.opened.items() if since <= self.now and replica.media)
        held = replica.cooperation.decide(GROUP, self.cameras, live)
        replica.opened = {camera: replica.opened.get(camera) or self._first_frame() for camera in held}
        if again:
            self._on(replica, lambda: self._turn(replica, again=True), 1.0)

    def _pump(self, replica: Replica) -> None:
        self._send(replica)
        self._on(replica, lambda: self._pump(replica), max(0.01, min(0.5, replica.cooperation.next_due())))

    def _send(self, replica: Replica) -> None:
        for address in replica.cooperation.due():
            self._probe(replica, address)

    def _probe(self, replica: Replica, address: str) -> None:
        cooperation = replica.cooperation
        text = to_json(cooperation.greeting())
        under_way = [True]

        def end(action: Callable[[], None]) -> None:
            if under_way:
                under_way.clear()
                self._do(replica, action)
                self._send(replica)

        self._on(replica, lambda: end(lambda: cooperation.missed(address, Finding.HUNG)), DEADLINE)

        def arrive() -> None:
            other = self.replicas[address]
            if (replica.address, address) in self.blocked or not other.exists:
                return
            if not other.running:
                self._on(replica, lambda: end(lambda: cooperation.missed(address, Finding.REFUSED)), self._delay())
                return
            self._on(other, lambda: answer(other), 0.0)

        def answer(other: Replica) -> None:
            self._do(other, lambda: other.cooperation.greeted(replica.address, text))
            said = to_json(other.cooperation.greeting())
            if self._arrives() and (replica.address, address) not in self.blocked:
                self._on(replica, lambda: end(lambda: cooperation.answered(address, said)), self._delay())

        if self._arrives():
            self.at(self._delay(), arrive)

    def _arrives(self) -> bool:
        return self.random.random() >= self.loss

    def _delay(self) -> float:
        return self.random.uniform(0.001, 0.25)

    def _first_frame(self) -> float:
        return self.now + self.random.uniform(*OPENING)

    # What a user sees.

    def _sample(self) -> None:
        reading = [replica for replica in self.replicas.values() if replica.reads]
        for camera in self.cameras:
            holders = [replica for replica in reading if camera in replica.opened]
            served = any(replica.detects and replica.opened[camera] <= self.now for replica in holders)
            self.unserved[camera] = 0.0 if served else self.unserved[camera] + SAMPLE
            self.doubled[camera] = self.doubled[camera] + SAMPLE if len(holders) > 1 else 0.0
        self.worst_unserved = max(self.worst_unserved, *self.unserved.values())
        self.worst_doubled = max(self.worst_doubled, *self.doubled.values())
        self.at(SAMPLE, self._sample)
