"""No crash and no error of the API server at any write of the operator leaves a mark.

`make test` tries every write with one of the faults; `make faults` every fault at every write.
"""

from __future__ import annotations

import pytest
from tests.faults import campaign, plans, scenario
from tests.faults.conftest import Stage

# Of the eight faults one a write, another one with each.
SHARE = len(plans.Fault)
# Those of a few seconds.
STORMS = (plans.Fault.LOST, plans.Fault.BROKEN)

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
    assert {case.write for case in report.judged} >= {write for write in report.writes if _is_sure(write)}


def test_no_fault_ends_the_operator(report: campaign.Report) -> None:
    assert not report.deaths


def test_an_operator_whose_every_write_meets_a_fault_still_arrives(report: campaign.Report) -> None:
    assert set(report.storms) == set(map(str, STORMS))
    assert min(report.storms.values()) > len(report.writes) // 2


@pytest.mark.faults
def test_every_fault_at_every_write(stage: Stage) -> None:
    found = stage.run(campaign.campaign(stage.arenas, stage.want, stage.writes))
    print(f"\n{campaign.summary(found)}")
    assert not found.divergences
    assert not found.deaths
    assert not [case for case in found.missed if _is_sure(case.write)]
    assert len(found.judged) >= 200


def _is_sure(write: plans.Write) -> bool:
    """Tell whether every run makes this write: which states are told on the way is a matter of who is quicker."""
    return write.nth == 1 and not write.what.endswith(("/status", "/events"))
