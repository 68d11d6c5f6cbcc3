"""The live tuner's cases in virtual time: the tuner climbs on the emulator's devices as on a real Triton with them."""

from __future__ import annotations

import json

import pytest
from bench.tuner import emulated, live_cases
from bench.tuner.emulated import measured, server, tuned
from bench.tuner.live_cases import NAMED, seeded

from edgedetector.tuning.window import Knobs


@pytest.mark.parametrize(
    ("case", "knobs", "rate", "p99"),
    [
        ("seed:1", Knobs(1, 1), 43.0, 0.381),
        ("seed:1", Knobs(2, 8), 81.0, 0.722),
        ("seed:2", Knobs(2, 16), 121.7, 0.778),
        ("ks20-x1", Knobs(1, 1), 35.0, 0.258),
        ("ks20-x1", Knobs(2, 4), 43.1, 0.601),
        ("ks20-x1", Knobs(4, 8), 43.5, 1.719),
    ],
)
def test_it_serves_what_a_real_triton_served(case: str, knobs: Knobs, rate: float, p99: float) -> None:
    """The figures of docs/results/tuner-live.md, on a quiet machine."""
    found = measured(server(next(live_cases.chosen([case]))), knobs)
    assert found.rate == pytest.approx(rate, rel=0.03)
    assert found.p99 == pytest.approx(p99, rel=0.06)


def test_more_is_served_where_frames_are_given_up_though_it_takes_longer_within_the_limit() -> None:
    """Seed 1 was left at its 43 images a second, all that was tried being reverted for too little room."""
    found = tuned(server(seeded(1)), swept=[Knobs(2, 6), Knobs(2, 8)])
    assert found.ratio is not None
    assert found.ratio >= 0.95
    assert found.reached.p99 <= 0.9 * found.server.limits.latency
    assert found.story.all_probes <= 3
    assert found.story.later_changes == 0
    assert json.loads(json.dumps(emulated.record(found)))["best"][0] == "2 x batch 8"


def test_the_ks20_on_four_lanes_comes_to_what_people_reached_by_hand() -> None:
    """The reference: 120 images a second, and 165 with instances and batches."""
    found = tuned(server(NAMED["ks20-x4"]), swept=[])
    assert found.start.rate == pytest.approx(120.0, rel=0.03)
    assert found.reached.rate >= 165.0
    assert found.story.all_probes <= 8


def test_nothing_is_tried_on_one_lane_once_its_link_is_full() -> None:
    found = tuned(server(NAMED["ks20-x1"]), swept=[Knobs(2, 2), Knobs(4, 4)])
    assert found.final == Knobs(2, 1)
    assert found.story.all_probes <= 2
    assert found.ratio is not None
    assert found.ratio >= 0.97


def test_what_does_not_fit_beside_the_start_is_not_the_best() -> None:
    made = server(seeded(17))
    assert Knobs(4, 32) not in tuned(made, swept=[Knobs(4, 32)]).swept
