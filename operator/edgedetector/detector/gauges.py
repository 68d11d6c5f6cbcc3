"""What the box itself says of its load: the node's processors, the accelerator, and the queues of our Triton."""

from __future__ import annotations

import http.client
import math
import threading
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from edgedetector.api import names
from edgedetector.api.dataplane import Accelerator, AcceleratorMetric

T = TypeVar("T")

_STAT: Final = Path("/proc/stat")
"""Also in a container it is the node's, unless something like lxcfs lies over it."""
_IDLE: Final = slice(3, 5)
"""Of the figures in the line `cpu`: idle and iowait, proc(5)."""
_BUSY: Final = 8
"""Figures that are counted: user to steal. Guest time, behind them, is in user already."""
_QUEUE: Final = "nv_inference_queue_duration_us"
_REQUEST: Final = "nv_inference_request_duration_us"
_DEVICE: Final = 2.0
"""Seconds between questions to an exporter."""
_OLD: Final = 15.0
"""Seconds after which an answer of an exporter says nothing any more."""
_TIMEOUT: Final = 1.0
_WHOLE: Final = 1.05
"""A share above which an exporter's figure is none; a little more than 1 is rounding."""
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
    """Return the requests' time from Triton's metrics, all models together; an ensemble's is that of its models."""
    found = {_QUEUE: 0.0, _REQUEST: 0.0}
    for line in exposition.splitlines():
        name = line.partition("{")[0]
        if name in found and f'{names.PIPELINE}"' not in line:
            found[name] += float(line.rpartition(" ")[2])
    return Queued(found[_QUEUE], found[_REQUEST])


def queue_share(before: Queued | None, now: Queued | None) -> float | None:
    """Return the share of their time that requests waited in between; None if there were none, or Triton restarted."""
    if before is None or now is None or now.request <= before.request or now.queue < before.queue:
        return None
    return (now.queue - before.queue) / (now.request - before.request)


@dataclass(frozen=True, slots=True)
class Device:
    """What an accelerator says of itself; None: not known."""

    utilization: float | None = None
    """0 to 1."""
    temperature: float | None = None
    """Degrees Celsius."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that an exporter has told of the accelerator."""

    figures: dict[str, float] = field(default_factory=dict)
    """The last ones, by our names; none once they are old."""
    looks: int = 0
    """Answers with the utilization since the process began."""
    utilizations: float = 0.0
    """Their sum, 0 to 1 each."""


def figures(exposition: str, metrics: Iterable[AcceleratorMetric]) -> dict[str, float]:
    """Return the figures of the only device that an exporter knows, by our names.

    Of several it does not say which one is ours: the hottest tells of the air that all have, the rest is not known.
    """
    found: dict[str, list[float]] = {}
    wanted = {one.metric: one for one in metrics}
    for line in exposition.splitlines():
        one = wanted.get(line.partition("{")[0].partition(" ")[0])
        if one is not None:
            found.setdefault(one.name, []).append(float(line.rpartition(" ")[2]) * one.factor)
    whole = {name: max(values) for name, values in found.items() if len(values) == 1 or name == "temperature"}
    told = {name: value for name, value in whole.items() if math.isfinite(value)}
    if "memoryUsed" in told and "memoryFree" in told:
        told.setdefault("memoryTotal", told["memoryUsed"] + told["memoryFree"])
    return told


class Gauges:
    """Looks at all of them; for one thread.

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
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._asking = False
        self._told: float | None = None
        self._seen = Seen()

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

    def device(self, accelerator: Accelerator, now: float) -> Device:
        """Return what the accelerator said of itself some seconds ago; does not wait for it.

        Parameters
        ----------
        now
            Seconds, monotonic.
        """
        if not accelerator.url or not accelerator.metrics:
            return Device()
        known = self.seen(now).figures
        with self._lock:
            due = not self._asking and (self._asked is None or now - self._asked >= _DEVICE)
            self._asking = self._asking or due
        if due:
            self._asked = now
            # A name server that does not answer holds whoever asks it for as long as it likes.
            threading.Thread(target=self._look, args=(accelerator, now), name="exporter", daemon=True).start()
        return Device(known.get("utilization"), known.get("temperature"))

    def seen(self, now: float) -> Seen:
        """Return all that the exporter has told when it was asked by `device`. For any thread."""
        with self._lock:
            new = self._told is not None and now - self._told <= _OLD
            return self._seen if new else replace(self._seen, figures={})

    def _look(self, accelerator: Accelerator, now: float) -> None:
        found = _answer(accelerator.url, lambda text: figures(text, accelerator.metrics))
        with self._lock:
            self._asking = False
            if found is not None:
                self._told, self._seen = now, _added(self._seen, found)

    def _ask(self) -> Queued | None:
        return _answer(self._url, queued)


def _added(before: Seen, found: dict[str, float]) -> Seen:
    used = found.get("utilization")
    # A "blank" of 2^64, added once, would swallow all that comes after it.
    if used is None or used > _WHOLE:
        return replace(before, figures=found)
    return Seen(found, before.looks + 1, before.utilizations + max(0.0, used))


def _answer(url: str, read: Callable[[str], T]) -> T | None:
    """Return what can be read of the answer; None if there is none: what is not known presses on nobody."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - http, from the operator
            return read(answer.read(_LARGEST).decode(errors="replace"))
    except (http.client.HTTPException, OSError, ValueError):
        return None
