"""What a configuration takes of the box: bounds that hold although an exporter is late or a host idles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.toy import World, ran
from tests.unit.tuning.truths import ALONE, EPOCH, MODEL, Truth, situation

from edgedetector.tuning import footprint, resources
from edgedetector.tuning.curve import learn
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.evidence import Range
from edgedetector.tuning.lane import lanes
from edgedetector.tuning.situation import Engine, Limits
from edgedetector.tuning.window import Configuration, Knobs, Window


def test_an_exporter_that_lags_behind_does_not_make_instances_free() -> None:
    """The higher figure of two instances is told of the one that came after them, too."""
    truth = Truth()
    visits = [truth.visit(Knobs(2, 1), memory=900e6), truth.visit(ALONE, memory=900e6, ended=EPOCH + 60)]
    _, change = footprint.memory({MODEL: Knobs(4, 1)}, visits, situation(), visits[-1])
    assert change is not None
    assert change.high >= 900e6 + 4 * 450e6, "an instance takes at most what is used, shared by all: 450 MB"


def test_a_batch_of_a_model_holds_a_frame_of_each_of_its_own_cameras_at_most() -> None:
    """Two of a pod's 32 cameras: a batch of 2, and shared memory for that, though others' batches are larger."""
    where = replace(situation(), engines={MODEL: Engine(32, region=1e6)}, cameras=32)
    few = replace(where, cameras_by_model={MODEL: 2})
    wide = {MODEL: Knobs(1, 32)}
    assert resources.shared_memory(wide, where) == 16 * resources.shared_memory(wide, few)
    visit = Truth().visit(ALONE)
    curves = learn([visit], where.engines)
    assert [lane.batch for each in (where, few) for lane in lanes(wide, curves, [visit], each)] == [32, 2]


@given(st.integers(1, 4), st.integers(1, 4), st.floats(1e6, 5e9), st.floats(0, 2e9), st.booleans())
def test_of_one_visit_the_bound_on_memory_holds_the_truth(
    one: int,
    other: int,
    instance: float,
    rest: float,
    in_place: bool,  # noqa: FBT001 - drawn
) -> None:
    visit = Truth().visit(Knobs(one, 1), memory=rest + one * instance)
    after, change = footprint.memory({MODEL: Knobs(other, 1)}, [visit], situation(in_place=in_place), visit)
    assert after is not None
    assert change is not None
    beside = max(0, other - one) if in_place else other if other != one else 0
    assert after.high * (1 + 1e-9) >= rest + other * instance
    assert change.high * (1 + 1e-9) >= rest + (one + beside) * instance


@pytest.mark.parametrize(("host", "least"), [(None, math.inf), (0.0, math.inf), (math.nan, math.inf), (1.0, 1.0)])
def test_only_processors_that_are_busy_hold_frames_up(host: float | None, least: float) -> None:
    visit = replace(Truth().visit(), host=host)
    assert resources.most_of_host(visit) == Range(least, math.inf, math.inf)


def test_half_busy_processors_feed_at_least_twice_the_images() -> None:
    assert resources.most_of_host(replace(Truth().visit(), host=0.5)).low == pytest.approx(2.0)


@dataclass
class Filled(World):
    """A toy world whose accelerator has a size, and an exporter that tells what is used some seconds late."""

    rest: float = 2e8
    engine: float = 3e8
    image: float = 1e7
    total: float = 2e9
    late: float = 0.0
    most: float = 0.0
    told: list[tuple[float, float]] = field(default_factory=list)

    def used(self, configuration: Configuration) -> float:
        return self.rest + sum(
            knobs.instances * (self.engine + self.image * max(1, knobs.max_batch_size))
            for knobs in configuration.values()
        )

    def apply(self, decision: Decision) -> None:
        """Load beside what serves, as a whole reload does."""
        before = self.pods[self.names[0]].serves()
        super().apply(decision)
        after = self.pods[self.names[0]].serves()
        if before != after:
            self.most = max(self.most, self.used(before) + self.used(after) - self.rest)

    def window(self, name: str, seconds: float) -> Window:
        self.told.append((self.now, self.used(self.pods[name].serves())))
        seen = [used for at, used in self.told if at <= self.now - self.late] or [self.told[0][1]]
        return replace(super().window(name, seconds), memory_used=seen[-1], memory_total=self.total)


@settings(max_examples=6, deadline=None)
@given(
    instances=st.integers(1, 2),
    engine=st.floats(5e7, 8e8),
    image=st.floats(0.0, 0.15),
    total=st.floats(5e8, 6e9),
    late=st.sampled_from([0.0, 15.0]),
)
def test_no_step_asks_for_more_memory_than_there_is(
    instances: int, engine: float, image: float, total: float, late: float
) -> None:
    """Of old and new together, whatever is tried, kept or reverted; an image takes a part of what an instance does."""
    world = Filled({MODEL: Knobs(instances, 1)}, engine=engine, image=image * engine, total=total, late=late)
    world.total = max(total, world.used(world.start))
    where = situation(Knobs(instances, 1), engine=Engine(8), limits=Limits(latency=0.2, max_instances=4))
    _, decisions = ran(world, where, 300)
    begun = [decision.configuration for _, decision in decisions if decision.kind is Kind.PROBE]
    assert world.most <= world.total, begun
