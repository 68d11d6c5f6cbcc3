"""Models with post-processing: an ensemble waits for its parts, fails and goes with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.detector.servings import BAD, World, message, serving, serving_config, states, world

from edgedetector.api.dataplane import ModelServing, ServingConfig
from edgedetector.detector.applying import RETRY
from edgedetector.triton.errors import DeadlineError

__all__ = ["world"]  # the fixture


def with_post_processing(name: str, *, instances: int = 1, backend: str = "python") -> ServingConfig:
    parts = ("people", "people+postprocessing")
    steps = ", ".join(f'{{ model_name: "{part}" model_version: -1 }}' for part in parts)
    text = f'name: "people+pipeline" platform: "ensemble" ensemble_scheduling {{ step [ {steps} ] }}'
    ensemble = ModelServing("people+pipeline", 0, (), 8, 0, text, platform="ensemble")
    models = serving(parts[0], 1, "python"), serving(parts[1], instances, backend)
    return ServingConfig(name, (*models, ensemble))


def test_an_ensemble_waits_for_a_model_that_is_on_its_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    load = world.triton.load

    def late(model: str) -> None:
        if model == "people+postprocessing":
            raise DeadlineError(f"load {model}: no answer in 60 s")
        load(model)

    monkeypatch.setattr(world.triton, "load", late)
    world.accept(with_post_processing("a"))
    world.rounds()
    assert states(world)["people+pipeline"] == ("Loading", "")
    assert message(world, "people+pipeline") == "waits for model people+postprocessing"
    assert "people+pipeline" not in world.triton.serves, "Triton would load what is missing by itself"
    monkeypatch.undo()
    world.rounds(2)
    assert {state for state, _ in states(world).values()} == {"Ready"}
    world.triton.restart()
    world.rounds(2)
    assert {state for state, _ in states(world).values()} == {"Ready"}


def test_an_ensemble_of_a_model_that_failed_has_failed_and_loads_by_itself_when_that_is_mended(world: World) -> None:
    world.accept(with_post_processing("a", backend=BAD))
    world.rounds(200)
    assert states(world) == {
        "people": ("Ready", ""),
        "people+postprocessing": ("Failed", ""),
        "people+pipeline": ("Failed", ""),
    }
    helps = "correct that one, and this one is loaded by itself"
    assert message(world, "people+pipeline") == f"model people+postprocessing of it failed; {helps}"
    assert "people+pipeline" not in world.triton.serves, "Triton would load what is missing by itself"
    world.accept(with_post_processing("b"))
    world.rounds(2)
    assert {state for state, _ in states(world).values()} == {"Ready"}


def test_an_ensemble_loads_by_itself_when_the_same_model_loads_after_all(world: World) -> None:
    world.triton.refuses = True
    world.accept(with_post_processing("a"))
    world.rounds()
    assert {state for state, _ in states(world).values()} == {"Failed"}
    world.triton.refuses = False
    world.rounds(int(RETRY) + 2)
    assert {state for state, _ in states(world).values()} == {"Ready"}


def test_an_ensemble_of_a_model_without_its_file_has_failed_too_and_loads_when_the_file_comes(world: World) -> None:
    """Such a model is not even loaded: there is no failed load that could tell."""
    people, _, ensemble = with_post_processing("a").models
    (world.paths.sources / "people+postprocessing").mkdir(parents=True)
    post = replace(serving("people+postprocessing", 1, "python"), files={"1/model.py": "model.py"})
    world.accept(ServingConfig("a", (people, post, ensemble)))
    world.rounds()
    assert states(world)["people+postprocessing"] == ("Failed", "ModelFileMissing")
    assert states(world)["people+pipeline"] == ("Failed", "")
    (world.paths.sources / "people+postprocessing" / "model.py").write_text("code")
    world.rounds(2)
    assert {state for state, _ in states(world).values()} == {"Ready"}


def test_what_has_failed_is_looked_at_as_seldom_as_what_serves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.accept(with_post_processing("a", backend=BAD))
    world.rounds()
    looks, live = [], world.triton.is_live
    monkeypatch.setattr(world.triton, "is_live", lambda: bool(looks.append(world.now)) or live())
    for _ in range(40):
        world.now += 0.25
        world.serving.round()
    assert len(set(looks)) == 10, "once a second, and not at each look at the files"


def test_what_triton_serves_as_wanted_is_ready(world: World) -> None:
    world.accept(with_post_processing("a", backend=BAD))
    world.rounds()
    ready = ("people", "people+postprocessing", "people+pipeline", "nobody")
    assert [world.serving.ready(name) for name in ready] == [True, False, False, False]


def test_instances_of_post_processing_are_changed_and_its_ensemble_is_left_alone(world: World) -> None:
    world.accept(with_post_processing("a"))
    world.rounds()
    loads = world.triton.loads
    world.accept(with_post_processing("b", instances=4))
    world.rounds()
    assert world.triton.loads == loads + 1
    assert {(state.name, state.serving_id, state.instances) for state in world.serving.states} == {
        ("people", "b", 1), ("people+postprocessing", "b", 4), ("people+pipeline", "b", 0),
    }  # fmt: skip


def test_an_ensemble_goes_before_its_models(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, unload = [], world.triton.unload
    monkeypatch.setattr(world.triton, "unload", lambda model: (gone.append(model), unload(model)))
    world.accept(with_post_processing("a"))
    world.rounds()
    world.accept(serving_config("b"))
    world.rounds()
    assert gone == ["people+pipeline", "people+postprocessing"]
    assert set(world.triton.serves) == {"people"}
