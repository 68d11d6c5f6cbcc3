"""No batch reaches Triton that it would refuse, whenever the largest one is changed; and no change waits for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.servings import World

from edgedetector.api.dataplane import ModelServing, ServingConfig
from edgedetector.detector.batching import capacity
from edgedetector.detector.handover import HEED, LONGEST, Handover

ASKED = 1.0
"""Seconds between two times that clients ask what they may send."""


def model(largest: int) -> ModelServing:
    text = f'name: "people" backend: "python" max_batch_size: {largest}\n'
    return ModelServing("people", 1, (), largest, 0, text)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def asked(handover: Handover, largest: int) -> int:
    return capacity(handover.asked({"people": model(largest)})["people"]).batch


def test_a_larger_batch_is_sent_once_it_is_in_force() -> None:
    handover = Handover(Clock())
    handover.serves("people", 4)
    assert asked(handover, 8) == 4
    assert handover.may_load(model(8))
    handover.serves("people", 8)
    assert asked(handover, 8) == 8


def test_a_smaller_batch_is_loaded_once_clients_keep_to_it() -> None:
    clock = Clock()
    handover = Handover(clock)
    handover.serves("people", 8)
    assert asked(handover, 8) == 8
    assert not handover.may_load(model(4))
    assert handover.waiting
    assert asked(handover, 4) == 4
    assert not handover.may_load(model(4)), "what was begun before is still on its way"
    clock.now += HEED
    assert handover.may_load(model(4))
    assert not handover.waiting


def test_a_load_does_not_wait_for_clients_that_never_ask() -> None:
    clock = Clock()
    handover = Handover(clock)
    handover.serves("people", 8)
    assert handover.may_load(model(4)), "there are none"
    asked(handover, 8)
    assert not handover.may_load(model(4))
    clock.now += LONGEST
    assert handover.may_load(model(4))


def test_a_change_that_is_called_off_leaves_nothing_waiting() -> None:
    handover = Handover(Clock())
    handover.serves("people", 8)
    asked(handover, 8)
    handover.may_load(model(4))
    assert handover.may_load(model(8))
    assert not handover.waiting


def config(largest: int) -> ServingConfig:
    return ServingConfig(f"b{largest}", (model(largest),))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@given(sizes=st.lists(st.sampled_from([1, 2, 4, 8, 16]), min_size=2, max_size=6))
def test_through_any_row_of_changes_no_batch_is_above_what_triton_takes(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Clients ask once a second and send for as long as they were told; the applier looks four times a second."""
    world = World(tmp_path_factory.mktemp("pod"))
    sent = 0
    for size in sizes:
        world.accept(config(size))
        for quarter in range(40):
            world.now += 0.25
            world.serving.round()
            if quarter % 4 == 1 and "people" in world.serving.asked:
                sent = capacity(world.serving.asked["people"]).batch
            in_force = int(world.served().rpartition(":")[2] or 16)
            assert sent <= in_force
        assert world.served() == config(size).models[0].config
        assert sent == size


def test_a_smaller_batch_that_is_called_off_and_wanted_again_is_waited_for_again(world: World) -> None:
    world.accept(config(16))
    world.rounds(2)
    assert world.serving.asked["people"].max_batch_size == 16
    for _ in range(2):
        world.accept(config(4))
        world.now += 0.25
        world.serving.round()
        assert world.served() == config(16).models[0].config, "clients still send 16"
        assert world.serving._handover.waiting
        world.accept(config(16))
        world.now += 0.25
        world.serving.round()
        assert not world.serving._handover.waiting, "else Triton is asked four times a second for ever"
        world.now += LONGEST
        world.serving.round()


def test_the_end_of_a_trial_waits_no_longer_than_clients_may_take(world: World) -> None:
    world.accept(config(16))
    world.rounds(2)
    assert world.serving.asked["people"].max_batch_size == 16  # and then nobody asks any more
    world.accept(config(4))
    begun = world.now
    while world.served() != config(4).models[0].config:
        world.now += 0.25
        world.serving.round()
        assert world.now - begun <= LONGEST + 1.0
    assert replace(config(4).models[0]) == world.serving.wanted["people"]
