"""What outputs tell of objects, from what the tracker says of them."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.outputs.made import crossing, numbers

from edgedetector.detector.outputs.reports import Report, Scene, part, serve, tell

Step = tuple[str, Literal["enter", "leave"], int, str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["gate", "yard"]),
        st.sampled_from(["enter", "leave"]),
        st.integers(1, 3),
        st.sampled_from(["", "door", "path"]),
    ),
    max_size=60,
)


def told(steps: list[Step]) -> tuple[Scene, list[Report]]:
    scene, reports, new_id = Scene(), list[Report](), numbers()
    for at, (camera, kind, number, zone) in enumerate(steps):
        event = crossing(kind, number, zone=zone)
        scene, one = tell(scene, camera, "people", event, at=float(at), new_id=new_id)
        reports += [one] if one else []
    return scene, reports


@given(STEPS)
def test_every_object_is_new_once_first_and_ends_once_last_whatever_the_tracker_says(steps: list[Step]) -> None:
    _, reports = told(steps)
    assert len({one.id for one in reports}) == len(reports)
    for identity in {one.after.id for one in reports}:
        kinds = [one.kind for one in reports if one.after.id == identity]
        assert kinds[0] == "new"
        assert set(kinds[1:-1]) <= {"update"}
        assert kinds[-1] == "end" or "end" not in kinds


@given(STEPS)
def test_counts_are_those_that_are_new_and_have_not_ended(steps: list[Step]) -> None:
    scene, reports = told(steps)
    balance = Counter[str]()
    for one in reports:
        balance[one.after.camera] += {"new": 1, "update": 0, "end": -1}[one.kind]
    assert {camera: labels["person"] for camera, labels in scene.counts().items()} == dict(balance)


@given(STEPS)
def test_each_report_goes_on_from_the_one_before(steps: list[Step]) -> None:
    last = dict[str, Report]()
    for one in told(steps)[1]:
        if one.after.id in last:
            assert one.before == last[one.after.id].after
        last[one.after.id] = one


def test_zones_are_told_as_they_are_entered_and_left() -> None:
    _, reports = told([("gate", "enter", 1, ""), ("gate", "enter", 1, "door"), ("gate", "leave", 1, "door")])
    assert [(one.kind, one.after.zones, one.after.entered) for one in reports] == [
        ("new", (), ()),
        ("update", ("door",), ("door",)),
        ("update", (), ("door",)),
    ]


@given(STEPS)
def test_a_camera_that_goes_ends_its_objects_and_nobody_elses(steps: list[Step]) -> None:
    before, _ = told(steps)
    after, ends = part(serve(before, {"gate": True, "yard": True}), "gate", 99.0, numbers("end"), removed=True)
    assert {one.after.id for one in ends} == {one.id for one in before.things.values() if one.camera == "gate"}
    assert all(one.kind == "end" and one.after.end == 99.0 for one in ends)
    assert set(after.things.values()) == {one for one in before.things.values() if one.camera == "yard"}
    assert after.online == {"yard": True}
    assert after.removed == {"gate"}
