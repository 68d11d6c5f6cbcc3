"""What a trial showed, and whether it is kept."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuning.truths import ALONE, EPOCH, MODEL, Truth, situation

from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.situation import Goal, Limits, Situation
from edgedetector.tuning.trial import MOVED, End, Verdict, judged, moved
from edgedetector.tuning.window import BatchTime, Knobs

TRUTH = Truth(serial=0.5)
TWO = Knobs(2, 1)
WHERE = situation(ALONE, latency=0.05)


def shown(visit: Visit, utilization: float | None = None) -> Visit:
    used = visit.utilization if utilization is None else utilization
    return replace(visit, windows=30, spread=0.005, utilization=used)


def verdict(base: Visit, seen: Visit, aim: str = "gain", after: float = 61.0) -> Verdict:
    visits = (base, seen)
    prediction = predict({MODEL: TWO}, learn(visits, WHERE.engines), visits, WHERE)
    before = {MODEL: base.models[MODEL].rate}
    trial = Trial("1-0", "pod-0", {MODEL: TWO}, EPOCH, EPOCH, 30.0, before, prediction, aim=aim)
    state = State(accepted={MODEL: ALONE}, trial=trial, visits=visits)
    return judged(state, trial, WHERE, EPOCH + after)


def test_a_second_instance_that_hides_the_way_is_kept() -> None:
    base = shown(TRUTH.visit(ALONE, use=0.6, latency=0.012))
    seen = shown(TRUTH.visit(TWO, use=0.3, latency=0.010, ended=EPOCH + 60))
    assert verdict(base, seen).end is End.KEEP


def test_what_takes_of_the_accelerators_headroom_is_not_kept() -> None:
    base = shown(TRUTH.visit(ALONE, use=0.6, latency=0.012))
    seen = shown(TRUTH.visit(TWO, use=0.3, latency=0.010, ended=EPOCH + 60), utilization=0.9)
    found = verdict(base, seen)
    assert found.end is End.NO_GAIN
    assert "utilisation" in found.why


def test_what_became_slower_is_kept_only_with_room_below_the_limit() -> None:
    base = shown(TRUTH.visit(ALONE, use=0.6, latency=0.030))
    ends = {
        seconds: verdict(base, shown(TRUTH.visit(TWO, use=0.3, latency=seconds, ended=EPOCH + 60))).end
        for seconds in (0.032, 0.040)
    }
    assert ends == {0.032: End.KEEP, 0.040: End.NO_GAIN}


def test_what_lags_behind_its_demand_may_take_nearly_all_of_the_limit_to_serve_more() -> None:
    """Seed 1 on a real Triton: 43 of 99 images a second at 380 ms; 80 at 653 of 900 ms left it "too little room"."""

    def full(knobs: Knobs, rate: float, seconds: float, latency: float, used: float) -> Visit:
        spread = Range(0.99 * latency, latency, 1.01 * latency)
        batch = {knobs.max_batch_size: BatchTime(700, seconds)}
        model = ModelVisit(knobs, batch, demand=99.2, rate=rate, busy=1.0, latency=spread)
        return Visit({MODEL: model}, 60.0, EPOCH, utilization=used, windows=30, spread=0.01)

    where = replace(situation(limits=Limits(latency=0.9, accelerator=1.0)), cameras=32)
    base, tried = full(ALONE, 43.0, 0.0225, 0.38, 0.66), {MODEL: Knobs(2, 6)}
    ends = {}
    for latency in (0.653, 0.85):
        visits = (base, full(Knobs(2, 6), 79.8, 0.150, latency, 0.97))
        prediction = predict(tried, learn(visits, where.engines), visits, where)
        trial = Trial("1-0", "pod-0", tried, EPOCH, EPOCH, 30.0, {MODEL: 99.2}, prediction)
        ends[latency] = judged(State(accepted={MODEL: ALONE}, trial=trial, visits=visits), trial, where, EPOCH + 61).end
    assert ends == {0.653: End.KEEP, 0.85: End.NO_GAIN}


def test_a_rescue_may_not_take_of_the_headroom_either() -> None:
    base = shown(TRUTH.visit(ALONE, use=0.95, latency=0.2), 0.6)
    ends = {}
    for used in (0.7, 0.9):
        seen = shown(TRUTH.visit(TWO, use=0.5, latency=0.03, ended=EPOCH + 60), used)
        ends[used] = verdict(base, seen, "rescue").end
    assert ends == {0.7: End.KEEP, 0.9: End.NO_GAIN}


def rescue(served: float, seconds: float, windows: int) -> Verdict:
    """Of a server that is always busy: twenty seconds into a trial that serves so much of what was served before."""
    base = shown(TRUTH.visit(ALONE, use=0.99, latency=0.4), 0.6)
    model = replace(base.models[MODEL], demand=400.0)
    base = replace(base, models={MODEL: model})
    seen = shown(TRUTH.visit(TWO, use=0.99, latency=seconds, ended=EPOCH + 60), 0.6)
    tried = replace(seen.models[MODEL], rate=model.rate * served, demand=400.0)
    return verdict(base, replace(seen, models={MODEL: tried}, windows=windows), "rescue", after=20.0)


def test_a_rescue_that_surely_does_not_help_is_not_served_for_a_whole_minute() -> None:
    assert rescue(0.9, 0.3, 6).end is End.NOT_YET
    assert rescue(0.9, 0.3, 12).end is End.NO_GAIN
    assert rescue(1.0, 0.3, 12) == replace(rescue(1.0, 0.3, 30), end=End.KEEP), "it is nearer, for as much served"


def test_a_rescue_that_may_keep_the_objective_yet_goes_on() -> None:
    assert rescue(0.9, 0.051, 12).end is End.NOT_YET


def test_what_is_probably_worse_is_not_served_for_a_whole_minute() -> None:
    base = shown(TRUTH.visit(ALONE, use=0.6, latency=0.012))
    slower = Truth(fixed=0.004, each=0.002, serial=1.0, contention=0.1)
    seen = replace(slower.visit(TWO, use=0.6, latency=0.014, ended=EPOCH + 60), spread=0.1)
    assert verdict(base, replace(seen, windows=9), after=20.0).end is End.NOT_YET
    found = verdict(base, replace(seen, windows=12), after=26.0)
    assert found.end is End.NO_GAIN
    assert found.why.endswith("probably no better")


def grown(
    latency: float, times: float = 1.3, aim: str = "gain", goal: Goal = Goal.LATENCY, used: float | None = None
) -> Verdict:
    """Of a trial during which so many times the frames came as before, of which 12 ms are the p99."""
    where: Situation = replace(WHERE, goal=goal)
    base = shown(TRUTH.visit(ALONE, use=0.6, latency=0.012))
    seen = shown(TRUTH.visit(TWO, use=0.4, latency=latency, ended=EPOCH + 60), used)
    before = base.models[MODEL].rate
    seen = replace(seen, models={MODEL: replace(seen.models[MODEL], rate=times * before, demand=times * before)})
    visits = (base, seen)
    prediction = predict({MODEL: TWO}, learn(visits, where.engines), visits, where)
    load = {MODEL: times * before}
    trial = Trial("1-0", "pod-0", {MODEL: TWO}, EPOCH, EPOCH, 30.0, {MODEL: before}, prediction, aim=aim, demand=load)
    state = State(accepted={MODEL: ALONE}, trial=trial, visits=visits)
    ended = moved(trial, where)
    return ended if ended.end is not End.NOT_YET else judged(state, trial, where, EPOCH + 61)


def test_what_is_quicker_though_more_images_came_is_kept() -> None:
    """A camera more in the middle of every trial would otherwise leave the worst configuration for ever."""
    assert grown(0.008).end is End.KEEP
    assert grown(0.008, aim="rescue", goal=Goal.THROUGHPUT).end is End.KEEP


def test_where_the_demand_moves_otherwise_nothing_is_told() -> None:
    nothing = (End.INCONCLUSIVE, MOVED)
    for found in (grown(0.014), grown(0.008, times=0.7), grown(0.008, goal=Goal.EFFICIENCY)):
        assert (found.end, found.why) == nothing
    assert grown(0.008, times=1.0).why != MOVED


def test_the_headroom_that_only_more_images_take_is_not_taken_by_the_change() -> None:
    """93 % at 220 images a second, of which 185 came before the trial: 78 % of them, where 80 are allowed."""
    assert grown(0.008, 1.2, used=0.93).end is grown(0.008, 1.3, used=0.93).end is End.KEEP
    assert grown(0.008, 1.02, used=0.93).end is End.NO_GAIN
    assert grown(0.008, 1.3, used=1.0).end is End.KEEP, "77 % of 100"
    assert grown(0.008, 1.1, used=0.93).end is End.NO_GAIN, "85 %"
