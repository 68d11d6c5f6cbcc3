"""How many replicas there may be: an autoscaler's maximum is lowered to what finds a node, and raised again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api import names
from edgedetector.api.edgedetector import ScalingSpec
from edgedetector.plan import CAP_LASTS, TUNING_LASTS, Cap, Facts, cap, held, least
from edgedetector.plan.scaling import live_cap, minimum, note
from edgedetector.plan.scaling import maximum as scaling_maximum

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ONE_TO_FOUR = ScalingSpec(min_replicas=1, max_replicas=4)


def autoscaler(spec: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return child(children(detector("yard", spec), facts=Facts(**facts)), "HorizontalPodAutoscaler", "yard-triton")


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_replica_without_a_node_lowers_the_maximum_to_what_has_one() -> None:
    assert cap(ONE_TO_FOUR, None, placed=2, waiting=1, now=NOON) == Cap(2, NOON)


def test_while_all_have_a_node_nothing_is_lowered() -> None:
    assert cap(ONE_TO_FOUR, None, placed=2, waiting=0, now=NOON) is None


def test_the_minimum_stays_whatever_fits() -> None:
    two = ScalingSpec(min_replicas=2, max_replicas=4)
    assert cap(two, None, placed=0, waiting=2, now=NOON) == Cap(2, NOON)
    assert cap(two, Cap(1, NOON), placed=2, waiting=0, now=after(1)) == Cap(2, NOON), "the minimum was raised meanwhile"


def test_while_cameras_give_way_no_replica_is_taken_away() -> None:
    """What is left of their rates keeps fewer processors busy than what is offered."""
    spec = minimal(scaling={"minReplicas": 1, "maxReplicas": 4})
    assert autoscaler(spec)["spec"]["minReplicas"] == 1
    assert autoscaler(spec, least=least(3, degraded=True))["spec"]["minReplicas"] == 3
    assert autoscaler(spec, least=least(3, degraded=False))["spec"]["minReplicas"] == 1
    assert autoscaler(spec, least=least(0, degraded=True))["spec"]["minReplicas"] == 1


@given(st.integers(1, 4), st.integers(0, 3), st.none() | st.integers(0, 9), st.none() | st.integers(1, 9))
def test_the_minimum_is_never_above_the_maximum_nor_below_what_is_specified(
    fewest: int, more: int, asked: int | None, room: int | None
) -> None:
    scaling = ScalingSpec(min_replicas=fewest, max_replicas=fewest + more)
    facts = Facts(least=asked, held=room)
    assert fewest <= minimum(scaling, facts) <= scaling_maximum(scaling, facts) <= fewest + more


def test_a_fixed_number_is_not_lowered() -> None:
    fixed = ScalingSpec(min_replicas=2, max_replicas=2)
    assert cap(fixed, None, placed=1, waiting=1, now=NOON) is None
    assert cap(fixed, Cap(1, NOON), placed=1, waiting=1, now=NOON) is None


def test_the_time_is_that_of_the_first_look() -> None:
    """Else every pass would write, and the maximum would never be raised again."""
    live = Cap(1, NOON)
    assert cap(ONE_TO_FOUR, live, placed=1, waiting=1, now=after(3)) == live
    assert cap(ONE_TO_FOUR, live, placed=1, waiting=0, now=after(9.99)) == live


def test_after_ten_minutes_the_maximum_is_tried_again() -> None:
    assert cap(ONE_TO_FOUR, Cap(1, NOON), placed=1, waiting=0, now=after(10)) is None


def test_a_lost_node_lowers_it_further_and_the_time_begins_anew() -> None:
    assert cap(ONE_TO_FOUR, Cap(3, NOON), placed=1, waiting=1, now=after(5)) == Cap(1, after(5))


def test_a_time_to_come_is_not_believed() -> None:
    """Whatever wrote it: the maximum must not stay lowered for years."""
    assert cap(ONE_TO_FOUR, Cap(1, after(60)), placed=1, waiting=0, now=NOON) is None


def test_a_maximum_that_was_lowered_by_the_user_needs_no_cap() -> None:
    two = ScalingSpec(min_replicas=1, max_replicas=2)
    assert cap(two, Cap(2, NOON), placed=2, waiting=0, now=after(1)) is None


def test_the_note_is_read_as_it_was_written() -> None:
    live = Cap(3, NOON)
    assert note(live) == "3 since 2026-11-22T12:00:00Z"
    assert live_cap({"metadata": {"annotations": {names.ANNOTATION_CAPPED: note(live)}}}) == live


@pytest.mark.parametrize("text", ["", "3", "0 since 2026-11-22T12:00:00Z", "3 since 2026-13-99T12:00:00Z", "x" * 99])
def test_a_note_that_cannot_be_read_is_none(text: str) -> None:
    assert live_cap({"metadata": {"annotations": {names.ANNOTATION_CAPPED: text}}}) is None
    assert live_cap({"metadata": {}}) is None
    assert live_cap(None) is None


def test_the_autoscaler_gets_the_lowered_maximum_with_its_note_and_loses_both_again() -> None:
    spec = minimal(scaling={"maxReplicas": 4})
    lowered = autoscaler(spec, cap=Cap(2, NOON))
    assert lowered["spec"]["maxReplicas"] == 2
    assert lowered["metadata"]["annotations"] == {names.ANNOTATION_CAPPED: "2 since 2026-11-22T12:00:00Z"}
    raised = autoscaler(spec)
    assert raised["spec"]["maxReplicas"] == 4
    assert "annotations" not in raised["metadata"]


def test_the_autoscaler_looks_at_both_containers() -> None:
    def targets(**more: Any) -> dict[str, Any]:
        metrics = autoscaler(minimal(scaling={"maxReplicas": 2, "targetCPUUtilization": 70}, **more))["spec"]["metrics"]
        assert {metric["type"] for metric in metrics} == {"ContainerResource"}
        return {m["containerResource"]["container"]: m["containerResource"]["target"] for m in metrics}

    share = {"type": "Utilization", "averageUtilization": 70}
    assert targets() == {"triton": share, "detector": {"type": "AverageValue", "averageValue": "700m"}}
    stated = {"detector": {"requests": {"cpu": "2"}}}
    assert targets(resources=stated) == {"triton": share, "detector": share}


def test_the_autoscaler_follows_the_figures_that_are_named_beside_the_processors() -> None:
    wanted = [
        {"name": "Demand"},
        {"name": "QueueTime", "type": "Pods", "target": {"averageValue": "25m"}},
        {"name": "AcceleratorUtilization", "target": {"averageValue": 1}},
    ]
    metrics = autoscaler(minimal(acceleratorProfile="nvidia", scaling={"maxReplicas": 2, "metrics": wanted}))["spec"][
        "metrics"
    ]
    selector = {"matchLabels": {"edgedetector": "yard"}}
    assert metrics[2:] == [
        {
            "type": "External",
            "external": {
                "metric": {"name": "edgedetector_demand_ratio", "selector": selector},
                "target": {"type": "AverageValue", "averageValue": "800m"},
            },
        },
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "edgedetector_queue_time_seconds"},
                "target": {"type": "AverageValue", "averageValue": "25m"},
            },
        },
        {
            "type": "External",
            "external": {
                "metric": {"name": "edgedetector_accelerator_utilization_ratio", "selector": selector},
                "target": {"type": "AverageValue", "averageValue": "1"},
            },
        },
    ]


def test_what_nobody_tells_is_not_asked_for() -> None:
    metrics = [{"name": "AcceleratorUtilization"}, {"name": "Demand"}]
    found = autoscaler(minimal(scaling={"maxReplicas": 2, "metrics": metrics}))["spec"]["metrics"][2:]
    assert [metric["external"]["metric"]["name"] for metric in found] == ["edgedetector_demand_ratio"]


def test_whatever_it_follows_tuning_goes_first_and_nothing_goes_while_cameras_give_way() -> None:
    spec = minimal(scaling={"minReplicas": 1, "maxReplicas": 4, "metrics": [{"name": "Demand"}]})
    assert autoscaler(spec, held=2)["spec"]["maxReplicas"] == 2
    assert autoscaler(spec, least=least(3, degraded=True))["spec"]["minReplicas"] == 3


BOUNDS = st.integers(1, 4).flatmap(
    lambda low: st.builds(ScalingSpec, st.just(low), st.integers(low, 8)),
)
CAPS = st.one_of(st.none(), st.builds(Cap, st.integers(1, 9), st.integers(-30, 30).map(after)))


@given(BOUNDS, CAPS, st.integers(0, 9), st.integers(0, 9))
def test_a_cap_lies_between_the_bounds_and_a_second_look_changes_nothing(
    bounds: ScalingSpec, live: Cap | None, placed: int, waiting: int
) -> None:
    found = cap(bounds, live, placed=placed, waiting=waiting, now=NOON)
    assert found is None or bounds.min_replicas <= found.maximum < bounds.max_replicas
    assert cap(bounds, found, placed=placed, waiting=waiting, now=NOON) == found


class Site(RuleBasedStateMachine):
    """Nodes that come and go, a load that wants replicas, an autoscaler, and a pass of ours every few seconds."""

    STEP = timedelta(seconds=15)
    PATIENCE = timedelta(seconds=60)

    @initialize(bounds=BOUNDS, room=st.integers(0, 9), wanted=st.integers(1, 9))
    def begin(self, bounds: ScalingSpec, room: int, wanted: int) -> None:
        self.bounds, self.room, self.wanted = bounds, room, wanted
        self.now, self.live = NOON, None
        self.pods: list[datetime | None] = []  # since when it waits; None: it has a node
        self.writes: list[datetime] = []
        self.since = NOON  # of the last change from outside

    def maximum(self) -> int:
        return self.live.maximum if self.live is not None else self.bounds.max_replicas

    def pass_by(self) -> None:
        """The autoscaler, the scheduler, and then a pass of ours."""
        self.now += self.STEP
        replicas = min(max(self.wanted, self.bounds.min_replicas), self.maximum())
        self.pods = sorted(self.pods, key=lambda since: since is not None)[:replicas]  # those that wait go first
        self.pods += [self.now] * (replicas - len(self.pods))
        placed = self.pods.count(None)
        for number, since in enumerate(self.pods):
            if since is not None and placed < self.room:
                self.pods[number], placed = None, placed + 1
        waiting = sum(since is not None and self.now - since >= self.PATIENCE for since in self.pods)
        found = cap(self.bounds, self.live, placed=placed, waiting=waiting, now=self.now)
        if found != self.live:
            self.writes.append(self.now)
        self.live = found

    @rule(steps=st.integers(1, 120))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.pass_by()

    @rule(room=st.integers(0, 9))
    def nodes_change(self, room: int) -> None:
        self.room, self.since = room, self.now
        lost = self.pods.count(None) - room
        for number, since in enumerate(self.pods):
            if since is None and lost > 0:
                self.pods[number], lost = self.now, lost - 1

    @rule(wanted=st.integers(1, 9))
    def load_changes(self, wanted: int) -> None:
        self.wanted, self.since = wanted, self.now

    @rule()
    def long_rest_uses_the_room_that_there_is(self) -> None:
        """No replica waits but while it is tried, and none that would fit is missing for longer than a try takes."""
        self.time_passes(4 * (60 + 10 * 60) // 15)
        bounds = self.bounds
        wanted = min(max(self.wanted, bounds.min_replicas), bounds.max_replicas)
        assert self.pods.count(None) == min(wanted, self.room)
        waiting_for = [self.now - since for since in self.pods[bounds.min_replicas :] if since is not None]
        assert all(waited <= self.PATIENCE + self.STEP for waited in waiting_for)

    @invariant()
    def at_rest_two_writes_an_attempt_and_no_more(self) -> None:
        if not hasattr(self, "writes"):
            return
        quiet = [time for time in self.writes if time > self.since + self.PATIENCE + self.STEP]
        assert len(quiet) <= 2 * (1 + (self.now - self.since) / CAP_LASTS)


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


def test_until_tuning_has_converged_no_replica_is_added_and_none_is_taken() -> None:
    assert held(ONE_TO_FOUR, 1, since=NOON, converged=False, now=after(5)) == 1
    assert held(ONE_TO_FOUR, 3, since=NOON, converged=False, now=after(5)) == 3
    assert held(ONE_TO_FOUR, 0, since=None, converged=False, now=after(5)) == 1
    assert held(ONE_TO_FOUR, 1, since=NOON, converged=True, now=after(5)) is None


def test_tuning_holds_nobody_for_ever() -> None:
    over = NOON + TUNING_LASTS
    assert held(ONE_TO_FOUR, 1, since=NOON, converged=False, now=over - timedelta(seconds=1)) == 1
    assert held(ONE_TO_FOUR, 1, since=NOON, converged=False, now=over) is None


def test_tuning_that_began_while_the_clock_was_wrong_holds_nobody_for_years() -> None:
    """A box without a battery begins at some time, and is put right once it has a network."""
    assert held(ONE_TO_FOUR, 1, since=NOON + timedelta(days=3650), converged=False, now=NOON) is None
    assert held(ONE_TO_FOUR, 1, since=NOON + timedelta(seconds=2), converged=False, now=NOON) == 1


def test_at_the_maximum_and_with_a_fixed_number_nothing_is_held() -> None:
    assert held(ONE_TO_FOUR, 4, since=NOON, converged=False, now=NOON) is None
    fixed = ScalingSpec(min_replicas=2, max_replicas=2)
    assert held(fixed, 2, since=NOON, converged=False, now=NOON) is None


SCALINGS = st.builds(lambda low, more: ScalingSpec(low, low + more), st.integers(1, 5), st.integers(0, 5))
CAPS = st.none() | st.integers(1, 12).map(lambda maximum: Cap(maximum, NOON))


@given(scaling=SCALINGS, asked=st.integers(0, 12), room=CAPS, data=st.data())
def test_the_autoscaler_always_has_its_minimum_and_never_more_than_it_may(
    scaling: ScalingSpec, asked: int, room: Cap | None, data: st.DataObject
) -> None:
    now, converged = after(data.draw(st.floats(0, 90))), data.draw(st.booleans())
    hold = held(scaling, asked, since=NOON, converged=converged, now=now)
    found = scaling_maximum(scaling, Facts(cap=room, held=hold))
    assert scaling.min_replicas <= found <= scaling.max_replicas
    if hold is not None:
        assert found <= max(scaling.min_replicas, asked)


def test_what_tuning_holds_is_rendered() -> None:
    spec = minimal(scaling={"minReplicas": 1, "maxReplicas": 4})
    assert autoscaler(spec, held=2)["spec"]["maxReplicas"] == 2
    assert autoscaler(spec, held=2, cap=Cap(1, NOON))["spec"]["maxReplicas"] == 1
    assert autoscaler(spec)["spec"]["maxReplicas"] == 4
