"""What the API server is to refuse (tests/e2e/data/invalid): held against the schema and the operator's own parsing."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import pytest
from tests.unit.api.crds import root, structural

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.profile import AcceleratorProfile
from manifests import CANARY, Case, cases

CASES = cases()
ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
PLURALS = {"EdgeDetector": "edgedetectors", "AcceleratorProfile": "acceleratorprofiles"}
# How the API server begins what its schema refuses, and what only its rules refuse.
OF_THE_SCHEMA = (
    *("should match", "Unsupported value", "Too long", "Too many", "Required value"),
    *("must have at most", "should have at least", "greater than or equal to", "less than or equal to"),
)


@cache
def validator(kind: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(structural(root(PLURALS[kind])))


def parse(obj: dict[str, Any]) -> None:
    kinds: dict[str, Any] = {"EdgeDetector": EdgeDetector, "AcceleratorProfile": AcceleratorProfile}
    kinds[obj["kind"]].parse(obj)


@ALL
def test_a_twin_fits_the_schema_and_is_understood(case: Case) -> None:
    assert [error.message for error in validator(case.twin["kind"]).iter_errors(case.twin)] == []
    parse(case.twin)


@ALL
def test_what_the_schema_is_to_refuse_does_not_fit_it(case: Case) -> None:
    fits = validator(case.refused["kind"]).is_valid(case.refused)
    if any(case.because.startswith(words) for words in OF_THE_SCHEMA):
        assert not fits


@ALL
def test_what_gets_past_an_older_schema_is_read_or_refused_and_not_repeated(case: Case) -> None:
    said = ""
    try:
        parse(case.refused)
    except InvalidSpecError as error:
        said = str(error)
    assert CANARY not in said


def test_every_address_that_admission_refuses_the_operator_refuses_too() -> None:
    refused = [case for case in CASES if case.at.lower().endswith("url") and "must" in case.because]
    assert len(refused) >= 60
    for case in refused:
        if "Too long" not in case.because and "of type" not in case.because:
            with pytest.raises(InvalidSpecError, match=r"url|Url"):
                parse(case.refused)


def test_no_two_cases_are_the_same() -> None:
    assert len({case.identity for case in CASES}) == len(CASES)
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        unnamed = {**case.refused, "metadata": {}} == {**case.twin, "metadata": {}}
        assert unnamed == (case.at == "metadata.name"), case.name
