"""Simulated servers with post-processing: two stations as they must be, and a tuner that finds what limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judge import harness, postprocessing
from judge.device import Cost, Hardware
from judge.postprocessing import NAME, Boxes, BoxPod, BoxServer
from judge.traffic import Traffic

from edgedetector.tuning.decision import Kind
from edgedetector.tuning.situation import Engine, Limits
from edgedetector.tuning.window import Knobs

BOXES = Boxes(base=0.0, image=0.020, noise=0.0, reading=0.001)
PLAIN = BoxServer(
    name="plain",
    seed=1,
    family="boxes",
    hardware=Hardware({NAME: Cost(0.004, 0.002, way=0.001)}, processors=8, noise=0.0),
    engines={NAME: Engine(1)},
    traffic={NAME: Traffic(8, 5.0)},
    start={NAME: Knobs(1, 1, post_processing=1)},
    limits=Limits(latency=0.2, percentile=95, min_post_processing=1, max_post_processing=3),
    memory_stated=True,
    boxes=BOXES,
)
"""The model serves 1 / 7 ms = 143 images a second an instance, an instance of the post-processing 50."""


def knobs(instances: int, steps: int) -> dict[str, Knobs]:
    return {NAME: Knobs(instances, 1, post_processing=steps)}


@pytest.mark.parametrize(("steps", "most"), [(1, 50.0), (2, 100.0), (3, 140.0)])
def test_the_slower_station_is_the_capacity(steps: int, most: float) -> None:
    assert postprocessing.capacity(PLAIN, knobs(1, steps)) == pytest.approx(most, rel=0.08)


def test_instances_beyond_the_processors_serve_no_more() -> None:
    narrow = replace(PLAIN, hardware=replace(PLAIN.hardware, processors=1))
    one, three = (postprocessing.capacity(narrow, knobs(1, steps)) for steps in (1, 3))
    assert three == pytest.approx(one, rel=0.05)
    assert one < 1.05 / (BOXES.image + BOXES.reading), "what 5 % late frames allow"


def test_a_window_tells_of_the_post_processing_what_triton_counts() -> None:
    pod = BoxPod(PLAIN, PLAIN.start)
    pod.run(2.0)
    pod.window(0.0)
    pod.run(12.0)
    window, disturbed = pod.window(0.0)
    assert not disturbed
    (found,) = window.steps.values()
    assert sum(batch.executions for batch in found.batches.values()) == pytest.approx(400, abs=3)
    assert found.batches[1].seconds == pytest.approx(0.020)
    assert found.executing == pytest.approx(0.8, rel=0.02)
    assert window.host == pytest.approx((40 * 0.021) / 8, rel=0.05)
    model = window.models[NAME]
    assert model.exchange is not None
    assert model.exchange == pytest.approx(model.request + found.request + PLAIN.way, rel=0.02)


def test_a_change_of_the_post_processing_alone_loads_no_model_again() -> None:
    pod = BoxPod(PLAIN, PLAIN.start)
    pod.run(2.0)
    model = pod.lanes[NAME].model
    pod.accept(knobs(1, 3))
    pod.run(6.0)
    assert pod.serving == knobs(1, 3)
    assert pod.lanes[NAME].model is model
    assert PLAIN.memory_to_change(knobs(1, 1), knobs(1, 3), in_place=False) == PLAIN.memory(PLAIN.start)


def test_the_tuner_adds_instances_where_they_limit_and_ends_near_the_best() -> None:
    run = postprocessing.BoxRun(PLAIN, *harness.ours())
    story = run.go(after=300.0)
    assert story.violations == []
    assert story.broken == []
    assert story.converged
    assert story.later_changes == 0
    assert story.all_probes <= 4
    # Its bounds allow 3 instances, which is all that they can do: 150 a second, with two of the model or more.
    assert postprocessing.capacity(PLAIN, story.final) >= 0.95 * postprocessing.capacity(PLAIN, knobs(2, 3))
    lines = [decision.message for _, decision in story.decisions if decision.kind is Kind.KEEP]
    assert any("post-processing 1 -> 2 instances" in line for line in lines)


def test_where_the_device_limits_it_leaves_the_post_processing_alone() -> None:
    quick = replace(PLAIN, boxes=replace(BOXES, image=0.001), limits=replace(PLAIN.limits, max_instances=1))
    story = postprocessing.BoxRun(quick, *harness.ours()).go(after=0.0)
    assert story.final == quick.start
    assert [decision for _, decision in story.decisions if decision.kind is Kind.KEEP] == []
