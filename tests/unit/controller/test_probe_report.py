"""What a pod says of its trial, in one line."""

from __future__ import annotations

import dataclasses

import pytest

from edgedetector.api.observation import Observation
from edgedetector.controller import terms
from edgedetector.tuning.ledger import Attempt, Ledger
from edgedetector.tuning.window import Knobs


def test_why_a_trial_failed_is_what_its_pod_says_in_one_line() -> None:
    known = dataclasses.replace(Ledger("", 0.0), attempt=Attempt("p1", "one", {"people": Knobs(2)}, 12.0, 100.0))
    said = Observation(1.0, "e", probe_id="p1", probe_outcome="Failed", probe_message="out of\nmemory" + "x" * 500)
    found = terms.probe_report(known, {"one": said}, 105.0)
    assert found is not None
    assert found.message.startswith("out of memory")
    assert len(found.message) <= 400


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"probe_id": "p1", "probe_outcome": "Running"}, "Running"),
        ({"probe_id": "p1", "probe_outcome": "Failed"}, "Failed"),
        ({"probe_id": "p0", "probe_outcome": "Running"}, ""),
        ({"probe_id": "p1", "probe_outcome": "x" * 500}, "x" * 397 + "..."),
        ({}, ""),
        (None, None),
    ],
)
def test_of_a_trial_its_pod_has_the_word_and_time_where_it_says_nothing(
    said: dict[str, str] | None, outcome: str | None
) -> None:
    attempt = Attempt("p1", "one", {"people": Knobs(2)}, ttl=12.0, renewed=100.0)
    known = dataclasses.replace(Ledger("", 0.0), attempt=attempt)
    answers = {"one": Observation(1.0, "e", **said) if said is not None else None}  # type: ignore[arg-type]
    found = terms.probe_report(known, answers, 105.0)
    assert (found and found.outcome) == outcome
    later = terms.probe_report(known, answers, 112.0 + terms.SLACK)
    assert later is not None
    assert later.outcome == (outcome or "Expired")
