"""What pods serve, by the time that an image costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgedetector.tuning.capacity import measured
from edgedetector.tuning.window import Knobs, ModelWindow, Window

KNOBS = Knobs(2, 8)
MODEL = ModelWindow(KNOBS, demand=35.0, offered=30.0, rate=30.0, busy=0.25)
WINDOW = Window("one", 0.0, 10.0, {"people": MODEL}, utilization=0.2, host=0.3)
WANTED = {"people": KNOBS}


def test_it_is_what_would_be_served_were_instances_never_idle() -> None:
    found = measured([WINDOW, replace(WINDOW, pod="two")], WANTED, 2, 7.0)
    assert found is not None
    assert (found.frames, found.demand, found.at) == (240.0, 70.0, 7.0)


def test_of_several_models_the_busiest_bounds_the_mix() -> None:
    small = replace(MODEL, rate=60.0, busy=0.5)
    window = replace(WINDOW, models={"people": MODEL, "cars": small})
    found = measured([window], {"people": KNOBS, "cars": KNOBS}, 1, 0.0)
    assert found is not None
    assert found.frames == 180.0


@pytest.mark.parametrize(
    "window",
    [
        replace(WINDOW, disturbed="the ladder moved"),
        replace(WINDOW, models={}),
        replace(WINDOW, models={"people": replace(MODEL, knobs=Knobs(3, 8))}),
        replace(WINDOW, models={"people": replace(MODEL, busy=0.0)}),
    ],
    ids=["disturbed", "nothing", "another configuration", "idle"],
)
def test_what_shows_nothing_gives_no_figure(window: Window) -> None:
    assert measured([window], WANTED, 1, 0.0) is None
