"""The enumeration of cases, which decides what a green run means."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.faults import plans
from tests.faults.plans import Case, Fault, Once, Storm, Write

STEPS = ("create", "edit")
WRITES = st.lists(
    st.builds(Write, st.sampled_from(STEPS), st.sampled_from("abcdefgh"), st.integers(1, 3)), min_size=1, unique=True
)


def test_random_parts_of_names_do_not_make_another_write() -> None:
    pods = "/api/v1/namespaces/site/pods/"
    assert plans.what("PATCH", f"{pods}yard-media-6cbd64f97c-x2b5d") == f"PATCH {pods}yard-media-*"
    assert plans.what("PATCH", f"{pods}exporter-x2b5d/status") == f"PATCH {pods}exporter-*/status"
    deployment = "/apis/apps/v1/namespaces/site/deployments/yard-media"
    assert plans.what("PATCH", deployment) == f"PATCH {deployment}"


def test_the_same_write_again_in_a_step_has_the_next_number() -> None:
    name = plans.Counting()
    assert [name("create", "PATCH", "/a").nth for _ in range(3)] == [1, 2, 3]
    assert name("edit", "PATCH", "/a").nth == 1


@given(WRITES)
def test_every_fault_comes_at_every_write_once(writes: list[Write]) -> None:
    found = plans.cases(writes)
    assert len(found) == len(set(found)) == len(writes) * len(Fault)


@given(WRITES, st.integers(1, len(Fault)))
def test_a_sample_tries_every_write(writes: list[Write], share: int) -> None:
    found = plans.sample(plans.cases(writes), share)
    assert {case.write for case in found} == set(writes)
    if len(writes) >= share:
        assert {case.fault for case in found} == set(Fault)


@given(WRITES)
def test_rounds_hold_every_case_once_and_at_most_one_a_step(writes: list[Write]) -> None:
    wanted = plans.cases(writes)
    found = plans.rounds(wanted, STEPS)
    assert sorted(case for of_round in found for case in of_round) == sorted(wanted)
    for of_round in found:
        assert len({case.write.step for case in of_round}) == len(of_round)


def test_a_fault_strikes_once_and_what_did_not_come_is_known() -> None:
    here, there = Write("create", "a"), Write("edit", "b")
    plan = Once([Case(here, Fault.LOST), Case(there, Fault.GONE)])
    assert [plan(here), plan(here)] == [Fault.LOST, None]
    assert plan.missed == (there,)


def test_a_storm_lets_a_write_through_when_it_comes_again() -> None:
    plan = Storm(Fault.CONFLICT)
    assert [plan(Write("create", "a")), plan(Write("create", "a", 2)), plan(Write("edit", "a"))] == [
        Fault.CONFLICT,
        None,
        Fault.CONFLICT,
    ]


def test_what_the_proxy_answers_itself_never_commits_and_never_kills() -> None:
    answered = {fault for fault in Fault if fault.status}
    assert {fault.status for fault in answered} == {409, 410, 429, 500}
    assert not any(fault.commits or fault.kills for fault in answered)
