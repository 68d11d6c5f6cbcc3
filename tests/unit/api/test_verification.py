"""For how long a test of a profile counts, and what a profile says while it does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector import profiles
from edgedetector.api import verification as v
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import from_json

KS20 = next(obj for obj in profiles.load() if obj["metadata"]["name"] == "denglin-ks20")
BASIS = AcceleratorProfile.parse(KS20).spec.basis

words = st.text(max_size=5000)
findings = st.builds(v.Finding, st.from_regex(r"[a-zA-Z]{1,21}", fullmatch=True), st.booleans(), st.booleans(), words)
lists = st.lists(findings, max_size=16).map(tuple)


def found(name: str, *, supported: bool = True, verified: bool = True) -> dict[str, Any]:
    return {"name": name, "supported": supported, "verified": verified, "evidence": "seen"}


def profile(drivers: list[str] | None = None, **changes: Any) -> AcceleratorProfile:
    """The KS20's profile with a status; in the specification nothing is verified."""
    verification = {
        "observed": "now",
        "detector": "site/yard",
        "time": "2026-11-23T07:00:00Z",
        "measured": "2026-11-23T07:00:00Z",
        "basis": BASIS,
        "driver": "1.0",
        "capabilities": [
            found("instanceChangeInPlace"),
            found("coexistingReload", supported=False),
            found("memoryKnown"),
            found("nonRoot", verified=False),
        ],
        "metrics": [found("utilization"), found("memoryUsed", supported=False)],
        **changes,
    }
    return AcceleratorProfile.parse({**KS20, "status": {"verification": verification, "drivers": drivers or []}})


@given(st.builds(v.Report, words, st.just("0" * 16), words, words, words, lists, lists, words))
def test_a_report_fits_into_last_words_with_all_of_its_findings(report: v.Report) -> None:
    text = v.text(report)
    assert len(text.encode()) <= v.MAX_REPORT
    read = from_json(v.Report, text)
    for kind in ("capabilities", "metrics"):
        told = [(one.name, one.supported, one.verified) for one in getattr(report, kind)]
        assert [(one.name, one.supported, one.verified) for one in getattr(read, kind)] == told


def test_evidence_that_fits_is_not_cut() -> None:
    report = v.Report("now", "basis", capabilities=(v.Finding("nonRoot", True, True, "e" * 200),))
    assert from_json(v.Report, v.text(report)) == report


@pytest.mark.parametrize(
    ("changes", "drivers", "why"),
    [
        ({}, [], ""),
        ({}, ["1.0"], ""),
        ({}, ["1.0", "2.0"], v.DRIVER_CHANGED),
        ({"driver": ""}, [], ""),
        ({"driver": ""}, ["1.0"], v.DRIVER_CHANGED),
        ({"basis": "other"}, ["1.0"], v.PROFILE_CHANGED),
        ({"measured": ""}, ["1.0"], v.NEVER),
    ],
)
def test_what_was_seen_counts_for_the_driver_and_the_server_that_it_was_seen_with(
    changes: dict[str, str], drivers: list[str], why: str
) -> None:
    assert profile(drivers, **changes).spec.can("instanceChangeInPlace") == (not why)
    known = v.Verification(**{"measured": "then", "basis": BASIS, "driver": "1.0", **changes})
    assert v.lapsed(known, BASIS, drivers) == why


def test_while_it_counts_it_stands_in_the_place_of_what_is_written() -> None:
    spec = profile(["1.0"]).spec
    assert not spec.can("coexistingReload"), "it was tried, and did not fit"
    assert spec.can("memoryKnown"), "the specification says that it is not"
    assert not spec.can("nonRoot"), "that could not be tested"
    assert not spec.can("hardwareDecode"), "no test finds it out"
    assert spec.exporter is not None
    assert {one.name for one in spec.exporter.metrics if one.verified} == {"utilization"}


def test_somebodys_word_counts_where_nothing_was_measured_and_never_against_what_was() -> None:
    cpu = next(obj for obj in profiles.load() if obj["metadata"]["name"] == "cpu")
    spec = AcceleratorProfile.parse(cpu).spec
    verification = {"measured": "2026-11-23T07:00:00Z", "basis": spec.basis}
    measured = verification | {"capabilities": [found("instanceChangeInPlace", supported=False)]}
    assert spec.can("instanceChangeInPlace")
    assert AcceleratorProfile.parse(cpu | {"status": {"verification": verification}}).spec.can("instanceChangeInPlace")
    assert not AcceleratorProfile.parse(cpu | {"status": {"verification": measured}}).spec.can("instanceChangeInPlace")


@pytest.mark.parametrize(
    "status", [{}, {"verification": None}, {"verification": {"capabilities": "x"}}, {"drivers": 1}]
)
def test_a_status_that_says_nothing_readable_says_nothing(status: dict[str, Any]) -> None:
    assert AcceleratorProfile.parse({**KS20, "status": status}).spec == AcceleratorProfile.parse(KS20).spec


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("triton", "image"), "denglin/tritonserver:24.10-py3"),
        (("triton", "arguments"), ["--backend-config=dlnne,x=1"]),
        (("exporter", "image"), "denglin/dcgm-exporter:other"),
    ],
)
def test_another_server_or_exporter_is_another_basis_and_a_new_label_is_none(path: tuple[str, str], value: Any) -> None:
    part, name = path
    changed = {**KS20, "spec": {**KS20["spec"], part: {**KS20["spec"][part], name: value}}}
    assert AcceleratorProfile.parse(changed).spec.basis != BASIS
    renamed = {**KS20, "spec": {**KS20["spec"], "nodeSelector": {"a": "b"}, "description": "x"}}
    assert AcceleratorProfile.parse(renamed).spec.basis == BASIS
