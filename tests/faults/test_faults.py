"""No crash and no error of the API server at any write of the operator leaves a mark.

`make test` tries every write with one of the faults; with FAULTS=all every write meets every fault.
"""

from __future__ import annotations

import os

import pytest
from tests.faults import campaign, plans, scenario
from tests.faults.conftest import Stage

ALL = os.environ.get("FAULTS") == "all"
# Of the eight faults one a write, another one with each.
SHARE = 1 if ALL else len(plans.Fault)
# Those of a few seconds.
STORMS = tuple(plans.Fault) if ALL else (plans.Fault.LOST, plans.Fault.BROKEN)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def report(stage: Stage) -> campaign.Report:
    """What came of the campaign; a module's fixture, since it takes minutes."""
    found = stage.run(campaign.campaign(stage.arenas, stage.want, stage.writes, SHARE, STORMS))
    print(f"\n{campaign.summary(found)}")
    return found


def test_every_step_of_the_scenario_writes(stage: Stage) -> None:
    assert {write.step for write in stage.writes} == set(scenario.STEPS)


def test_the_end_is_that_of_an_undisturbed_run(report: campaign.Report) -> None:
    assert not report.divergences


def test_every_write_is_struck(report: campaign.Report) -> None:
    assert {case.write for case in report.judged} == set(report.writes)
    assert len(report.judged) >= len(report.writes) * len(plans.Fault) // SHARE - len(report.missed)


def test_no_fault_ends_the_operator(report: campaign.Report) -> None:
    assert not report.deaths


def test_an_operator_whose_every_write_meets_a_fault_still_arrives(report: campaign.Report) -> None:
    assert set(report.storms) == set(map(str, STORMS))
    assert min(report.storms.values()) > len(report.writes) // 2
