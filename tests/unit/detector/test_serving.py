"""The applier's shell on virtual time, against a Triton in memory that restarts, refuses and fails.

The real Triton is asked in bench/control_path and in the end-to-end tests; here the order of events is what counts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edgedetector.api.dataplane import FetchedFile, ModelServing, Probe, ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.applying import RETRY
from edgedetector.detector.documents import Document
from edgedetector.detector.repository import Paths, Repository
from edgedetector.detector.serving import Serving
from edgedetector.triton.config import parse
from edgedetector.triton.errors import DeadlineError, RejectedError, UnavailableError

BAD = "nosuch"


def serving_config(name: str, *models: str, instances: int = 1, backend: str = "python") -> ServingConfig:
    return ServingConfig(name, tuple(serving(model, instances, backend) for model in models or ("people",)))


def serving(model: str, instances: int, backend: str) -> ModelServing:
    text = f'name: "{model}" backend: "{backend}" max_batch_size: 8\ninstance_group [ {{ count: {instances} }} ]\n'
    return ModelServing(model, instances, (), 8, 100, text)


class Triton:
    """What a Triton with explicit model control does, on the same directory."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self.live = True
        self.slow = False
        self.refuses = False
        self.serves: dict[str, str] = {}
        self.loads = 0

    def restart(self) -> None:
        self.serves = {}

    def is_live(self) -> bool:
        return self.live

    def is_ready(self, model: str) -> bool:
        if self.slow:
            raise DeadlineError(f"ready {model}: no answer in 2 s")
        return self.live and model in self.serves

    def config(self, model: str):
        return parse(self.serves[model])

    def load(self, model: str) -> None:
        self.loads += 1
        if not self.live:
            raise UnavailableError(f"load {model}: nobody there")
        text = (self._models / model / "config.pbtxt").read_text()
        if BAD in text or self.refuses:
            raise RejectedError(f"load {model}: unable to find backend library")
        self.serves[model] = text

    def unload(self, model: str) -> None:
        if not self.live:
            raise UnavailableError(f"unload {model}: nobody there")
        self.serves.pop(model, None)


class World:
    """A pod: its files, its Triton, its clock."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.paths.serving.mkdir(parents=True)
        self.triton = Triton(self.paths.models)
        self.now = 1000.0
        self.start()

    def start(self) -> None:
        """Start the detector's container, again."""
        self.serving = Serving(self.paths, self.triton, pod="me", clock=lambda: self.now)

    def accept(self, config: ServingConfig) -> None:
        (self.paths.serving / "accepted.json").write_text(to_json(config))

    def probe(self, probe: Probe | None) -> None:
        path = self.paths.serving / "probe.json"
        path.unlink(missing_ok=True)
        if probe:
            path.write_text(to_json(probe))

    def rounds(self, count: int = 4) -> None:
        for _ in range(count):
            self.now += 1.0
            self.serving.round()

    def served(self, model: str = "people") -> str:
        return self.triton.serves.get(model, "")

    def on_disk(self, model: str = "people") -> str:
        return (self.paths.models / model / "config.pbtxt").read_text()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def text(config: ServingConfig) -> str:
    return config.models[0].config


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


def from_source(world: World, content: str | None, *, limit: int = 0) -> ServingConfig:
    """A model from a volume, which has its file or lacks it, beside one that needs none."""
    directory = world.paths.sources / "people"
    directory.mkdir(parents=True, exist_ok=True)
    if content is not None:
        (directory / "model.py").write_text(content)
    people = replace(serving("people", 1, "python"), files={"1/model.py": "model.py"}, size_limit=limit)
    return ServingConfig("a", (serving("cars", 1, "python"), people))


def states(world: World) -> dict[str, tuple[str, str]]:
    return {state.name: (state.state, state.reason) for state in world.serving.states}


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


def with_post_processing(name: str, *, instances: int = 1, backend: str = "python") -> ServingConfig:
    parts = ("people", "people+postprocessing")
    steps = ", ".join(f'{{ model_name: "{part}" model_version: -1 }}' for part in parts)
    text = f'name: "people+pipeline" platform: "ensemble" ensemble_scheduling {{ step [ {steps} ] }}'
    ensemble = ModelServing("people+pipeline", 0, (), 8, 0, text, platform="ensemble")
    models = serving(parts[0], 1, "python"), serving(parts[1], instances, backend)
    return ServingConfig(name, (*models, ensemble))


def message(world: World, name: str) -> str:
    return next(state.message for state in world.serving.states if state.name == name)


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


class AnyHistory(RuleBasedStateMachine):
    """Configs, probes, restarts of either container, in any order; left alone, the pod ends up where it must."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.world = World(self.root)
        self.accepted = serving_config("start")
        self.world.accept(self.accepted)
        self.probes = 0

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @rule(instances=st.integers(1, 4), backend=st.sampled_from(["python", "python", BAD]))
    def accept(self, instances: int, backend: str) -> None:
        self.accepted = serving_config(f"{backend}-{instances}", instances=instances, backend=backend)
        self.world.accept(self.accepted)

    @rule(instances=st.integers(1, 4), backend=st.sampled_from(["python", BAD]), pod=st.sampled_from(["me", "other"]))
    def probe(self, instances: int, backend: str, pod: str) -> None:
        self.probes += 1
        config = serving_config(f"probe-{self.probes}", instances=instances, backend=backend)
        self.world.probe(Probe(f"p{self.probes}", pod, 10.0, 0, config))

    @rule()
    def withdraw(self) -> None:
        self.world.probe(None)

    @rule(count=st.integers(1, 3))
    def work(self, count: int) -> None:
        self.world.rounds(count)

    @rule()
    def triton_restarts(self) -> None:
        self.world.triton.restart()

    @rule(live=st.booleans())
    def triton_hides(self, *, live: bool) -> None:
        self.world.triton.live = live

    @rule(slow=st.booleans())
    def triton_is_slow(self, *, slow: bool) -> None:
        self.world.triton.slow = slow

    @rule()
    def the_detector_restarts(self) -> None:
        self.world.start()

    @rule()
    def left_alone_the_accepted_config_serves(self) -> None:
        self.world.triton.live, self.world.triton.slow = True, False
        self.world.rounds(12 + int(RETRY))
        if BAD not in text(self.accepted):
            assert self.world.served() == text(self.accepted) == self.world.on_disk()
            (state,) = self.world.serving.states
            assert (state.state, state.serving_id) == ("Ready", self.accepted.id)
            loads = self.world.triton.loads
            self.world.rounds(5)
            assert self.world.triton.loads == loads, "at rest nothing is loaded"
            return
        assert self.world.serving.states[0].state == "Failed"
        good = Repository(self.world.paths).good("people")
        assert self.world.served() == (good[1] if good else "")


AnyHistory.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
TestAnyHistory = AnyHistory.TestCase
