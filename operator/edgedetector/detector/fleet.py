"""All cameras that this replica serves, kept as detector.json wants them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from edgedetector.api import names
from edgedetector.api.dataplane import CameraState, DetectorCamera, DetectorConfig, DetectorModel
from edgedetector.detector.camera import Camera
from edgedetector.detector.candidates import Candidates
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.documents import Document
from edgedetector.detector.events import Hub
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model, UnsupportedModelError
from edgedetector.detector.lifecycle import State
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.repository import Paths

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between looks at detector.json and at the replicas."""

Dispatch = Callable[[Mapping[str, Model], Mapping[str, int]], None]


class Audience(Protocol):
    """What the fleet needs of the outputs."""

    def serve(self, online: Mapping[str, bool]) -> None:
        """Tell which cameras are served here and whether each delivers frames."""

    def forget(self, camera: str, *, removed: bool) -> None:
        """Tell that a camera is no longer served here; `removed`: nor anywhere else."""


MakeCamera = Callable[[DetectorCamera, str, str], Camera]


class Fleet:
    """Starts, changes and stops cameras; one that is not changed is not touched.

    Parameters
    ----------
    make_camera
        Makes a camera from its configuration, the URL of its stream, and that of its sub-stream or nothing.
    cooperation
        Says which cameras are served here.
    candidates
        Looks for the other replicas.
    dispatch
        Takes the models, and the priorities of the cameras that are served here.
    overload
        Tells the cameras what to give up.
    outputs
        Told which cameras are served here.
    ready
        Whether Triton serves what is wanted under a name that it is asked for.
    """

    def __init__(
        self,
        paths: Paths,
        make_camera: MakeCamera,
        *,
        guard: Guard,
        hub: Hub,
        metrics: Metrics,
        cooperation: Cooperation,
        candidates: Candidates,
        dispatch: Dispatch,
        overload: Callable[[Sequence[Camera], DetectorConfig], None],
        outputs: Audience,
        ready: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._document = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig)
        self._make = make_camera
        self._guard = guard
        self._hub = hub
        self._metrics = metrics
        self._cooperation = cooperation
        self._candidates = candidates
        self._dispatch = dispatch
        self._overload = overload
        self._outputs = outputs
        self._ready = ready
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}
        self._models: dict[str, Model] = {}
        self._unsupported: list[DetectorModel] = []
        self._suspended: tuple[CameraState, ...] = ()

    def run(self, stop: threading.Event, every_round: Callable[[], None]) -> None:
        """Work until `stop` is set, then stop every camera."""
        while True:
            self.round()
            every_round()
            self._cooperation.wait(POLL)
            if stop.is_set():
                break
        for camera in self._cameras.values():
            camera.stop()

    def round(self) -> None:
        """Look once at configuration and replicas, and make the cameras fit."""
        config = self._document.read()
        if config is None:
            return
        self._set_models(config.models)
        here = self._share(config)
        mine = {c.name: c for c in config.cameras if c.name in here}
        for name, camera in list(self._cameras.items()):
            if name not in mine or camera.urls != _urls(config, mine[name]):
                self._remove(camera, config)
        self._dispatch(self._models, {name: camera.priority for name, camera in mine.items()})
        for name, wanted in mine.items():
            if name not in self._cameras:
                self._add(wanted, *_urls(config, wanted))
            self._cameras[name].configure(wanted, self._models)
        self._overload(tuple(self._cameras.values()), config)
        self._outputs.serve({name: camera.state().state == State.LIVE for name, camera in self._cameras.items()})
        states = (CameraState(c.name, State.SUSPENDED, "Suspended", "spec.suspend is true") for c in config.cameras)
        self._suspended = tuple(states) if config.suspended else ()

    def _share(self, config: DetectorConfig) -> frozenset[str]:
        """Return the cameras to serve here. Asked every round, which tells the other replicas that this one works."""
        self._candidates.of(config.replicas_host)
        wanted = frozenset[str]() if config.suspended else frozenset(camera.name for camera in config.cameras)
        live = frozenset(name for name, camera in self._cameras.items() if camera.state().state == State.LIVE)
        group = f"{config.namespace}/{config.detector}"
        return self._cooperation.decide(group, wanted, live, alone=not config.replicas_host)

    @property
    def generation(self) -> int:
        """Generation of the detector.json in force, 0 before the first."""
        return self._document.value.generation if self._document.value else 0

    def serves(self, model: str) -> bool:
        """Return whether Triton serves what is asked for a model: with post-processing that is the ensemble."""
        used = self._models.get(model)
        return used is not None and self._ready(used.asked)

    def states(self) -> tuple[CameraState, ...]:
        """Return where each camera of this replica stands, by name."""
        with self._lock:
            cameras = sorted(self._cameras.values(), key=lambda camera: camera.name)
        return tuple(camera.state() for camera in cameras) + self._suspended

    def demand(self) -> dict[str, float]:
        """Return the frames a second that this replica's cameras are meant to have inferred, by model."""
        with self._lock:
            cameras = tuple(self._cameras.values())
        wanted = [one for camera in cameras for one in camera.demand.items()]
        return {model: sum(rate for name, rate in wanted if name == model) for model, _ in wanted}

    def _add(self, config: DetectorCamera, url: str, substream: str) -> None:
        log.info("camera %s: reading %s", config.name, url)
        camera = self._make(config, url, substream)
        camera.configure(config, self._models)
        with self._lock:
            self._cameras[config.name] = camera
        camera.start(self._guard)

    def _remove(self, camera: Camera, config: DetectorConfig) -> None:
        log.info("camera %s: no longer served here", camera.name)
        camera.stop()
        with self._lock:
            del self._cameras[camera.name]
        self._hub.forget(camera.name)
        self._metrics.remove_camera(camera.name)
        self._outputs.forget(camera.name, removed=all(camera.name != wanted.name for wanted in config.cameras))

    def _set_models(self, configs: tuple[DetectorModel, ...]) -> None:
        """Use these models. One that is as before stays the same, and with it the memory of its requests."""
        self._unsupported = [config for config in self._unsupported if config in configs]
        models = {config.name: self._model(config) for config in configs}
        self._models = {name: model for name, model in models.items() if model is not None}

    def _model(self, config: DetectorModel) -> Model | None:
        if config in self._unsupported:
            return None
        former = self._models.get(config.name)
        if former is not None and former.config == config:
            return former
        try:
            model = Model(config)
        except UnsupportedModelError as error:
            log.error("%s", error)  # noqa: TRY400 - the message says it all
            self._unsupported.append(config)
            return None
        # What is added to a model that serves may not load: until it has, the model detects as before.
        held = former is not None and former.asked != model.asked and not self._ready(model.asked)
        return former if held else model


def _urls(config: DetectorConfig, camera: DetectorCamera) -> tuple[str, str]:
    return f"{config.media_url}/{camera.stream}", f"{config.media_url}/{camera.substream}" if camera.substream else ""
