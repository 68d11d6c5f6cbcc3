"""The applier's shell on virtual time, against a Triton in memory that restarts, refuses and fails.

The real Triton is asked in bench/control_path and in the end-to-end tests; here the order of events is what counts.
"""

from __future__ import annotations

import pytest
from tests.unit.detector.servings import BAD, World, serving, serving_config, text, world

from edgedetector.api.dataplane import ModelServing, Probe, ServingConfig
from edgedetector.detector.applying import RETRY
from edgedetector.detector.documents import Document

__all__ = ["world"]  # the fixture


def test_what_is_accepted_is_loaded_once_and_then_left_alone(world: World) -> None:
    world.accept(serving_config("a", instances=2))
    world.rounds(20)
    (state,) = world.serving.states
    assert (state.state, state.serving_id, state.instances, world.triton.loads) == ("Ready", "a", 2, 1)


def test_a_triton_that_comes_late_is_waited_for(world: World) -> None:
    world.triton.live = False
    world.accept(serving_config("a"))
    world.rounds()
    assert (world.serving.states[0].state, world.triton.loads) == ("Loading", 0)
    world.triton.live = True
    world.rounds()
    assert world.serving.states[0].state == "Ready"


def test_a_triton_that_restarted_alone_is_loaded_again(world: World) -> None:
    config = serving_config("a", instances=3)
    world.accept(config)
    world.rounds()
    world.triton.restart()
    world.rounds()
    assert world.served() == text(config)


def test_a_question_that_times_out_is_no_reason_to_load_and_soon_one_to_doubt(world: World) -> None:
    world.accept(serving_config("a"))
    world.rounds()
    world.triton.slow = True
    world.rounds(4)
    assert (world.serving.states[0].state, world.triton.loads) == ("Ready", 1)
    world.rounds(4)
    assert (world.serving.states[0].state, world.triton.loads) == ("Loading", 1)
    world.triton.slow = False
    world.rounds(1)
    assert (world.serving.states[0].state, world.triton.loads) == ("Ready", 1)


def test_a_configuration_that_does_not_load_leaves_the_old_one_on_disk_and_in_force(world: World) -> None:
    good, bad = serving_config("good"), serving_config("bad", backend=BAD)
    world.accept(good)
    world.rounds()
    world.accept(bad)
    world.rounds(10)
    (state,) = world.serving.states
    assert (state.state, state.serving_id) == ("Failed", "good")
    assert state.message == "load people: unable to find backend library; still serving good"
    assert world.on_disk() == world.served() == text(good)
    assert world.triton.loads == 2, "it is not tried at every round"
    world.triton.restart()
    world.rounds()
    assert world.served() == text(good)


def test_what_failed_is_tried_again_later_and_at_once_when_it_changes(world: World) -> None:
    world.accept(serving_config("bad", backend=BAD))
    world.rounds(int(RETRY) + 2)
    assert world.triton.loads == 2
    world.accept(serving_config("good"))
    world.rounds(1)
    assert world.serving.states[0].state == "Ready"


def test_what_is_tried_again_has_failed_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its detector would be on its way for a moment, twice a minute and for ever."""
    seen, load = [], world.triton.load

    def watched(model: str) -> None:
        seen.extend(state.state for state in world.serving.states)
        load(model)

    monkeypatch.setattr(world.triton, "load", watched)
    world.accept(serving_config("bad", backend=BAD))
    world.rounds(int(RETRY) + 2)
    assert seen == ["Loading", "Failed"]


def test_a_file_that_is_no_configuration_never_reaches_triton(world: World) -> None:
    world.accept(ServingConfig("broken", (ModelServing("people", 1, (), 8, 0, "max_batch_size: many"),)))
    world.rounds()
    assert world.serving.states[0].state == "Failed"
    assert "1:17" in world.serving.states[0].message
    assert world.triton.loads == 0


def test_a_model_that_is_no_longer_wanted_is_unloaded(world: World) -> None:
    world.accept(serving_config("two", "people", "cars"))
    world.rounds()
    world.accept(serving_config("one", "cars"))
    world.rounds()
    assert set(world.triton.serves) == {"cars"}
    assert [state.name for state in world.serving.states] == ["cars"]


def test_one_broken_model_does_not_hold_the_other(world: World) -> None:
    config = ServingConfig("mixed", (serving("bad", 1, BAD), serving("people", 2, "python")))
    world.accept(config)
    world.rounds()
    assert [(state.name, state.state) for state in world.serving.states] == [("bad", "Failed"), ("people", "Ready")]


def test_a_probe_that_does_not_load_is_failed_and_the_accepted_config_serves(world: World) -> None:
    good = serving_config("good")
    world.accept(good)
    world.rounds()
    world.probe(Probe("p", "me", 60.0, 0, serving_config("bad", backend=BAD)))
    world.rounds()
    trial = world.serving.trial
    assert trial is not None
    assert (trial.outcome, world.served(), world.on_disk()) == ("Failed", text(good), text(good))
    assert (world.serving.states[0].state, world.serving.accepted_id) == ("Ready", "good")


def test_a_probe_that_ends_while_the_container_is_down_is_undone_when_it_is_back(world: World) -> None:
    good, trial = serving_config("good"), serving_config("trial", instances=4)
    world.accept(good)
    world.probe(Probe("p", "me", 10.0, 0, trial))
    world.rounds()
    assert world.served() == text(trial)
    world.now += 60.0
    world.start()
    world.rounds(1)
    assert world.served() == text(good)
    world.start()
    world.rounds(5)
    assert world.served() == text(good), "the document is still there, and is not applied again"


def test_a_probe_that_is_kept_between_the_looks_at_two_files_serves_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted and without a probe are one write, and the pod reads two files."""
    before, trial = serving_config("before"), serving_config("trial", instances=4)
    world.accept(before)
    world.probe(Probe("p", "me", 60.0, 0, trial))
    world.rounds()
    assert world.served() == text(trial)
    loads, read = world.triton.loads, Document.read

    def read_before_the_write(document: Document) -> object:
        value = read(document)
        world.accept(trial)
        world.probe(None)
        return value

    monkeypatch.setattr(Document, "read", read_before_the_write)
    world.rounds()
    assert (world.served(), world.triton.loads) == (text(trial), loads)
    assert world.serving.trial is None
