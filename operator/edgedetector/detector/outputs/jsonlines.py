"""Reports as JSON lines, for whoever collects what a container prints. Off unless asked for: it is personal data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TextIO

from edgedetector.detector.outputs import cloudevents
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.outputs import Count
from edgedetector.detector.outputs.reports import Scene

_BATCH: Final = 64
_POLL: Final = 0.5
"""Seconds after which the sink looks whether it is to stop."""


class JsonLines:
    """Writes each report as one CloudEvent to a stream, usually standard output."""

    name = "stdout"

    def __init__(self, stream: TextIO, source: str, count: Count) -> None:
        self._stream = stream
        self._source = source
        self._count = count

    def run(self, mailbox: Mailbox, _scene: Callable[[], Scene], stop: threading.Event) -> None:
        """Write until `stop` is set."""
        while not stop.is_set() or len(mailbox):
            if reports := mailbox.take(_BATCH, _POLL):
                self._stream.write("".join(f"{cloudevents.encode(r, self._source).decode()}\n" for r in reports))
                self._stream.flush()
                self._count(self.name, "sent", len(reports))
