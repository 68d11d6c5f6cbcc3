"""Where detections go: a queue and a thread for each sink, so that a dead one harms nobody."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from edgedetector.detector.outputs.backoff import Backoff
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
    ) -> None:
        """Take what turns a monotonic time into one since the epoch, and what makes ids."""
        self._sinks = [(sink, Mailbox(queue)) for sink in sinks]
        self._count = count
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
        threads = tuple(
            threading.Thread(target=self._keep, args=(sink, mailbox, stop), name=sink.name, daemon=True)
            for sink, mailbox in self._sinks
        )
        for thread in threads:
            thread.start()
        return threads

    @property
    def scene(self) -> Scene:
        """Who is in the picture, as told up to now."""
        return self._scene

    def _post(self, reports: Sequence[Report]) -> None:
        # Under the lock, or two threads could post a camera's reports in another order than they were made.
        for sink, mailbox in self._sinks:
            if dropped := mailbox.put(reports):
                self._count(sink.name, "dropped", dropped)
            if reports:
                self._count(sink.name, "queued", len(reports))

    def _keep(self, sink: Sink, mailbox: Mailbox, stop: threading.Event) -> None:
        """Run a sink until `stop`: one that raises is an error of ours, and no reason to detect nothing."""
        backoff = Backoff(first=1.0)
        while not stop.is_set():
            try:
                sink.run(mailbox, lambda: self._scene, stop)
            except Exception:
                log.exception("output %s failed; it starts again", sink.name)
                stop.wait(backoff.failed())
