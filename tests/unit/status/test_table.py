"""docs/conditions.md lists every reason that there is, once, with the remedy that its message ends in."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedetector.api import conditions as c
from edgedetector.status.remedies import REMEDIES

TEXT = Path("docs/conditions.md").read_text()
ACT, REST = TEXT.split("## Somebody has to act")[1].split("## Nobody has to act")
REASONS = {value for name, value in vars(c).items() if name.startswith("REASON_")}
# These name field and remedy themselves: the errors of `api.errors`.
OWN_WORDS = {c.REASON_INVALID_SPEC, c.REASON_PROFILE_NOT_FOUND, c.REASON_INVALID_PROFILE, c.REASON_NAME_TAKEN}


def rows(text: str) -> list[list[str]]:
    """The cells of each row below the head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named(cell: str) -> set[str]:
    return set(cell.replace("`", " ").replace(",", " ").split())


TO_ACT = {row[2].strip("`"): row for row in rows(ACT)}
RESTING = {row[1].strip("`"): row for row in rows(REST)}


def test_every_reason_is_in_the_table_and_every_entry_is_a_reason() -> None:
    assert TO_ACT.keys() | RESTING.keys() == REASONS
    assert len(rows(ACT)) == len(TO_ACT), "a reason twice"
    assert len(rows(REST)) == len(RESTING), "a reason twice"


def test_whoever_has_to_act_is_told_how() -> None:
    assert REMEDIES.keys() | OWN_WORDS == TO_ACT.keys()
    assert TO_ACT.keys() & RESTING.keys() == {c.REASON_UNSCHEDULABLE}


@pytest.mark.parametrize("reason", sorted(REMEDIES))
def test_the_table_has_the_remedy_of_the_message(reason: str) -> None:
    assert TO_ACT[reason][4] == REMEDIES[reason].replace("$profile", "PROFILE")


@pytest.mark.parametrize(
    "row", [*TO_ACT.values(), *RESTING.values()], ids=[*TO_ACT, *(f"{r} at rest" for r in RESTING)]
)
def test_rows_are_complete_and_name_conditions_that_exist(row: list[str]) -> None:
    assert all(row)
    column = row[1] if len(row) > 3 else row[0]
    assert named(column) & set(c.ALL_TYPES) or column == "all"


def test_every_condition_is_explained() -> None:
    head = TEXT.split("## Somebody has to act")[0]
    assert set().union(*(named(row[0]) for row in rows(head))) == set(c.ALL_TYPES)
