"""What a pass over a detector hands to the tuner's loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedetector.api import conditions, names
from edgedetector.controller import keys
from edgedetector.observe import words

if TYPE_CHECKING:
    from edgedetector.api.dataplane import DetectorState, ModelState
    from edgedetector.api.edgedetector import EdgeDetector
    from edgedetector.api.profile import AcceleratorProfile
    from edgedetector.cluster.client import Object
    from edgedetector.controller import terms
    from edgedetector.controller.keys import Key
    from edgedetector.observe.scrape import Target


@dataclass(frozen=True, slots=True)
class Charge:
    """A detector as its last pass found it."""

    detector: EdgeDetector
    profile: AcceleratorProfile
    terms: terms.Terms
    record: Object | None
    """The live ConfigMap of its record."""
    pods: frozenset[Target]
    """Inference pods that can be asked."""
    ready: bool
    """Its models are served as they should be: what is observed means something."""
    asof: float
    """When the pass began to look, on the loop's monotonic clock."""
    refused: str = ""
    """Which pod cannot load what is accepted, in its words; empty: none is known not to."""

    @property
    def key(self) -> Key:
        """Whose it is."""
        return keys.detector(self.detector.namespace, self.detector.name)

    @property
    def subject(self) -> tuple[EdgeDetector, AcceleratorProfile]:
        """What a decision is about: made for another one, it is void."""
        return self.detector, self.profile


def running(pods: Iterable[Target]) -> frozenset[Target]:
    """Return those of the pods that serve models."""
    return frozenset(pod for pod in pods if pod.component == names.COMPONENT_TRITON)


def refusal(states: Mapping[str, DetectorState], accepted: str) -> str:
    """Return which pod was told what is accepted and cannot load it, in its words; empty: none is known not to.

    One with a trial may say it of that. Where a model's files are wrong no configuration helps.

    Parameters
    ----------
    states
        By pod.
    accepted
        Id of the accepted configuration.
    """
    found = (
        f"{pod} cannot load {model.name} so: {words.line(model.message)}"
        for pod, state in sorted(states.items())
        if state.accepted_id == accepted and not state.probe_id
        for model in state.models
        if _refuses(model, accepted)
    )
    return next(found, "")


def _refuses(model: ModelState, accepted: str) -> bool:
    file = model.reason in conditions.MODEL_FILE_REASONS
    return model.state == "Failed" and model.serving_id != accepted and not file
