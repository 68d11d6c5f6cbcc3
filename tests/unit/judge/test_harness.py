"""What the harness makes of tuners, good ones and bad ones, and of simulated pods."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import harness, report, servers, statistics, sweep, truth
from judge.device import MIB, Cost, Hardware
from judge.pod import Pod
from judge.server import Server
from judge.traffic import Traffic
from tests.unit.judge.climber import Climb, step

from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs

PLAIN = Server(
    name="plain",
    seed=1,
    family="linear",
    hardware=Hardware({"m": Cost(0.004, 0.002, way=0.003, host_image=0.0005)}, noise=0.02),
    engines={"m": Engine(8)},
    traffic={"m": Traffic(16, 5.0)},
    start={"m": Knobs(1, 1)},
    limits=Limits(latency=0.060, max_instances=3),
    in_place=True,
)
QUIET = replace(PLAIN, traffic={"m": Traffic(6, 5.0)}, limits=Limits(latency=0.060, percentile=95, max_instances=3))
WORSE = {"m": Knobs(1, 8, (), 5000)}


def test_a_configuration_reaches_the_pod_and_its_frames_go_on() -> None:
    pod = Pod(PLAIN, PLAIN.start)
    pod.run(10.0)
    pod.probe("a", {"m": Knobs(2, 4)}, 20.0)
    pod.run(20.0)
    assert pod.serving == {"m": Knobs(2, 4)}
    assert pod.trial is not None
    assert pod.trial.outcome == "Running"
    assert 1.6 + 0.3 <= pod.changes[0] - 10.0 <= 2.1 + 0.9
    detector = pod.lanes["m"].detector
    assert detector.frames == pytest.approx(16 * 5 * 20, abs=16)
    assert detector.results + detector.dropped + detector.open == detector.frames


def test_a_probe_that_is_not_renewed_is_undone_by_the_pod() -> None:
    pod = Pod(PLAIN, PLAIN.start)
    pod.probe("a", {"m": Knobs(3, 1)}, 12.0)
    pod.run(5.0)
    assert pod.serving == {"m": Knobs(3, 1)}
    pod.renew("a", 12.0)
    pod.run(16.5)
    assert pod.serving == {"m": Knobs(3, 1)}
    pod.run(22.0)
    assert pod.serving == PLAIN.start
    assert pod.trial is not None
    assert pod.trial.outcome == "Expired"


def test_what_does_not_fit_into_memory_beside_the_old_fails_and_the_old_serves_on() -> None:
    tight = replace(PLAIN, in_place=False, hardware=replace(PLAIN.hardware, memory=1000 * MIB))
    pod = Pod(tight, tight.start)
    pod.probe("a", {"m": Knobs(2, 1)}, 60.0)
    pod.run(5.0)
    assert pod.trial is not None
    assert pod.trial.outcome == "Failed"
    assert pod.serving == tight.start
    assert pod.overcommitted == 1
    fits = Pod(replace(tight, in_place=True), tight.start)
    fits.probe("a", {"m": Knobs(2, 1)}, 60.0)
    fits.run(5.0)
    assert fits.serving == {"m": Knobs(2, 1)}


def test_a_window_tells_what_was_served_and_that_something_changed() -> None:
    pod = Pod(PLAIN, PLAIN.start)
    pod.run(20.0)
    window, disturbed = pod.window(100.0)
    model = window.models["m"]
    assert not disturbed
    assert (window.start, window.seconds) == (100.0, 20.0)
    assert model.demand == pytest.approx(80.0)
    assert model.rate == pytest.approx(80.0, rel=0.03)
    assert sum(size * one.executions for size, one in model.batches.items()) == pytest.approx(model.rate * 20.0)
    assert model.busy == pytest.approx(sum(one.executions * one.seconds for one in model.batches.values()) / 20.0)
    assert window.utilization == pytest.approx(80.0 * 0.006, rel=0.05)
    assert model.queue < model.request
    assert model.latency is not None
    assert model.median is not None
    assert model.request < model.median < model.latency
    pod.accept({"m": Knobs(2, 1)})
    pod.run(30.0)
    assert pod.window(100.0)[1]
    pod.run(40.0)
    assert not pod.window(100.0)[1]


def test_a_percentile_that_a_window_has_too_few_results_for_is_of_more_of_them() -> None:
    pod = Pod(PLAIN, PLAIN.start)
    found = []
    for second in range(2, 14, 2):
        pod.run(float(second))
        found.append(pod.window(0.0)[0].models["m"])
    # 80 results a second: 299 take two windows of 2 s.
    assert [one.stretch for one in found] == [2.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    assert found[0].latency is None
    assert all(one.latency and one.samples >= 299 for one in found[1:])
    assert all(sum(one.ages.values()) < 299 for one in found)


@given(
    durations=st.lists(st.floats(0.0006, 16.0), min_size=299, max_size=600),
    share=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
@settings(max_examples=30)
def test_a_percentile_is_right_to_the_width_of_a_bucket(durations: list[float], share: float) -> None:
    found = statistics.percentile(durations, share)
    assert found is not None
    exact = sorted(durations)[math.ceil(share * len(durations) - 1e-9) - 1]
    assert exact / 1.1 <= found <= exact * 1.1


def test_the_same_server_gives_the_same_figures() -> None:
    windows = []
    for _ in range(2):
        pod = Pod(servers.server(9), servers.server(9).start)
        pod.run(20.0)
        windows.append(pod.window(0.0))
    assert windows[0] == windows[1]


def test_capacity_is_that_of_the_slowest_part() -> None:
    # One instance: 9.65 ms an image; three: the engine alone, 6 ms.
    calm = replace(PLAIN, hardware=replace(PLAIN.hardware, noise=0.0), limits=Limits(latency=0.2, max_instances=3))
    assert truth.capacity(calm, {"m": Knobs(1, 1)}) == pytest.approx(1 / 0.00965, rel=0.06)
    assert truth.capacity(calm, {"m": Knobs(3, 1)}) == pytest.approx(1 / 0.006, rel=0.06)
    assert truth.capacity(calm, {"m": Knobs(3, 8)}) == pytest.approx(8 / 0.020, rel=0.1)


def test_a_tight_bound_costs_capacity() -> None:
    tight = replace(PLAIN, limits=replace(PLAIN.limits, latency=0.025))
    assert truth.capacity(tight, {"m": Knobs(2, 4)}) < truth.capacity(PLAIN, {"m": Knobs(2, 4)})


@pytest.mark.parametrize("goal", [Goal.THROUGHPUT, Goal.EFFICIENCY])
def test_the_sweep_finds_what_trying_all_without_a_bound_finds(goal: Goal) -> None:
    small = replace(
        QUIET, goal=goal, engines={"m": Engine(3)}, limits=replace(PLAIN.limits, max_instances=2,
        max_queue_delay_microseconds=0),
    )  # fmt: skip
    best = sweep.sweep(small)
    scores = [sweep.score(small, one) for one in sweep.allowed(small)]
    assert best.score == pytest.approx(max(scores), rel=0.02)
    assert best.allowed == 6


def test_no_configuration_is_best_that_memory_forbids() -> None:
    hardware = replace(PLAIN.hardware, memory=1200 * MIB, reserved=0.0)
    tight = replace(PLAIN, in_place=False, hardware=hardware)
    found = sweep.allowed(tight)
    assert {one["m"].instances for one in found} == {1, 2}
    unknown = replace(tight, memory_shown=False)
    assert sweep.allowed(unknown) == [tight.start]
    assert sweep.allowed(replace(unknown, memory_stated=True)) == sweep.allowed(tight)
    # Without an exporter nobody knows what is in use, whatever is stated.
    assert sweep.allowed(replace(tight, exporter=False, memory_stated=True)) == [tight.start]


def test_an_overloaded_server_has_no_best_that_serves_less_of_its_load() -> None:
    flood = replace(PLAIN, traffic={"m": Traffic(60, 5.0)}, start={"m": Knobs(1, 8)})
    present = truth.load(flood, flood.start, truth.at(flood, most=True))
    found = truth.load(flood, sweep.sweep(flood).configuration, truth.at(flood, most=True))
    assert not present.kept
    assert found.kept or found.served >= present.served * (1.0 - truth.PRECISION)
    assert truth.load(flood, {"m": Knobs(1, 1)}, truth.at(flood, most=True)).served < 0.9 * present.served


def test_windows_are_slow_where_neighbours_slow_them() -> None:
    beside = replace(PLAIN.hardware, neighbour=((0.0, 1.0), (100.0, 3.0), (200.0, 1.0)))
    found = sweep.slow_windows(replace(PLAIN, hardware=beside), PLAIN.start)
    assert not any(found[:9])
    assert all(found[10:19])
    assert not any(sweep.slow_windows(PLAIN, PLAIN.start))


def test_a_climber_is_judged_by_where_it_ends() -> None:
    best = sweep.Best({"m": Knobs(3, 8)}, 400.0, 100.0, 0, 0)
    story = harness.tune(QUIET, step, Climb(), best=best, after=120.0)
    assert story.final == {"m": Knobs(3, 1)}
    assert story.converged
    assert story.probes == story.all_probes == 2
    assert story.ratio == pytest.approx(truth.capacity(QUIET, story.final) / 400.0)
    assert 20.0 < story.seconds < 60.0
    assert (story.worse, story.broken, story.violations) == (0.0, [], [])
    assert (story.later_changes, story.later_seconds) == (0, 120.0)
    assert story.unanswered == 0
    assert "3 x 1" in report.tell(story)


def _once(decision: Decision):
    """Return a tuner that decides once, after a minute."""

    def decide(state: int, _report: Report, _situation: Situation, _now: float) -> tuple[int, Decision]:
        return state + 1, decision if state == 6 else Decision(Kind.WAIT)

    return decide


def test_a_tuner_that_makes_it_worse_is_found_out() -> None:
    cameras = truth.at(QUIET, most=True)
    good, bad = (truth.load(QUIET, one, cameras).latency for one in (QUIET.start, WORSE))
    assert bad > good
    strict = replace(QUIET, limits=Limits(latency=0.5 * (good + bad), percentile=95))
    best = sweep.Best(strict.start, 80.0, 80.0, 0, 0)
    story = harness.tune(strict, _once(Decision(Kind.KEEP, "no reason", WORSE)), 0, best=best, after=0.0)
    assert len(story.broken) > 10
    assert {one.when for one in story.broken} <= {"kept", "change"}
    # What the start breaks too is not put down to exploring.
    hopeless = replace(QUIET, limits=Limits(latency=0.001))
    assert harness.tune(hopeless, _once(Decision(Kind.KEEP, "", WORSE)), 0, best=best, after=0.0).broken == []


@pytest.mark.parametrize("knobs", [Knobs(9, 1), Knobs(0, 1), Knobs(1, 16), Knobs(1, 8, (16,)), Knobs(1, 8, (), 6000)])
def test_what_is_out_of_bounds_is_written_down(knobs: Knobs) -> None:
    assert harness._violations(PLAIN, {"m": knobs})
    assert not harness._violations(PLAIN, PLAIN.start)


def test_changes_after_convergence_are_counted() -> None:
    def restless(state: int, _report: Report, _situation: Situation, _now: float) -> tuple[int, Decision]:
        late = state > 70 and state % 10 == 0
        return state + 1, Decision(Kind.KEEP, "", {"m": Knobs(1 + state // 10 % 2, 1)}) if late else Decision(Kind.WAIT)

    best = sweep.Best(PLAIN.start, 80.0, 80.0, 0, 0)
    story = harness.tune(QUIET, restless, 0, best=best, after=600.0)
    assert story.later_changes >= 2


@pytest.mark.parametrize("lie", servers.LIES)
def test_servers_lie(lie: str) -> None:
    server = replace(QUIET, lie=lie)
    run = harness.Run(server, step, Climb())
    story = run.go(after=0.0)
    assert story.best is None
    if lie == "silent":
        assert story.all_probes == 1
    if lie == "serves-less":
        assert run.pod.lanes["m"].model.batching.instances == 1
        assert run.pod.serving["m"].instances > 1


def test_servers_are_many_and_the_same_again() -> None:
    found = [servers.server(seed) for seed in range(20)]
    assert found[3] == servers.server(3)
    assert {server.family for server in found} == set(servers.FAMILIES)
    held = [servers.server(seed, held_out=True) for seed in range(10)]
    assert all(one.hardware != other.hardware for one in held for other in found)
    for server in [*found, *held]:
        assert server.memory(server.start) <= server.hardware.memory


@pytest.mark.parametrize(("events", "trials", "bound"), [(0, 300, 0.00994), (0, 0, 1.0), (1, 100, 0.0466), (5, 5, 1.0)])
def test_the_bound_on_a_rate_is_clopper_and_pearsons(events: int, trials: int, bound: float) -> None:
    assert report.rule_of_three(events, trials) == pytest.approx(bound, rel=0.01)
