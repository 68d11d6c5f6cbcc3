"""The motion gate over sequences of pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.detector.motion import SIZE, Motion, MotionGate, Verdict, passed, shrink, step

GATE = MotionGate()
INTERVAL = 0.2


def scene(*, at: int | None = None, light: int = 100, noise: int = 0) -> np.ndarray:
    """A frame of 480x270 with a bright square of 60 pixels at a column, if any."""
    image = np.full((270, 480, 3), light, np.uint8)
    if noise:
        jitter = np.random.default_rng(noise).normal(0, 8, image.shape)
        image = np.clip(image + jitter, 0, 255).astype(np.uint8)
    if at is not None:
        image[100:160, at : at + 60] = 250
    return image


def watch(images: Iterable[np.ndarray], gate: MotionGate = GATE, every: float = INTERVAL) -> list[Verdict]:
    state, verdicts = Motion(), []
    for index, image in enumerate(images):
        state, verdict = step(gate, state, shrink(image), 50.0 + index * every)
        verdicts.append(verdict)
    return verdicts


def test_a_still_scene_passes_one_frame_an_interval_once_it_has_settled() -> None:
    verdicts = watch(scene(noise=index + 1) for index in range(200))
    assert [v.reason for v in verdicts[:12]] == ["First"] + ["Settling"] * 9 + ["Still"] * 2
    later = [index for index, v in enumerate(verdicts) if v.passes and index >= 12]
    assert {verdicts[index].reason for index in later} == {"Interval"}
    assert np.diff(later).tolist() == [50] * (len(later) - 1)
    assert len(later) >= 3


def test_what_moves_passes_every_frame_and_a_while_after() -> None:
    walk = [scene(at=10 * index) for index in range(30)]
    verdicts = watch([scene()] * 20 + walk + [scene()] * 30)
    assert all(v.passes for v in verdicts[20:50])
    assert {v.reason for v in verdicts[20:50]} == {"Motion"}
    assert [v.reason for v in verdicts[50:61]] == ["Settling"] * 9 + ["Still"] * 2


def test_between_both_shares_what_rests_rests_and_what_moves_moves() -> None:
    gate = MotionGate(start=0.10, stop=0.02, settle=0.0, adapts=1e9)
    empty, little, much = (np.full(SIZE[::-1], 50, np.uint8) for _ in range(3))
    little.ravel()[: little.size // 20] = 200
    much.ravel()[: much.size // 5] = 200
    state, reasons = Motion(), []
    for index, picture in enumerate([empty, empty, little, much, little, little, empty, little]):
        state, verdict = step(gate, state, picture, 1.0 + index / 10)
        reasons.append(verdict.reason)
    assert reasons == ["First", "Still", "Still", "Motion", "Motion", "Motion", "Still", "Still"]


def test_a_change_of_light_passes_once_and_becomes_the_background() -> None:
    verdicts = watch([scene(light=40)] * 20 + [scene(light=180)] * 20)
    assert [v.reason for v in verdicts[19:22]] == ["Still", "Scene", "Settling"]
    assert verdicts[-1].reason == "Still"


def test_dawn_is_no_motion() -> None:
    verdicts = watch(scene(light=60 + index // 10) for index in range(600))
    assert {v.reason for v in verdicts[20:]} == {"Still", "Interval"}


def test_a_parked_car_becomes_the_background() -> None:
    verdicts = watch([scene()] * 20 + [scene(at=200)] * 600)
    assert verdicts[20].reason == "Motion"
    assert verdicts[-1].reason in {"Still", "Interval"}


@pytest.mark.parametrize("every", [1 / 15, 1.0])
def test_the_background_adapts_by_time_and_not_by_frames(every: float) -> None:
    state = Motion()
    state, _ = step(GATE, state, shrink(scene()), 0.0)
    for index in range(1, round(20 / every) + 1):
        state, _ = step(GATE, state, shrink(scene(at=200)), index * every)
    assert state.background is not None
    assert (state.background.max() - 100) / 150 == pytest.approx(1 - 1 / np.e, abs=0.02)


def test_a_frame_that_was_inferred_anyway_counts() -> None:
    state, _ = step(MotionGate(settle=0.0), Motion(), shrink(scene()), 0.0)
    state, _ = step(MotionGate(settle=0.0), passed(state, 8.0), shrink(scene()), 11.0)
    assert (state.passed, step(GATE, state, shrink(scene()), 18.5)[1].reason) == (8.0, "Interval")


def test_a_clock_that_goes_back_does_not_close_the_gate() -> None:
    state = Motion()
    for now in (1000.0, 1003.0, 1004.0):
        state, verdict = step(GATE, state, shrink(scene()), now)
    assert verdict.reason == "Still"
    assert step(GATE, state, shrink(scene()), 5.0)[1].passes


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1000), gaps=st.lists(st.floats(0.01, 30.0), min_size=1, max_size=40))
def test_no_interval_goes_by_without_a_frame(seed: int, gaps: list[float]) -> None:
    random, state, now = np.random.default_rng(seed), Motion(), 0.0
    last = None
    for gap in gaps:
        now += gap
        state, verdict = step(GATE, state, random.integers(0, 2, SIZE[::-1], np.uint8) * 30, now)
        assert 0.0 <= verdict.share <= 1.0
        assert verdict.passes or (last is not None and now - last < GATE.interval)
        last = now if verdict.passes else last


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (270, 480), (1080, 1920)])
def test_frames_of_any_size_and_luma_alone_can_be_compared(size) -> None:
    plane = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    small = shrink(plane)
    assert (small.shape, small.dtype) == (SIZE[::-1], np.uint8)
    coloured = shrink(np.repeat(plane[:, :, None], 3, axis=2))
    assert np.abs(coloured.astype(int) - small).max() <= 1


def test_steps_change_nothing_of_what_was_before() -> None:
    state, _ = step(GATE, Motion(), shrink(scene()), 0.0)
    assert state.background is not None
    copy = state.background.copy()
    one, other = step(GATE, state, shrink(scene(at=5)), 1.0), step(GATE, state, shrink(scene(at=5)), 1.0)
    assert np.array_equal(state.background, copy)
    assert one[1] == other[1]
