"""Where detections go: a queue and a thread for each sink, so that a dead one harms nobody.

Sinks may be exchanged while we run. A new one waits for the end of the old one of its name, takes over what that left
in its queue, and knows who is in the picture. The old one gets nothing any more from the moment of the exchange.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.health import Tell, failing
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.reports import Report, Scene, part, serve, tell
from edgedetector.detector.presence import Crossing

log = logging.getLogger(__name__)

QUEUE: Final = 1024
"""Reports that wait for a sink, about 1 MB: a minute of 35 cameras with one coming or going every two seconds each."""

Count = Callable[[str, str, int], None]
"""Told of a sink's name, what became of reports, and how many.

`queued` reports become `sent`, `dropped` (the oldest, to make room), `refused` (by the receiver, for good) or `failed`
(an error of the sink). Besides: `retried` attempts.
"""


class Sink(Protocol):
    """Somebody whom everything is told. May wait and fail as it likes, in its own thread."""

    @property
    def name(self) -> str:
        """Name in metrics and log."""

    def run(self, mailbox: Mailbox, scene: Callable[[], Scene], stop: threading.Event) -> None:
        """Deliver until `stop` is set."""


@dataclass(slots=True)
class _Running:
    """A sink with its queue; `thread` is None until it is started."""

    sink: Sink
    mailbox: Mailbox
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Outputs:
    """Turns crossings into reports and hands them to every sink. For several threads; never waits for a sink."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        count: Count,
        *,
        queue: int = QUEUE,
        epoch: Callable[[float], float] = lambda at: time.time() - (time.monotonic() - at),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        tell: Tell = lambda _name, _trouble: None,
    ) -> None:
        """Take what turns a monotonic time into one since the epoch, and what makes ids."""
        self._queue = queue
        self._sinks = {sink.name: _Running(sink, Mailbox(queue)) for sink in sinks}
        self._count = count
        self._tell = tell
        self._epoch = epoch
        self._new_id = new_id
        self._lock = threading.Lock()
        self._scene = Scene()

    def publish(self, camera: str, model: str, events: Sequence[Crossing]) -> None:
        """Tell of objects that came and went, in the order in which they did."""
        if not events or not self._sinks:
            return
        reports = []
        with self._lock:
            for event in events:
                at = self._epoch(event.at)
                self._scene, report = tell(self._scene, camera, model, event, at=at, new_id=self._new_id)
                if report:
                    reports.append(report)
            self._post(reports)

    def serve(self, online: Mapping[str, bool]) -> None:
        """Tell which cameras this replica serves and whether each delivers frames; cheap to repeat."""
        with self._lock:
            scene = serve(self._scene, online)
            if scene != self._scene:
                self._scene = scene
                self._post([])

    def forget(self, camera: str, *, removed: bool) -> None:
        """End every object of a camera that this replica no longer serves.

        Parameters
        ----------
        removed
            Whether it is gone from the configuration; otherwise another replica has it.
        """
        with self._lock:
            at = self._epoch(time.monotonic())
            self._scene, reports = part(self._scene, camera, at, self._new_id, removed=removed)
            self._post(reports)

    def start(self, stop: threading.Event) -> tuple[threading.Thread, ...]:
        """Start a thread for each sink; they end some seconds after `stop` is set."""
        for running in self._sinks.values():
            running.stop = stop
        return tuple(self._start(running, after=None) for running in self._sinks.values())

    def use(self, sinks: Sequence[Sink]) -> None:
        """Have these sinks run and no others. Returns at once; from one thread at a time.

        Of two calls with the same sink nothing is noticed. One of a known name replaces its predecessor.
        """
        with self._lock:
            before, self._sinks = self._sinks, {sink.name: self._of(sink) for sink in sinks}
            if not self._sinks:
                # Nobody is told of comings from now on, so that nobody could be told of goings.
                self._scene = replace(self._scene, things={}, labels={})
        for name, old in before.items():
            if old is not self._sinks.get(name):
                old.stop.set()
        for name, running in self._sinks.items():
            if running.thread is None:
                self._start(running, after=before.get(name))

    def close(self, timeout: float) -> None:
        """End every sink, and give them so many seconds in all."""
        threads = [running.thread for running in self._sinks.values() if running.thread]
        self.use(())
        end = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def scene(self) -> Scene:
        """Who is in the picture, as told up to now."""
        return self._scene

    def _post(self, reports: Sequence[Report]) -> None:
        # Under the lock, or two threads could post a camera's reports in another order than they were made.
        for name, running in self._sinks.items():
            if dropped := running.mailbox.put(reports):
                self._count(name, "dropped", dropped)
            if reports:
                self._count(name, "queued", len(reports))

    def _of(self, sink: Sink) -> _Running:
        known = self._sinks.get(sink.name)
        return known if known and known.sink is sink else _Running(sink, Mailbox(self._queue))

    def _start(self, running: _Running, *, after: _Running | None) -> threading.Thread:
        running.thread = thread = threading.Thread(
            target=self._keep, args=(running, after), name=running.sink.name, daemon=True
        )
        thread.start()
        return thread

    def _keep(self, running: _Running, after: _Running | None) -> None:
        """Run a sink until it is stopped: one that raises is an error of ours, and no reason to detect nothing."""
        if after and after.thread:
            after.thread.join()  # Two of a name would share a spool, or a name at the broker.
            if dropped := running.mailbox.inherit(after.mailbox):
                self._count(running.sink.name, "dropped", dropped)
        sink, stop, backoff = running.sink, running.stop, Backoff(first=1.0)
        while not stop.is_set():
            try:
                sink.run(running.mailbox, lambda: self._scene, stop)
            except Exception as error:
                log.exception("output %s failed; it starts again", sink.name)
                self._tell(sink.name, failing(f"it failed with {type(error).__name__}; the detector's log has more"))
                stop.wait(backoff.failed())
