"""The walk of the benchmark, how it finds gaps, and a short walk on a real Triton: nothing fails, nothing is lost.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from bench.tuner import changing, gaps, reconfigurations, walk
from bench.tuner.gaps import Gap, Result
from bench.tuner.walk import BATCHES, DELAYS, INSTANCES, START, Way, kind
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.plan.triton_config import Knobs


@given(seed=st.integers(0, 10_000))
def test_a_walk_stays_within_its_bounds_and_changes_something_each_time(seed: int) -> None:
    present = START
    for step in islice(walk.walk(seed), 60):
        assert step.knobs != present
        assert kind(present, step.knobs)
        assert step.knobs.instances in INSTANCES
        assert step.knobs.max_batch_size in BATCHES
        assert step.knobs.max_queue_delay_microseconds in DELAYS
        assert all(size <= step.knobs.max_batch_size for size in step.knobs.preferred_batch_sizes)
        present = step.knobs if step.way.stays else present


def test_a_seed_gives_one_walk_with_every_knob_and_every_way_in_it() -> None:
    one, other, another = (list(islice(walk.walk(seed), 300)) for seed in (3, 3, 4))
    assert one == other
    assert one != another
    assert {step.way for step in one} == set(Way)
    kept = [START, *(step.knobs for step in one if step.way.stays)]
    alone = {"instances up", "instances down", "max batch", "preferred sizes", "delay"}
    assert {kind(before, after) for before, after in pairwise(kept)} > alone


def test_a_change_of_two_knobs_is_called_by_both() -> None:
    assert kind(Knobs(1, (), 0, 4), Knobs(2, (), 100, 4)) == "instances and delay"


def test_a_gap_belongs_to_the_stretch_in_which_it_begins() -> None:
    assert gaps.gaps([0.0, 1.0, 2.5, 4.0], [(0.5, 3.0)]) == [Gap(1.0, 1.5), Gap(2.5, 1.5)]


def test_a_stretch_without_a_result_is_a_gap_from_its_beginning() -> None:
    assert gaps.gaps([0.0, 9.0], [(2.0, 3.0)]) == [Gap(2.0, 7.0)]


def test_a_camera_that_waits_is_seen_behind_another_that_does_not() -> None:
    results = [Result(0.0, "a", 1.0), Result(1.0, "b", 1.0), Result(2.0, "b", 1.0), Result(3.0, "a", 1.0)]
    assert gaps.longest(gaps.gaps([one.at for one in results], [(0.0, 3.0)])) == 1.0
    assert gaps.longest(gaps.of_each_camera(results, [(0.0, 3.0)])) == 3.0


@pytest.mark.tritonserver
def test_thirty_changes_under_load_fail_no_request_and_every_frame_is_answered_for() -> None:
    story = reconfigurations.Story()
    with changing.ground("24.10", "python", cameras=3, start=START) as ground:
        pod = ground.pod
        walker = reconfigurations.Walker(pod, story, START)
        before, first, refused_before = pod.held(), pod.counts(), pod.refused()
        steps = walk.walk(seed=6)
        while len(story.changes) < 30:
            walker.go(next(steps))
        if walker.knobs != START:
            walker.go(walk.Step(START, Way.ACCEPTED))
        pod.settle(START)
        after, last, results = pod.held(), pod.counts(), len(pod.results)
        ground.end_cameras()
        unaccounted = reconfigurations.left(pod)
        refused, loads = pod.refused(), len(pod.loads())
    # Frames that come before the first load, which is none of the changes, may fail.
    assert (last.failed - first.failed, refused - refused_before, unaccounted) == (0, 0, 0)
    assert last.requests > first.requests, "there was a load"
    assert results > 0
    assert loads >= len(story.changes), "every change was a load"
    assert {change.whole for change in story.changes} == {True, False}, "some in place, some of all"
    assert {change.how for change in story.changes} == {"accepted", "tried", "withdrawn", "expired"}
    assert after.registered == after.detector_regions == after.triton_regions <= 2 * START.instances
    # A region has two descriptors, and is made when it is first needed.
    assert after.detector_descriptors - 2 * after.registered <= before.detector_descriptors - 2 * before.registered
