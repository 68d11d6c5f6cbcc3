"""Whether frames reach Triton through memory, and whether there is enough of it. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from edgedetector.api import conditions
from edgedetector.api.quantities import format_bytes, parse_quantity
from edgedetector.plan.shared_memory import need
from edgedetector.status.view import Verdict, View, blocked, fine, progressing, unknown

if TYPE_CHECKING:
    from typing import Final

_MEBIBYTE: Final = 1 << 20


def shared_memory_ready(view: View) -> Verdict:
    """Judge whether tensors lie in shared memory, as some pod says, and whether what is planned fits.

    In messages they arrive too, later and with more work: this gates nothing.
    """
    if view.detector.suspend:
        return progressing(conditions.REASON_SUSPENDED, "the detector is suspended")
    profile = view.profile.name
    if not view.snapshot.states:
        return unknown("no inference pod has answered yet")
    troubles = [state.transport for _, state in sorted(view.snapshot.states.items()) if state.transport]
    if troubles:
        text = f"frames go to Triton in messages, which costs time and processor: {troubles[0]}"
        return blocked(conditions.REASON_SHARED_MEMORY_UNAVAILABLE, text, profile=profile)
    size = view.profile.spec.triton.shared_memory
    wanted = need(view.detector.spec.models, view.accepted)
    if wanted > parse_quantity(size):
        # In whole MiB, rounded up: a figure to type in.
        shown = format_bytes(Decimal(-(-wanted // _MEBIBYTE) * _MEBIBYTE))
        text = f"the models as they are served need {shown} of shared memory, and {size} are there"
        return blocked(conditions.REASON_SHARED_MEMORY_TOO_SMALL, text, profile=profile)
    if any(state.transport is None for state in view.snapshot.states.values()):
        return unknown("the inference pods are of a former release, which sends frames in messages")
    return fine(conditions.REASON_AS_EXPECTED, "frames go to Triton through shared memory, of which there is enough")
