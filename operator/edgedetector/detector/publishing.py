"""The outputs that detector.json asks for, made anew when it asks for others: no pod is replaced for a new address."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TextIO

from edgedetector.api import conditions, names
from edgedetector.api.dataplane import DetectorConfig, OutputState
from edgedetector.detector.documents import Document
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.outputs import wiring
from edgedetector.detector.outputs.health import Board
from edgedetector.detector.outputs.outputs import Outputs, Sink
from edgedetector.detector.outputs.secretfiles import MissingSecretError, SecretFile, address
from edgedetector.detector.outputs.wiring import Picture, Tools, Wanted
from edgedetector.detector.presence import Crossing
from edgedetector.detector.repository import Paths

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between looks at detector.json."""
FAREWELL: Final = 3.0
"""Seconds to say goodbye to a broker (2 s at most) and to write to disk what waits."""


class Publisher:
    """Tells everybody whom detector.json names. For several threads; never waits for any of them."""

    def __init__(
        self,
        paths: Paths,
        pod: str,
        *,
        picture: Picture,
        metrics: Metrics,
        stdout: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._document = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig)
        self._document.read()
        self._metrics = metrics
        self._board = Board(clock)
        self._tools = Tools(paths, pod, picture, metrics.reported, self._board, stdout or sys.stdout)
        self._outputs = Outputs((), metrics.reported, tell=self._board.tell)
        self._made: dict[str, tuple[Wanted, Sink]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, camera: str, model: str, crossings: Sequence[Crossing]) -> None:
        """Tell of objects that came and went, in the order in which they did."""
        self._outputs.publish(camera, model, crossings)

    def serve(self, online: Mapping[str, bool]) -> None:
        """Tell which cameras this replica serves and whether each delivers frames; cheap to repeat."""
        self._outputs.serve(online)

    def forget(self, camera: str, *, removed: bool) -> None:
        """End every object of a camera that this replica no longer serves.

        Parameters
        ----------
        removed
            Whether it is gone from the configuration; otherwise another replica has it.
        """
        self._outputs.forget(camera, removed=removed)

    def states(self) -> tuple[OutputState, ...]:
        """Return whether each output delivers."""
        token = self.token
        return self._board.states() + ((_events(token),) if token else ())

    @property
    def token(self) -> SecretFile | None:
        """What whoever asks for events and pictures must have; None: they are for the pod itself."""
        config = self._document.value
        return self._tools.secret(config.outputs.events.token_secret if config else "", names.KEY_TOKEN)

    @property
    def address(self) -> str:
        """Where events and pictures are to be served."""
        return address(self.token)

    def run(self, stop: threading.Event) -> None:
        """Keep the sinks as detector.json wants them until `stop` is set."""
        while not stop.is_set():
            self.round()
            stop.wait(POLL)
        self.close()

    def round(self) -> None:
        """Look once at detector.json, and make the sinks fit; those that are not changed are not touched."""
        with self._lock:
            config = self._document.read()
            if config is None or self._closed:
                return
            wanted = wiring.wanted(config)
            if wanted != {name: known for name, (known, _) in self._made.items()}:
                self._change(wanted, config)

    def close(self, timeout: float = FAREWELL) -> None:
        """End every object in the pictures and every sink; what the webhook has to deliver stays on disk."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for camera in self._outputs.scene.online:
                self._outputs.forget(camera, removed=False)
            self._outputs.close(timeout)

    def _change(self, wanted: Mapping[str, Wanted], config: DetectorConfig) -> None:
        old = {name: made for name, made in self._made.items() if made[0] == wanted.get(name)}
        new = {name: what for name, what in wanted.items() if name not in old}
        for name in new:
            self._metrics.add_output(name)
        self._board.keep(old, new)
        self._made = {**old, **{name: (what, what.make(config, self._tools)) for name, what in new.items()}}
        self._outputs.use([sink for _, sink in self._made.values()])
        log.info("outputs: %s", ", ".join(sorted(wanted)) or "none")


def _events(token: SecretFile) -> OutputState:
    """Return whether anybody can be let in: the token is read anew for each request, so it may come at any time."""
    try:
        token.read()
    except MissingSecretError as error:
        return OutputState("events", ok=False, reason=conditions.REASON_SECRET_MISSING, message=str(error))
    return OutputState("events")
