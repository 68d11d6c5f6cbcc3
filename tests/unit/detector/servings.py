"""A pod's files, its clock and a Triton in memory, for tests of what is loaded when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgedetector.api.dataplane import ModelServing, Probe, ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.repository import Paths
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


def message(world: World, name: str) -> str:
    return next(state.message for state in world.serving.states if state.name == name)
