"""What the box itself says of its load: the node's processors, and the queues of the Triton beside us."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")
"""Also in a container it is the node's, unless something like lxcfs lies over it."""
_IDLE: Final = slice(3, 5)
"""Of the figures in the line `cpu`: idle and iowait, proc(5)."""
_BUSY: Final = 8
"""Figures that are counted: user to steal. Guest time, behind them, is in user already."""
_QUEUE: Final = "nv_inference_queue_duration_us"
_REQUEST: Final = "nv_inference_request_duration_us"
_TIMEOUT: Final = 1.0
_LARGEST: Final = 4 << 20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Time of all processors together since the node started, in clock ticks."""

    busy: int
    total: int


def ticks(stat: str) -> Ticks | None:
    """Return the processors' time from the text of /proc/stat; None if it has none."""
    for line in stat.splitlines():
        name, *rest = line.split()
        if name == "cpu":
            figures = [int(figure) for figure in rest[:_BUSY]]
            return Ticks(sum(figures) - sum(figures[_IDLE]), sum(figures))
    return None


def busy(before: Ticks | None, now: Ticks | None) -> float | None:
    """Return the share of the processors that was busy in between, 0 to 1; None if no time passed or none is known."""
    if before is None or now is None or now.total <= before.total:
        return None
    return min(1.0, max(0.0, (now.busy - before.busy) / (now.total - before.total)))


@dataclass(frozen=True, slots=True)
class Queued:
    """Time of all requests together since Triton started, in microseconds."""

    queue: float
    request: float


def queued(exposition: str) -> Queued:
    """Return the requests' time from Triton's metrics, all models together."""
    found = {_QUEUE: 0.0, _REQUEST: 0.0}
    for line in exposition.splitlines():
        name = line.partition("{")[0]
        if name in found:
            found[name] += float(line.rpartition(" ")[2])
    return Queued(found[_QUEUE], found[_REQUEST])


def queue_share(before: Queued | None, now: Queued | None) -> float | None:
    """Return the share of their time that requests waited in between; None if there were none, or Triton restarted."""
    if before is None or now is None or now.request <= before.request or now.queue < before.queue:
        return None
    return (now.queue - before.queue) / (now.request - before.request)


class Gauges:
    """Looks at both; for one thread.

    Parameters
    ----------
    url
        Triton's metrics; empty: it is not beside us.
    """

    def __init__(self, url: str, *, stat: Callable[[], str] = _STAT.read_text) -> None:
        self._url = url
        self._stat = stat
        self._ticks: Ticks | None = None
        self._queued: Queued | None = None

    def host_cpu(self) -> float | None:
        """Return how busy the node's processors were since the last call, 0 to 1; None: not known."""
        try:
            now = ticks(self._stat())
        except (OSError, ValueError):
            now = None
        before, self._ticks = self._ticks, now
        return busy(before, now)

    def queue_share(self) -> float | None:
        """Return which share of their time requests waited in Triton's queues since the last call; None: not known."""
        now = self._ask() if self._url else None
        before, self._queued = self._queued, now
        return queue_share(before, now)

    def _ask(self) -> Queued | None:
        try:
            with urllib.request.urlopen(self._url, timeout=_TIMEOUT) as answer:  # noqa: S310 - http on loopback
                return queued(answer.read(_LARGEST).decode(errors="replace"))
        except (urllib.error.URLError, OSError, ValueError):
            return None  # A Triton that starts: what is not known presses on nobody.
