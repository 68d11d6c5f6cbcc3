"""What may be known of a device's memory by who has only seen what configurations take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge import servers, sweep
from judge.device import MIB, Cost, Hardware
from judge.memory import Known
from judge.server import Server
from judge.traffic import Traffic

from edgedetector.tuning.situation import Engine, Limits
from edgedetector.tuning.window import Knobs

SERVER = Server(
    name="plain",
    seed=1,
    family="linear",
    hardware=Hardware({"m": Cost(0.004, 0.002, engine_bytes=300 * MIB, image_bytes=10 * MIB)}, reserved=300 * MIB),
    engines={"m": Engine(8)},
    traffic={"m": Traffic(10, 5.0)},
    start={"m": Knobs(1, 4)},
    limits=Limits(latency=0.1),
)
"""Its start takes 640 MiB, of which the instance has 340."""

KNOBS = st.builds(Knobs, st.integers(1, 4), st.integers(1, 8))


def test_of_one_configuration_all_that_is_used_may_be_its_instances() -> None:
    known = Known(SERVER, SERVER.start)
    assert known.most([("m", Knobs(2, 4))]) == pytest.approx(1280 * MIB)
    assert known.most([("m", Knobs(1, 8))]) == pytest.approx(1280 * MIB)
    assert known.most([("m", Knobs(1, 1))]) == pytest.approx(640 * MIB)
    assert known.most_to_change(SERVER.start, {"m": Knobs(1, 1)}) == pytest.approx(1280 * MIB)


def test_another_number_of_instances_tells_what_one_takes_and_another_batch_what_an_image_does() -> None:
    known = Known(SERVER, SERVER.start)
    known.see([{"m": Knobs(1, 2)}])
    assert known.most([("m", Knobs(1, 8))]) == pytest.approx(680 * MIB)
    assert known.most([("m", Knobs(2, 4))]) == pytest.approx(1280 * MIB)
    known.see([{"m": Knobs(2, 4)}])
    assert known.most([("m", Knobs(3, 8))]) == pytest.approx(1440 * MIB)


@given(served=st.lists(KNOBS, max_size=4), asked=KNOBS)
def test_what_is_known_at_most_is_never_less_than_what_it_takes(served: list[Knobs], asked: Knobs) -> None:
    known = Known(SERVER, SERVER.start)
    known.see([{"m": knobs} for knobs in served])
    for one in (asked, *served):
        least = SERVER.memory({"m": one})
        assert known.most([("m", one)]) >= least * (1 - 1e-6)
    for one in served:
        assert known.most([("m", one)]) == pytest.approx(SERVER.memory({"m": one}), rel=1e-6)


def test_the_sweep_makes_no_change_that_it_cannot_know_to_fit() -> None:
    """Two instances fit beside the start's in truth (1,320 MiB); of the start alone nobody can know that."""
    walled = replace(SERVER, hardware=replace(SERVER.hardware, memory=1250 * MIB), in_place=True)
    assert walled.memory({"m": Knobs(2, 4)}) < walled.hardware.memory
    assert sweep.allowed(walled) == [walled.start]
    roomy = replace(walled, hardware=replace(walled.hardware, memory=1300 * MIB))
    assert {one["m"].instances for one in sweep.allowed(roomy)} == {1, 2, 3}
    verified = replace(walled, in_place=False, coexisting=True)
    assert {(one["m"].instances, one["m"].max_batch_size <= 4) for one in sweep.allowed(verified)} == {(1, True)}


@pytest.mark.parametrize("seed", range(4, 200, 10))
def test_nothing_is_said_to_be_verified_that_is_not_so(seed: int) -> None:
    made = servers.server(seed)
    if made.coexisting:
        again = {name: replace(knobs, max_queue_delay_microseconds=1) for name, knobs in made.start.items()}
        assert made.memory_to_change(made.start, again, in_place=False) <= made.hardware.memory
