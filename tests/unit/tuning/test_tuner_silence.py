"""Figures that are missing, absurd or out of time change nothing, and it is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.tuning.toy import FIRST, Device, World, ran
from tests.unit.tuning.trials import ONE, SMALL, one, probing

from edgedetector.tuning.decision import Kind, Report
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Mode
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import Window


def garbage(window: Window) -> Window:
    return replace(window, models={n: replace(m, busy=math.nan) for n, m in window.models.items()})


def without_statistics(window: Window) -> Window:
    return replace(window, models={n: replace(m, batches={}) for n, m in window.models.items()})


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (garbage, "not figures that can be"),
        (without_statistics, "statistics by batch size are missing"),
        (lambda window: replace(window, disturbed="tensors began to travel another way"), "tensors began to travel"),
        (lambda window: replace(window, seconds=math.nan), "not figures"),
    ],
)
def test_windows_that_say_nothing_change_nothing_and_it_is_said(spoil: Callable[[Window], Window], remedy: str) -> None:
    world, state = World(ONE), State()
    for _ in range(30):
        world.pass_(10.0)
        report = world.report(state, 10.0)
        report = replace(report, windows=tuple(spoil(window) for window in report.windows))
        state, decision = step(state, report, SMALL, world.now)
        assert decision.kind is Kind.WAIT
    assert remedy in state.trouble
    state, _ = ran(world, SMALL, 20, state)
    assert state.trouble == ""


def test_no_window_at_all_is_said_too() -> None:
    world, state = World(ONE), State()
    for _ in range(30):
        world.pass_(10.0)
        state, decision = step(state, Report(("pod-0",)), SMALL, world.now)
        assert decision.kind is Kind.WAIT
    assert "GET /observation" in state.trouble


def test_requests_that_fail_at_rest_keep_it_from_trying_anything() -> None:
    world = World(ONE, Device(fails_from=1))
    state, decisions = ran(world, SMALL, 200)
    assert decisions == []
    assert "requests fail" in state.trouble


def test_a_failure_now_and_then_is_said_once_and_taken_back_once_a_minute_was_without() -> None:
    world, state, said = World(ONE), State(), []
    for number in range(60):
        world.pass_(10.0)
        report = world.report(state, 10.0)
        if number % 3 == 0 and number < 40:
            report = replace(report, windows=tuple(failing(window) for window in report.windows))
        state, _ = step(state, report, replace(SMALL, mode=Mode.RECOMMEND), world.now)
        said.append("requests fail" in state.trouble)
    assert said == [True] * 45 + [False] * 15


def failing(window: Window) -> Window:
    return replace(window, models={n: replace(m, failed=1) for n, m in window.models.items()})


@pytest.mark.parametrize("away", [121.0, 3600.0, 7 * 86400.0])
def test_a_time_in_which_nobody_asked_is_no_silence(away: float) -> None:
    """The operator was down, the detector suspended: the first window then may say nothing for a good reason."""
    world = World(ONE)
    state, _ = ran(world, SMALL, 300)
    world.pass_(away)
    world.disturbed = "the demand for people moved from 0.0 to 40.0 images/s"
    troubles = []
    for _ in range(14):
        world.pass_(10.0)
        state, _ = step(state, world.report(state, 10.0), SMALL, world.now)
        troubles.append(bool(state.trouble))
    assert troubles == [False] * 12 + [True] * 2, "from then on it counts"


def test_a_pod_that_tells_nothing_is_not_tried_in() -> None:
    """A replica of a former release, or one that hangs: its trial would end unseen, and deny what was tried."""
    world, state = World(ONE, names=("pod-0", "pod-1")), State()
    while state.trial is None:
        world.pass_(10.0)
        report = world.report(state, 10.0)
        report = replace(report, windows=tuple(window for window in report.windows if window.pod == "pod-0"))
        state, decision = step(state, report, SMALL, world.now)
        assert world.now < FIRST + 120
    assert (state.trial.pod, decision.pod) == ("pod-0", "pod-0")


def test_a_clock_without_time_changes_nothing() -> None:
    state, decision = step(State(), Report(("pod-0",)), SMALL, math.nan)
    assert (state, decision.kind) == (State(), Kind.WAIT)


def test_a_clock_that_jumps_ends_a_trial_and_hinders_nothing_else() -> None:
    for jump in (-7200.0, 7200.0):
        world = World(ONE)
        state = probing(world)
        world.now += jump
        state, decision = one(world, state)
        assert decision.kind is Kind.REVERT
        state, _ = ran(world, SMALL, 900, state)
        assert state.converged
