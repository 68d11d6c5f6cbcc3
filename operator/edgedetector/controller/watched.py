"""What the tuner's loop knows of one detector."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from edgedetector.controller.logs import about, frames
from edgedetector.observe.load import Samples
from edgedetector.status.view import Standing
from edgedetector.tuning.capacity import measured, unmeasured
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.known import known
from edgedetector.tuning.record import State, key
from edgedetector.tuning.telling import Looks

if TYPE_CHECKING:
    from edgedetector.cluster.client import Object
    from edgedetector.controller.charge import Charge
    from edgedetector.observe.scrape import Target
    from edgedetector.tuning.ledger import Capacity, Ledger
    from edgedetector.tuning.situation import Situation
    from edgedetector.tuning.window import Window

logger = logging.getLogger(__name__)

# Windows from which it is told what limits a detector: five minutes of one pod at rest.
RECENT: Final = 30


@dataclass(slots=True)
class Watched:
    """What the loop knows of a detector."""

    charge: Charge
    samples: Samples
    due: float
    looked: float = float("-inf")
    record: Object | None = None
    ledger: Ledger | None = None
    state: State = field(default_factory=State)
    wrote: float = float("-inf")
    """When the last write ended: what a pass saw before is older."""
    doubtful: bool = False
    """It is not known what is on record."""
    visiting: bool = False
    answered: float = 0.0
    standing: Standing = field(default_factory=Standing)
    failures: int = 0
    in_line: bool = False
    """It would choose what to try next, and it is not its turn."""
    shown: dict[str, Window] = field(default_factory=dict)
    """By pod, the last window that tells something."""
    recent: deque[Window] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Those of all pods, oldest first."""
    looks: Looks = field(default_factory=Looks)
    """At what limits it."""

    @property
    def trying(self) -> bool:
        """Whether a trial is on record."""
        return self.ledger is not None and self.ledger.attempt is not None

    def saw(self, pods: Iterable[Target], windows: Iterable[Window]) -> None:
        """Take note of windows that tell something; of pods that are gone nothing is kept."""
        seen = {window.pod: _short(window) for window in windows if not window.disturbed}
        self.shown = {pod.pod: window for pod in pods if (window := seen.get(pod.pod) or self.shown.get(pod.pod))}
        self.recent.extend(seen.values())

    def capacity(
        self, state: State, pods: int, situation: Situation, now: float, *, idle: bool = False
    ) -> Capacity | None:
        """Return what the pods serve now, and what limits it; None if that cannot be told, which holds up nothing.

        Parameters
        ----------
        idle
            To tell what limits it also where too little is executed to say what the pods would serve.
        """
        spec, profile = self.charge.detector.spec, self.charge.profile.spec
        try:
            found = measured(self.shown.values(), state.accepted, pods, now)
            if found is None and idle:
                found = unmeasured(self.shown.values(), state.accepted, pods, now, self._told(key(state.accepted)))
            if found is None:
                return None
            limits = diagnose(
                tuple(self.recent), situation, known(spec.models, spec.cameras, profile), state.visits, state.accepted
            )
        except Exception as error:  # noqa: BLE001 - it is for people alone
            logger.error("what limits it cannot be told", extra=about(self.charge.key, traceback=frames(error)))  # noqa: TRY400
            return None
        remedy = limits.bottleneck.remedy
        return replace(found, limit=limits.limit, message=limits.message, remedy=remedy, of=key(state.accepted))

    def _told(self, configuration: str) -> Capacity | None:
        """Return the capacity on record, if it is of a configuration."""
        told = self.ledger.capacity if self.ledger is not None else None
        return told if told is not None and told.of == configuration else None


def _short(window: Window) -> Window:
    """Return a window without its histograms, which are most of it: there are those of minutes and of all detectors."""
    return replace(window, models={name: replace(model, ages={}) for name, model in window.models.items()})
