"""The detector's own process, ladder and all, as `python -m edgedetector.detector run` starts it in a pod.

Other ports than a pod's, and a hub, a dispatcher and a log that also remember what they are asked for here. Task: root
(below which the pod's files lie), grpc and metrics (Triton's ports), port and events (the detector's); fed: streams
come from memory (`agents.fed`), and nothing is decoded.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.dataplane.agents.answering import answer, task

from edgedetector.api import names
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.repository import Paths


class Ages(Hub):
    """A hub that remembers how old each result's frame was and how long Triton took, until it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._recent: list[tuple[float, float]] = []
        self._published: list[tuple[float, str, float]] = []
        self._results: dict[str, int] = {}

    def publish(self, result: Result) -> None:
        super().publish(result)
        with self._lock:
            self._recent.append((round(result.age * 1e3, 2), round(result.inference * 1e3, 2)))
            self._published.append((round(time.monotonic(), 4), result.camera, round(result.age * 1e3, 2)))
            self._results[result.camera] = self._results.get(result.camera, 0) + 1

    def taken(self) -> tuple[list[tuple[float, float]], dict[str, int]]:
        """Return (age, inference) in milliseconds since this was last called, and each camera's results in all."""
        with self._lock:
            recent, self._recent = self._recent, []
            return recent, dict(self._results)

    def published(self) -> list[tuple[float, str, float]]:
        """Return (when in monotonic seconds, camera, age in milliseconds) of the results since this was last called."""
        with self._lock:
            published, self._published = self._published, []
            return published


class Counting(Dispatcher):
    """A dispatcher that counts the frames that were due: what a camera skips by its rate is never offered."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._offered: dict[str, int] = {}
        _made.append(self)

    def offer(self, camera: str, models: Sequence[str], shot: Shot, *, arrived: float, wait: float) -> None:
        self._offered[camera] = self._offered.get(camera, 0) + 1  # Each camera has a thread of its own.
        super().offer(camera, models, shot, arrived=arrived, wait=wait)

    def offered(self) -> dict[str, int]:
        return dict(self._offered)


class Sentences(logging.Handler):
    """What the ladder says, and when (monotonic seconds, the same in all processes)."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((time.monotonic(), record.getMessage()))


_made: list[Counting] = []
_hub, _metrics, _ladder = Ages(), Metrics(), Sentences()


def counters() -> dict[str, Any]:
    """Return what happened so far; `recent` and `published` since the last call."""
    recent, results = _hub.taken()
    return {
        "inferred": results,
        "offered": _made[0].offered() if _made else {},
        "recent": recent,
        "published": _hub.published(),
        "frames": [(labels["camera"], labels["result"], value) for labels, value in _series(_metrics.frames)],
        "states": {labels["camera"]: labels["state"] for labels, value in _series(_metrics.state) if value},
        "rungs": {labels["camera"]: value for labels, value in _series(_metrics.rungs)},
        "asked": {labels["camera"]: value for labels, value in _series(_metrics.target)},
        "pressure": {labels["signal"]: value for labels, value in _series(_metrics.pressure) if not isnan(value)},
        "stages": {labels["stage"]: value for labels, value in _series(_metrics.cpu)},
        "said": _ladder.said,
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": sum(1 for _ in Path("/proc/self/task").iterdir()),
        "trouble": _made[0].trouble if _made else "",
    }


def _series(metric: Any) -> list[tuple[dict[str, str], float]]:
    return [(sample.labels, sample.value) for family in metric.collect() for sample in family.samples]


def put(module: ModuleType, **values: Any) -> None:
    """Put other values into a module."""
    for name, value in values.items():
        setattr(module, name, value)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    wanted = task()
    # Before `run` is imported, which makes addresses of them.
    put(names, PORT_TRITON_GRPC=wanted["grpc"], PORT_TRITON_METRICS=wanted["metrics"])
    from edgedetector.detector import overload, run  # noqa: PLC0415

    overload.log.addHandler(_ladder)
    put(run, Hub=lambda: _hub, Metrics=lambda: _metrics, Dispatcher=Counting)
    if wanted.get("fed"):
        from bench.dataplane.agents.fed import Fed  # noqa: PLC0415

        put(run, Reader=Fed)
    threading.Thread(target=answer, args=(counters,), daemon=True).start()
    ports = {"DETECTOR_PORT": wanted["port"], "DETECTOR_EVENTS_PORT": wanted["events"]}
    environment = {name: str(port) for name, port in ports.items()}
    code = run.run(
        Paths.under(Path(wanted["root"])), {"POD_NAME": "bench", "DETECTOR_ADDRESS": "127.0.0.1", **environment}
    )
    logging.shutdown()
    os._exit(code)  # As `edgedetector.detector.__main__` does, for its reason.


if __name__ == "__main__":
    main()
