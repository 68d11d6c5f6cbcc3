"""Models from files that are missing, too large, late or changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from tests.unit.detector.servings import World, from_source, serving, states, world

from edgedetector.api.dataplane import FetchedFile, ServingConfig
from edgedetector.detector.applying import RETRY

__all__ = ["world"]  # the fixture


def test_a_missing_file_holds_its_model_alone_and_its_coming_is_seen(world: World) -> None:
    world.accept(from_source(world, None))
    world.rounds()
    assert states(world) == {"cars": ("Ready", ""), "people": ("Failed", "ModelFileMissing")}
    assert "people" not in world.triton.serves, "Triton is not even asked"
    from_source(world, "code")
    world.rounds(1)
    assert states(world)["people"] == ("Ready", "")


def test_a_file_that_is_too_large_is_not_given_to_triton_and_the_old_one_goes_on(world: World) -> None:
    world.accept(from_source(world, "code", limit=10))
    world.rounds()
    from_source(world, "code that became far too large")
    world.rounds(10)
    (_, people) = world.serving.states
    assert (people.state, people.reason, people.serving_id) == ("Failed", "ModelTooLarge", "a")
    assert people.message.endswith("; still serving a")
    assert (world.paths.models / "people" / "1" / "model.py").read_text() == "code"
    loads = world.triton.loads
    from_source(world, "code")
    world.rounds(1)
    assert (states(world)["people"], world.triton.loads) == (("Ready", ""), loads)


def test_a_changed_file_is_loaded_once_it_is_written(world: World) -> None:
    world.accept(from_source(world, "code"))
    world.rounds(10)
    assert world.triton.loads == 2
    for length in range(10):
        from_source(world, "new code"[: length + 1])  # a copy that goes on
        world.rounds(1)
    assert world.triton.loads == 2
    world.rounds(10)
    assert world.triton.loads == 3
    assert (world.paths.models / "people" / "1" / "model.py").read_text() == "new code"


def over_network(world: World, content: bytes, *, arrived: bool) -> ServingConfig:
    digest = hashlib.sha256(content).hexdigest()
    world.paths.fetched.mkdir(exist_ok=True)
    if arrived:
        (world.paths.fetched / digest).write_bytes(content)
    file = FetchedFile("1/model.py", "https://models/x", digest, "models")
    return ServingConfig(digest[:4], (replace(serving("people", 1, "python"), fetched=(file,)),))


def report(world: World, config: ServingConfig, reason: str, message: str) -> None:
    world.paths.report.mkdir(parents=True, exist_ok=True)
    problem = {f"people {config.models[0].fetched[0].sha256}": {"reason": reason, "message": message}}
    (world.paths.report / "problems.json").write_text(json.dumps(problem))


def test_a_file_on_its_way_is_waited_for_and_loaded_when_it_is_there(world: World) -> None:
    config = over_network(world, b"code", arrived=False)
    world.accept(config)
    world.rounds()
    assert (states(world), world.triton.loads) == ({"people": ("Loading", "")}, 0)
    report(world, config, "ModelFetchFailed", "fetching from host models failed: no answer in time")
    world.rounds()
    assert states(world) == {"people": ("Failed", "ModelFetchFailed")}
    over_network(world, b"code", arrived=True)
    world.rounds(1)
    assert states(world) == {"people": ("Ready", "")}


def test_while_a_new_file_is_on_its_way_the_old_one_serves_and_says_so(world: World) -> None:
    old = over_network(world, b"old", arrived=True)
    world.accept(old)
    world.rounds()
    new = over_network(world, b"new", arrived=False)
    world.accept(new)
    world.rounds()
    (state,) = world.serving.states
    assert (state.state, state.serving_id, state.message) == ("Ready", old.id, "its file is being fetched")
    report(world, new, "ChecksumMismatch", "the file fetched has another digest")
    world.rounds()
    (state,) = world.serving.states
    assert (state.state, state.reason, state.serving_id) == ("Failed", "ChecksumMismatch", old.id)
    over_network(world, b"new", arrived=True)
    world.rounds(1)
    (state,) = world.serving.states
    assert (state.state, state.serving_id, world.triton.loads) == ("Ready", new.id, 2)
    assert (world.paths.models / "people" / "1" / "model.py").read_bytes() == b"new"


def test_a_new_file_that_does_not_load_is_not_called_ready_by_a_detector_that_restarted(world: World) -> None:
    old, new = over_network(world, b"old", arrived=True), over_network(world, b"new", arrived=True)
    world.accept(old)
    world.rounds()
    world.triton.refuses = True
    world.accept(new)
    world.rounds()
    assert (world.serving.states[0].state, world.serving.states[0].serving_id) == ("Failed", old.id)
    world.start()
    world.rounds()
    assert (world.serving.states[0].state, world.serving.states[0].serving_id) == ("Failed", old.id)
    world.triton.refuses = False
    world.rounds(int(RETRY) + 1)
    assert (world.serving.states[0].state, world.serving.states[0].serving_id) == ("Ready", new.id)
