"""Descriptions of devices: what is accepted, what is refused and how it says so."""

import pytest
from emulator import seeds
from emulator.device import CALIBRATION, choose
from emulator.profile import InvalidProfileError, from_dict, load, override, parse_assignments, to_dict
from hypothesis import given, settings
from hypothesis import strategies as st

KS20 = load(CALIBRATION)["ks20"]
COMPUTE = {"fp32": {"base": 1.0, "per_image": 2.0}}


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_every_seed_gives_a_device_that_survives_being_written_down(seed):
    device = seeds.device(seed)

    assert from_dict(to_dict(device)) == device


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "device: "),
        ({"compute": {}}, "device.compute"),
        ({"compute": {"fp64": {"base": 1.0, "per_image": 1.0}}}, "device.compute"),
        ({"compute": {"fp32": {"base": 1.0}}}, "device.compute.fp32"),
        ({"compute": COMPUTE, "link": {"lanes": 0}}, "device.link.lanes"),
        ({"compute": COMPUTE, "link": {"generation": 9}}, "device.link.generation"),
        ({"compute": COMPUTE, "link": {"lanes": "four"}}, "device.link.lanes"),
        ({"compute": COMPUTE, "link": {"lanes": True}}, "device.link.lanes"),
        ({"compute": COMPUTE, "link": 4}, "device.link"),
        ({"compute": COMPUTE, "shape": {"profiles": [4, 1]}}, "device.shape.profiles"),
        ({"compute": COMPUTE, "memory": {"total": -1.0}}, "device.memory.total"),
        ({"compute": COMPUTE, "turnaround": float("nan")}, "device.turnaround"),
        ({"compute": COMPUTE, "colour": "green"}, "device.colour"),
    ],
)
def test_a_wrong_description_is_refused_with_the_field_s_name(document, message):
    with pytest.raises(InvalidProfileError, match=message):
        from_dict({"name": "wrong", **document})


def test_overrides_change_what_they_name_and_nothing_else():
    changed = override(KS20, parse_assignments("link.lanes=1, scheduler.patched=true,compute.fp32.base=2.5"))

    assert (changed.link.lanes, changed.scheduler.patched, changed.compute["fp32"].base) == (1, True, 2.5)
    assert override(changed, {"link.lanes": 4, "scheduler.patched": False, "compute.fp32.base": 1.3}) == KS20


@pytest.mark.parametrize("name", ["link.colour", "colour", "link", "link.lanes.more", "compute.fp64.base"])
def test_an_override_of_what_is_not_there_is_refused(name):
    with pytest.raises(InvalidProfileError, match="no such field"):
        override(KS20, {name: 1})


@pytest.mark.parametrize("value", ["", "wide", "1 2", "-1"])
def test_an_override_with_a_senseless_value_is_refused(value):
    with pytest.raises(InvalidProfileError, match=r"link\.lanes"):
        override(KS20, {"link.lanes": value})


def test_devices_are_chosen_by_name_or_seed():
    assert choose("ks20") == KS20
    assert choose("seed:3") == seeds.device(3)
    assert choose("ks20", "link.lanes=1").link.lanes == 1
    with pytest.raises(InvalidProfileError, match="no device 'h100': one of ks20"):
        choose("h100")
