"""Keep go2rtc at what the ConfigMap and the Secrets ask for.

Level-triggered: each pass compares what is asked for, what is rendered and what go2rtc says that it runs, and does the
next thing. A crash of this container or of go2rtc at any point is made good by the next pass, and a restart of this
container alone does not restart go2rtc.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgedetector.api.dataplane import MediaConfig
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.go2rtc.render import Rendered, render
from edgedetector.go2rtc.state import MediaState
from edgedetector.go2rtc.streams import Traffic, describe
from edgedetector.media.files import (
    Inputs,
    private_key,
    read_inputs,
    remove_other_credentials,
    write_credentials,
    write_private,
)
from edgedetector.media.process import Go2rtc, UnreachableError

log = logging.getLogger(__name__)

# A pass reads some 70 small files for 35 cameras, about 2 ms.
PASS_SECONDS: Final = 0.5

# Changes are acted on when two passes in a row see the same, so that an edit of many cameras and Secrets is one
# restart; a source that never rests is acted on after this long all the same.
SETTLE_LIMIT_SECONDS: Final = 5.0

# A restart costs every camera up to 2 s and a keyframe interval: leave room to recover before the next.
RESTART_INTERVAL_SECONDS: Final = 5.0

# go2rtc's counters are read this often; a stream without a byte in between is Connecting.
SAMPLE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the volumes are."""

    media: Path
    secrets: Path
    config: Path
    credentials: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Wanted:
    """A configuration that is rendered on the volume."""

    generation: int
    revision: str
    rendered: Rendered
    labels: Mapping[str, Mapping[str, str]]
    """Stream id -> which camera's it is, and which of its streams; for metrics."""


@dataclass(slots=True)
class _Settling:
    """Inputs that differ from those in force, since when, waited for until two passes agree."""

    inputs: Inputs
    since: float


@dataclass(slots=True)
class _Observed:
    """What go2rtc said last."""

    answered: bool = False
    revision: str = ""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    previous: Mapping[str, Traffic] = field(default_factory=dict)
    sampled: float = float("-inf")


class Supervisor:
    """One pass after the other, on one thread; `state` may be read from any."""

    def __init__(self, paths: Paths, go2rtc: Go2rtc, clock: Callable[[], float]) -> None:
        self._paths = paths
        self._go2rtc = go2rtc
        self._clock = clock
        self._accepted: Inputs | None = None
        self._settling: _Settling | None = None
        self._wanted: Wanted | None = None
        self._observed = _Observed()
        self._restarted = float("-inf")
        self._restarts = 0
        self._message = "no configuration was read yet"
        self.state = MediaState(-1, "", ready=False, message=self._message)

    def step(self) -> None:
        """Do one pass."""
        now = self._clock()
        try:
            inputs = read_inputs(self._paths.media, self._paths.secrets)
        except (OSError, UnicodeDecodeError) as error:
            self._say(f"cannot read the configuration: {type(error).__name__}")
        else:
            if self._settled(inputs, now):
                self._accept(inputs)
        if self._wanted is not None:
            self._observe(now)
            self._converge(self._wanted, now)
            self._publish(self._wanted)

    @property
    def rendered(self) -> bool:
        """A configuration lies on the volume, so that go2rtc may start."""
        return self._wanted is not None

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of each stream, by id; may be asked from any thread."""
        wanted = self._wanted
        return wanted.labels if wanted is not None else {}

    @property
    def streams(self) -> Collection[str]:
        """Return the ids of the streams that go2rtc is to run; may be asked from any thread."""
        wanted = self._wanted
        return wanted.rendered.streams if wanted is not None else ()

    def _settled(self, inputs: Inputs, now: float) -> bool:
        if inputs == self._accepted:
            self._settling = None
            return False
        if self._accepted is None:
            return True
        pending = self._settling
        if pending is None:
            self._settling = _Settling(inputs, now)
            return False
        done = pending.inputs == inputs or now - pending.since >= SETTLE_LIMIT_SECONDS
        pending.inputs = inputs
        return done

    def _accept(self, inputs: Inputs) -> None:
        self._settling = None
        try:
            config = from_json(MediaConfig, inputs.media)
        except InvalidDocumentError as error:
            # The last good configuration stays in force; taken as seen, so that it is said once.
            self._accepted = inputs
            self._say(f"media.json is invalid: {error}")
            return
        rendered = render(config, inputs.secret_values())
        revision = rendered.revision(private_key(self._paths.key))
        before = self._wanted
        if before is None or before.revision != revision:
            write_credentials(self._paths.credentials, rendered.credentials)
            write_private(self._paths.config, rendered.text(revision))
            log.info("rendered %d streams as revision %s", len(rendered.streams), revision)
        if before is None or before.rendered.left_out != rendered.left_out:
            for item in rendered.left_out:
                log.warning("stream %s is left out: %s: %s", item.stream, item.state, item.message)
        self._accepted = inputs
        labels = {item.stream: {"camera": item.camera, "role": item.role} for item in config.cameras if item.camera}
        self._wanted = Wanted(config.generation, revision, rendered, labels)
        self._say("")

    def _observe(self, now: float) -> None:
        observed = self._observed
        wanted = self._wanted
        settled = wanted is not None and observed.revision == wanted.revision
        if settled and now - observed.sampled < SAMPLE_SECONDS:
            return
        try:
            revision = self._go2rtc.revision()
            traffic = self._go2rtc.traffic()
        except UnreachableError:
            self._observed = _Observed()
            return
        self._observed = _Observed(
            answered=True, revision=revision, traffic=traffic, previous=observed.traffic, sampled=now
        )

    def _converge(self, wanted: Wanted, now: float) -> None:
        running = self._observed.revision
        if running == wanted.revision:
            remove_other_credentials(self._paths.credentials, wanted.rendered.credentials)
            return
        # While go2rtc does not answer it is starting, and will read the newest file by itself.
        if not self._observed.answered:
            return
        if now - self._restarted < RESTART_INTERVAL_SECONDS:
            return
        self._restarted = now
        self._restarts += 1
        # It may be replaced before it has answered; whether it was shows in the revision that it has next.
        with contextlib.suppress(UnreachableError):
            self._go2rtc.restart()
        log.info("go2rtc restarts in place: revision %s instead of %s", wanted.revision, running or "none")

    def _publish(self, wanted: Wanted) -> None:
        observed = self._observed
        ready = observed.revision == wanted.revision
        message = self._message
        if not message and not ready:
            message = "go2rtc does not answer" if not observed.answered else "go2rtc is to start again"
        self.state = MediaState(
            wanted.generation if ready else self.state.generation,
            observed.revision,
            ready,
            message,
            self._restarts,
            describe(wanted.rendered, observed.traffic, observed.previous),
        )

    def _say(self, message: str) -> None:
        if message and message != self._message:
            log.warning("%s", message)
        self._message = message
