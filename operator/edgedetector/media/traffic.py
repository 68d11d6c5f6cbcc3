"""What go2rtc moves, by camera and kind of consumer, in the exporter's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from edgedetector.go2rtc.exporter import Go2rtcCollector
from edgedetector.go2rtc.families import with_labels
from edgedetector.go2rtc.fetch import Endpoint, fetch
from edgedetector.go2rtc.render import API_HOST

# Loopback to a process that answers in a millisecond; far below Prometheus's own time-out of 10 s.
_TIMEOUT_SECONDS: Final = 2.0

Labels = Mapping[str, Mapping[str, str]]
"""Stream id -> labels."""


class Traffic(Collector):
    """The families of `edgedetector.go2rtc.exporter` for the go2rtc of this pod, with the names of the cameras.

    Parameters
    ----------
    port
        Of go2rtc's API on loopback.
    labels
        Gives the labels of the streams that go2rtc is to run.
    """

    def __init__(self, port: int, labels: Callable[[], Labels]) -> None:
        target = Endpoint(secure=False, host=API_HOST, port=port, path="/")
        self._collector = Go2rtcCollector(lambda: fetch(target, None, None, _TIMEOUT_SECONDS), time.monotonic)
        self._labels = labels
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        return with_labels(self._collector.collect(), self._labels())

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering asks nobody."""
        return iter(())

    def exposition(self) -> str:
        """Ask go2rtc, and return the text that Prometheus scrapes; for any thread."""
        return generate_latest(self._registry).decode()
