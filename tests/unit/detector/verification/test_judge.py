"""What is made of what a test has seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import AcceleratorMetric
from edgedetector.api.verification import Task, text
from edgedetector.detector.verification import judge
from edgedetector.detector.verification.observations import (
    Answer,
    Change,
    Observations,
    Reading,
    Stretch,
    stretch,
    together,
)

QUIET = Stretch(20.0, answered=2000, gap=0.05)
SMOOTH = Stretch(3.0, answered=300, gap=0.1)
METRICS = tuple(AcceleratorMetric(name, name.upper(), 1.0) for name in ("utilization", "memoryUsed", "memoryTotal"))
TASK = Task("now", "basis", "http://exporter", METRICS)

seconds = st.floats(0, 1e4)
stretches = st.builds(Stretch, seconds, st.integers(0, 10**6), st.integers(0, 100), seconds, st.text(max_size=20))
changes = st.builds(
    Change, st.integers(1, 8), st.integers(1, 8), seconds, st.sampled_from([True, False, None]), st.text(max_size=9),
    stretches, seconds, seconds,
)  # fmt: skip
values = st.lists(st.floats(), max_size=3)
readings = st.builds(Reading, seconds, st.dictionaries(st.sampled_from([one.name for one in METRICS]), values))
observations = st.builds(
    Observations,
    st.text(max_size=9), st.text(max_size=9), st.integers(0, 99), stretches, st.lists(changes, max_size=4).map(tuple),
    st.none() | changes, st.none() | st.text(max_size=9), st.lists(readings, max_size=4).map(tuple),
)  # fmt: skip


def change(before: int, after: int, **what: Any) -> Change:
    return Change(before, after, 0.5, **{"kept": True, "stretch": SMOOTH, **what})


LADDER = (change(1, 2), change(2, 4), change(4, 2))


def seen(**what: Any) -> Observations:
    figures = {"utilization": [0.6], "memoryUsed": [2.0**30], "memoryTotal": [8 * 2.0**30]}
    blank = Observations("people", "2.51.0", 10001, QUIET, LADDER, replace(change(2, 2), kept=False), "")
    return replace(blank, **{"readings": (Reading(1.0, figures),), **what})


@given(observations)
def test_whatever_was_seen_is_a_report_that_fits(some: Observations) -> None:
    report = judge.report(TASK, some)
    assert len(text(report)) <= 4000
    assert [one.name for one in report.capabilities] == [
        *("instanceChangeInPlace", "coexistingReload", "memoryKnown", "nonRoot", "sharedMemory")
    ]
    assert [one.name for one in report.metrics] == [one.name for one in METRICS]
    assert all(one.verified for one in (*report.capabilities, *report.metrics) if one.supported)
    assert all(one.evidence or one.name == "sharedMemory" for one in (*report.capabilities, *report.metrics))


@given(st.lists(changes, min_size=1, max_size=4), stretches)
def test_in_place_is_said_only_where_all_statistics_went_on_and_nobody_noticed(
    some: list[Change], quiet: Stretch
) -> None:
    found = judge.in_place(some, quiet)
    done = [one for one in some if not one.refused]
    if found.supported:
        assert all(one.kept is True for one in done)
        assert {one.after > one.before for one in done if one.after != one.before} == {True, False}
        assert sum(one.stretch.failed for one in done) <= quiet.failed
        assert max(one.stretch.gap for one in done) <= quiet.gap + judge.STALL


def test_up_and_down_in_place() -> None:
    found = judge.in_place(LADDER, QUIET)
    assert (found.supported, found.verified) == (True, True)
    assert found.evidence == (
        "in place: 1 -> 2 -> 4 -> 2 (0.5, 0.5, 0.5 s); longest gap 0.10 s, 0.05 s without changes; 0 of 900 failed"
    )


@pytest.mark.parametrize(
    ("index", "what", "supported", "verified", "words"),
    [
        (1, {"kept": False}, False, True, "2 -> 4 by reload: 1 -> 2 -> 4 -> 2"),
        (2, {"stretch": Stretch(4.0, 300, gap=1.9)}, False, True, "longest gap 1.90 s, 0.05 s without changes"),
        (2, {"stretch": Stretch(4.0, 300, 2, 0.1, "gone")}, False, True, "2 of 902 failed (gone)"),
        (0, {"kept": None}, False, False, "not told by statistics"),
        (2, {"refused": "no"}, False, False, "not both up and down"),
    ],
    ids=["by reload", "a stall", "failures", "too few inferences to tell", "down was refused"],
)
def test_what_speaks_against_it(index: int, what: dict[str, Any], supported: bool, verified: bool, words: str) -> None:  # noqa: FBT001
    some = [replace(one, **what) if number == index else one for number, one in enumerate(LADDER)]
    found = judge.in_place(some, QUIET)
    assert (found.supported, found.verified) == (supported, verified)
    assert words in found.evidence


def test_a_number_that_was_refused_is_told_and_the_others_count() -> None:
    found = judge.in_place((change(1, 2), change(2, 4, kept=None, refused="out of memory"), change(2, 1)), QUIET)
    assert (found.supported, found.verified) == (True, True)
    assert found.evidence.endswith("; 2 -> 4 refused: out of memory")


def test_a_reload_that_fits_shows_its_peak_of_memory() -> None:
    def at(time: float, used: float) -> Reading:
        return Reading(time, {"memoryUsed": [used * 2**20]})

    reload = change(2, 2, kept=False, begun=10.0, ended=13.0)
    some = seen(reload=reload, readings=(at(1, 500), at(9, 900), at(11, 1800), at(12, 1300), at(14, 900)))
    found = judge.coexisting(some)
    assert (found.supported, found.verified) == (True, True)
    assert found.evidence.endswith("; memory 900 MiB before, 1800 MiB at its peak")
    assert "memory" not in judge.coexisting(seen(reload=reload, readings=())).evidence


@pytest.mark.parametrize(
    ("reload", "supported", "verified"),
    [
        (None, False, False),
        (change(2, 2, kept=None, refused="out of memory"), False, True),
        (change(2, 2, kept=True), False, False),
        (change(2, 2, kept=False, stretch=Stretch(3.0, gap=3.0)), False, True),
    ],
    ids=["not tried", "refused", "was none", "nothing answered"],
)
def test_a_reload_that_says_nothing_or_no(reload: Change | None, supported: bool, verified: bool) -> None:  # noqa: FBT001
    found = judge.coexisting(seen(reload=reload))
    assert (found.supported, found.verified) == (supported, verified)


@pytest.mark.parametrize(
    ("name", "shown", "supported"),
    [
        ("utilization", [0.6], True),
        ("utilization", [64.0], False),
        ("utilization", [0.0064], False),
        ("memoryTotal", [8192.0], False),
        ("memoryTotal", [8.192e9], True),
        ("memoryUsed", [2.0**63], False),
        ("memoryUsed", [float("nan")], False),
        ("memoryUsed", [], False),
    ],
    ids=["a share", "percent", "a share of a percent", "megabytes", "bytes", "blank", "no number", "absent"],
)
def test_a_figure_counts_where_its_values_can_be_true(name: str, shown: list[float], supported: bool) -> None:  # noqa: FBT001
    found = judge.figure(name, "METRIC", seen(readings=(Reading(1.0, {name: shown} if shown else {}),)))
    assert (found.supported, found.verified) == (supported, True)


def test_without_an_exporter_nothing_is_said_of_its_figures() -> None:
    report = judge.report(TASK, seen(readings=()))
    assert not any(one.verified for one in report.metrics)
    assert not next(one for one in report.capabilities if one.name == "memoryKnown").verified


@pytest.mark.parametrize(
    ("figures", "supported"),
    [
        ({"memoryUsed": [1e9], "memoryTotal": [8e9]}, True),
        ({"memoryUsed": [1e9]}, False),
        ({"memoryUsed": [9e9], "memoryTotal": [8e9]}, False),
    ],
)
def test_memory_is_known_by_what_is_used_and_what_there_is(figures: dict[str, list[float]], supported: bool) -> None:  # noqa: FBT001
    assert judge.memory_known(TASK, seen(readings=(Reading(1.0, figures),))).supported == supported


def test_used_and_free_make_a_whole_too() -> None:
    task = replace(TASK, metrics=(*METRICS[:2], AcceleratorMetric("memoryFree", "FREE")))
    shown = (Reading(1.0, {"memoryUsed": [2.0**30], "memoryFree": [7 * 2.0**30]}),)
    found = judge.memory_known(task, seen(readings=shown))
    assert (found.supported, found.evidence) == (True, "8192 MiB in all, from memoryFree")


def test_as_root_nothing_is_found_out_about_other_users() -> None:
    assert not judge.non_root(seen(user=0)).verified
    assert judge.non_root(seen()).supported


answers = st.lists(st.builds(Answer, st.floats(0, 100), st.sampled_from(["", "no"])), max_size=30)


@given(answers, st.floats(0, 50), st.floats(50, 100))
def test_a_stretch_counts_what_is_in_it_and_its_gap_is_no_longer_than_itself(
    some: list[Answer], begin: float, end: float
) -> None:
    found = stretch(some, begin, end)
    assert found.answered + found.failed == sum(1 for one in some if begin <= one.at <= end)
    assert 0 <= found.gap <= end - begin
    assert found.gap * (found.answered + 1) >= (end - begin) * (1 - 1e-9), "the longest is at least the mean"
    assert together([found, found]).gap == found.gap


def test_nothing_answered_is_a_gap_of_all_the_time() -> None:
    assert stretch([Answer(2.0, "no")], 1.0, 4.0) == Stretch(3.0, 0, 1, 3.0, "no")
