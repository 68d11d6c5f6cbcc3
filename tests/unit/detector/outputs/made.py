"""Reports and crossings as the tests need them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Literal

from edgedetector.detector.detection import Detection
from edgedetector.detector.outputs.reports import Report, Thing
from edgedetector.detector.presence import Crossing


def crossing(
    kind: Literal["enter", "leave"],
    number: int,
    *,
    label: str = "person",
    zone: str = "",
    frame: tuple[int, int] = (640, 360),
) -> Crossing:
    return Crossing(kind, number, label, zone, 1.0, Detection(label, 0.9, (1.0, 2.0, 3.0, 4.0)), frame)


def numbers(prefix: str = "id") -> Callable[[], str]:
    count = itertools.count()
    return lambda: f"{prefix}-{next(count)}"


def report(identity: str, camera: str = "gate") -> Report:
    thing = Thing(
        f"thing-{identity}", camera, "people", "person", 0.9, (1.0, 2.0, 3.0, 4.0), (640, 360), 1000.0, 1001.0
    )
    return Report(identity, "new", "", thing, thing)


class Tally(Counter[tuple[str, str]]):
    """Counts as the detector's metrics would."""

    def __call__(self, sink: str, what: str, n: int) -> None:
        self[sink, what] += n
