"""What detector and profile say of a test on the card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from tests.unit.api.crds import root, structural
from tests.unit.plan import scenarios

from edgedetector import profiles
from edgedetector.api import conditions as c
from edgedetector.api.verification import Finding, Report, Verification, verification_of
from edgedetector.observe.snapshot import Problem
from edgedetector.observe.verification import COMPLETE, FAILED, RUNNING, WAITING, Run
from edgedetector.status import verification as v

RAW = next(obj for obj in profiles.load() if obj["metadata"]["name"] == "denglin-ks20")["spec"]
SPEC = scenarios.PROFILES["denglin-ks20"].spec
AT = "2026-11-23T07:00:00Z"
LATER = "2026-11-23T08:00:00Z"
FOUND = (Finding("instanceChangeInPlace", True, True, "seen"), Finding("coexistingReload", False, True, "seen"))
REPORT = Report("now", SPEC.basis, "1.0", "2.51.0", "people", FOUND, (Finding("utilization", True, True, "0 to 1"),))
WAITS = Run("now", "denglin-ks20", "site/yard", WAITING, "0/1 nodes: 1 Insufficient denglin.com/gpu",
            Problem(c.REASON_UNSCHEDULABLE, "0/1 nodes", ("denglin.com/gpu",)))  # fmt: skip
DONE = replace(WAITS, state=COMPLETE, message="", problem=None, report=REPORT, ended=AT)
BROKEN = replace(DONE, state=FAILED, message="model people does not load: no", report=None)
RECORDED = {"verification": {"time": AT}}


def asked(run: Run | None, profile: dict[str, Any] | None = RECORDED, **more: Any) -> v.Asked:
    found = v.asked("now", more.pop("before", {}), run, profile, **more)
    assert found is not None
    errors = list(Draft7Validator(schema("edgedetectors", "verification")).iter_errors(dict(found.document)))
    assert errors == []
    return found


def schema(plural: str, field: str) -> dict[str, Any]:
    found: dict[str, Any] = structural(root(plural)["properties"]["status"]["properties"][field])
    return found


def test_who_asks_nothing_is_told_nothing() -> None:
    assert v.asked("", {"observed": "now", "state": COMPLETE}, DONE, RECORDED) is None


@pytest.mark.parametrize(
    ("run", "profile", "state", "words", "answered"),
    [
        (None, RECORDED, WAITING, "about to be made", False),
        (replace(DONE, request="former"), RECORDED, WAITING, "about to be made", False),
        (WAITS, RECORDED, WAITING, "1 Insufficient", False),
        (replace(WAITS, state=RUNNING, problem=None, message=""), RECORDED, RUNNING, None, False),
        (DONE, {}, RUNNING, "about to be recorded", False),
        (DONE, {"verification": {"time": "2026-11-23T06:59:59Z"}}, RUNNING, "about to be recorded", False),
        (DONE, RECORDED, COMPLETE, "instanceChangeInPlace yes; coexistingReload no; utilization yes", True),
        (DONE, {"verification": {"time": LATER}}, COMPLETE, "the status of its AcceleratorProfile", True),
        (BROKEN, RECORDED, FAILED, "model people does not load: no; mend that and ask again", True),
        (DONE, None, COMPLETE, "nothing counts but what the file says. Mark there", True),
    ],
    ids=[
        *("no Job", "a former Job", "waits", "runs", "not recorded", "an older one is recorded", "recorded"),
        *("a later one is recorded", "found nothing", "profiles are files"),
    ],
)
def test_how_a_request_stands(
    run: Run | None,
    profile: dict[str, Any] | None,
    state: str,
    words: str | None,
    answered: bool,  # noqa: FBT001
) -> None:
    found = asked(run, profile)
    assert (found.document["state"], found.answered, found.settled) == (state, answered, False)
    assert (words or "") in found.document.get("message", "")


def test_an_answer_stays_whatever_becomes_of_the_job_and_the_profile() -> None:
    before = asked(DONE).document
    for run, profile in ((None, {}), (DONE, {}), (WAITS, None)):
        assert asked(run, profile, before=before) == v.Asked(before, answered=True, settled=True)
    assert not v.asked("again", before, None, {}).answered  # type: ignore[union-attr]


def test_who_has_the_card_is_named_with_what_helps() -> None:
    own = asked(WAITS, own_pods=True).document["message"]
    assert "this EdgeDetector's own pod holds; set spec.suspend to true" in own
    other = asked(WAITS, holders={"denglin.com/gpu": ("site-b/dock",)}).document["message"]
    assert "EdgeDetector site-b/dock holds; suspend that one" in other


def test_what_was_found_is_recorded_once_and_a_later_failure_takes_nothing_away() -> None:
    first = v.record(Verification(), [WAITS, DONE])
    assert (first.observed, first.detector, first.time, first.measured) == ("now", "site/yard", AT, AT)
    assert (first.capabilities, first.driver, first.failure) == (FOUND, "1.0", "")
    assert v.record(first, [DONE, WAITS]) == first
    second = v.record(first, [DONE, replace(BROKEN, request="again", ended=LATER)])
    assert (second.observed, second.time, second.measured) == ("again", LATER, AT)
    assert second.capabilities == FOUND
    assert v.judge(SPEC, second, ["1.0"]).is_true
    assert "model people does not load" in v.judge(SPEC, second, ["1.0"]).message


runs = st.lists(
    st.builds(
        replace,
        st.sampled_from([DONE, BROKEN, WAITS]),
        request=st.sampled_from("ab"),
        detector=st.sampled_from(["site/yard", "site/dock"]),
        ended=st.sampled_from([AT, LATER]),
    ),
    max_size=4,
)


@given(runs, runs)
def test_recording_is_the_same_however_often_it_is_done(some: list[Run], more: list[Run]) -> None:
    once = v.record(v.record(Verification(), some), more)
    assert v.record(once, more) == once
    assert once.time == max((run.ended for run in (*some, *more) if run.over), default="")
    document = v.document(once)
    assert verification_of({"verification": document}) == once
    assert list(Draft7Validator(schema("acceleratorprofiles", "verification")).iter_errors(document)) == []


@pytest.mark.parametrize(
    ("told", "before", "new", "drivers"),
    [
        ({"1.0"}, ["2.0"], False, ("1.0",)),
        ({"1.0", "2.0"}, [], False, ("1.0", "2.0")),
        (set(), ["2.0"], False, ("2.0",)),
        (set(), ["2.0"], True, ("1.0",)),
        ({"2.0"}, [], True, ("2.0",)),
        ({""}, ["2.0"], False, ("2.0",)),
    ],
    ids=["told", "two", "nobody tells", "nobody but the test", "told and tested", "not known"],
)
def test_which_drivers_are_in_use(told: set[str], before: list[str], new: bool, drivers: tuple[str, ...]) -> None:  # noqa: FBT001
    tested = v.record(Verification(), [DONE])
    assert v.drivers(told, before, Verification() if new else tested, tested) == drivers


TESTED = v.record(Verification(), [DONE])


@pytest.mark.parametrize(
    ("verification", "drivers", "status", "reason", "words"),
    [
        (Verification(), [], "False", v.REASON_NEVER_VERIFIED, "nobody has seen instanceChangeInPlace, coexistingRe"),
        (v.record(Verification(), [BROKEN]), [], "False", v.REASON_VERIFICATION_FAILED, "model people does not load"),
        (TESTED, ["1.0"], "True", v.REASON_VERIFIED, "with driver 1.0 and Triton 2.51.0: instanceChangeInPlace yes"),
        (TESTED, ["2.0"], "False", v.REASON_DRIVER_CHANGED, "driver 2.0 is in use, and the test was made with dr"),
        (replace(TESTED, basis="x"), [], "False", v.REASON_PROFILE_CHANGED, "another Triton or exporter"),
        (replace(TESTED, driver=""), [], "True", v.REASON_VERIFIED, "so that a changed one goes unnoticed"),
        (replace(TESTED, driver=""), ["1.0"], "False", v.REASON_DRIVER_CHANGED, "a driver of unknown version"),
    ],
)
def test_whether_what_was_seen_counts(
    verification: Verification, drivers: list[str], status: str, reason: str, words: str
) -> None:
    found = v.judge(SPEC, verification, drivers)
    assert (found.type, found.status, found.reason) == (v.VERIFIED, status, reason)
    assert words in found.message
    if status == c.FALSE:
        assert "verify-profile" in found.message or "ask again with a new text" in found.message, "what helps"


def test_a_profile_that_leaves_nothing_open_needs_no_test() -> None:
    found = v.judge(scenarios.PROFILES["cpu"].spec, Verification(), [])
    assert (found.status, found.reason) == (c.TRUE, c.REASON_AS_EXPECTED)


def test_of_a_profile_all_is_kept_that_no_test_has_changed() -> None:
    obj = {"metadata": {"name": "denglin-ks20"}, "spec": RAW, "status": {}}
    first = v.known(obj, [DONE], ["1.0"])
    assert first.fields["drivers"] == ["1.0"]
    assert first.condition.is_true
    obj["status"] = {**first.fields, "exporters": {"desired": 1, "ready": 1}}
    assert v.known(obj, [], []) == first
    assert v.kept(obj["status"]) == first.fields
    changed = v.known(obj, [], ["2.0"])
    assert changed.condition.reason == v.REASON_DRIVER_CHANGED
    assert changed.fields["verification"] == first.fields["verification"], "another driver may be the first one again"
