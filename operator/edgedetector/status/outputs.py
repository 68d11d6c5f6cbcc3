"""Whether detections arrive where spec.outputs sends them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedetector.api import conditions
from edgedetector.observe import words
from edgedetector.status.view import Verdict, View, blocked, fine, progressing, unknown
from edgedetector.status.workloads import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgedetector.api.dataplane import OutputState
    from edgedetector.api.edgedetector import OutputsSpec


def outputs_delivered(view: View) -> Verdict:
    """Judge whether every inference pod delivers to every output: what one of them cannot say is missing."""
    wanted = tuple(configured(view.detector.spec.outputs))
    if not wanted:
        return fine(conditions.REASON_DISABLED, "no output is configured")
    if view.detector.suspend:
        return progressing(conditions.REASON_SUSPENDED, "the detector is suspended")
    states = [view.snapshot.states[pod].outputs for pod in sorted(view.snapshot.states)]
    if not states:
        return unknown("no inference pod has answered yet")
    if broken := _broken(wanted, states):
        secret = all(output.reason == conditions.REASON_SECRET_MISSING for output in broken)
        reason = conditions.REASON_SECRET_MISSING if secret else conditions.REASON_OUTPUT_FAILING
        return blocked(reason, "; ".join(f"{output.name}: {words.line(output.message)}" for output in broken))
    lacking = [name for name in wanted if not all(name in {one.name for one in outputs} for outputs in states)]
    if lacking:
        text = f"the inference pods have not taken {listed(lacking)} yet"
        return progressing(conditions.REASON_PROGRESSING, text)
    return fine(conditions.REASON_OUTPUTS_DELIVERED, f"{listed(wanted)}: nothing stands in the way")


def configured(outputs: OutputsSpec) -> Iterator[str]:
    """Yield the outputs by the names that the pods give them."""
    if outputs.mqtt:
        yield "mqtt"
    if outputs.webhook:
        yield "webhook"
    if outputs.events.stdout:
        yield "stdout"
    if outputs.events.token_secret_ref:
        yield "events"


def _broken(wanted: tuple[str, ...], states: list[tuple[OutputState, ...]]) -> list[OutputState]:
    """Return one of each output that some pod cannot deliver to, in the order of the specification."""
    found = [next((o for outputs in states for o in outputs if o.name == name and not o.ok), None) for name in wanted]
    return [output for output in found if output]
