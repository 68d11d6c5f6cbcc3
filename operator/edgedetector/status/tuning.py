"""What is told of tuning: a condition, where it stands, its last decisions, and what they came to. Pure.

All of it stems from the ledger, which changes with decisions alone; so at rest nothing of it changes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import conditions
from edgedetector.status.view import Verdict, View, blocked, fine, progressing

if TYPE_CHECKING:
    from edgedetector.api.conditions import Condition
    from edgedetector.tuning.ledger import Capacity, Ledger

Json = dict[str, Any]

OFF: Final = "Off"
RECOMMEND: Final = "Recommend"
# Characters, as the CRD has them.
MAX_MESSAGE: Final = 1024
MAX_LINE: Final = 512
MAX_WORD: Final = 64

_RESUME: Final = "remove the annotation edgedetector.dev/tuning to resume it"


def tuning_active(view: View, awaited: str = "") -> Verdict:
    """Judge whether something better is looked for, or found.

    Parameters
    ----------
    awaited
        What has to be well before anything can be observed: a condition with its reason; empty: nothing.
    """
    spec, ledger = view.detector.spec, view.ledger
    if spec.tuning.mode == OFF:
        return progressing(conditions.REASON_OFF, "tuning is switched off; models are served as spec.serving asks")
    if view.detector.suspend:
        return progressing(conditions.REASON_SUSPENDED, "the detector is suspended")
    return _hindered(view, awaited) or _going(view, ledger)


def _hindered(view: View, awaited: str) -> Verdict | None:
    """Return what keeps anything from being tuned."""
    ledger, profile = view.ledger, view.profile.name
    failed = {
        conditions.REASON_RECORD_NOT_WRITTEN: view.standing.refused,
        conditions.REASON_INTERNAL_ERROR: view.standing.broken,
    }
    if reason := next((reason for reason, why in failed.items() if why), ""):
        return blocked(reason, failed[reason])
    if view.detector.frozen:
        return progressing(conditions.REASON_FROZEN, f"what serves stays as it is; {_RESUME}")
    if awaited:
        text = f"tuning waits until all pods serve the models as accepted: see the condition {awaited}"
        return progressing(conditions.REASON_AWAITING_MODELS, text)
    if view.standing.unobserved:
        return blocked(conditions.REASON_NOT_OBSERVED, "no inference pod tells its load", profile=profile)
    if ledger is not None and ledger.trouble:
        return blocked(conditions.REASON_TUNING_HINDERED, ledger.trouble)
    return None


def _going(view: View, ledger: Ledger | None) -> Verdict:
    if ledger is None:
        return progressing(conditions.REASON_PROGRESSING, "tuning begins")
    if ledger.memory_unknown:
        text = "tuning goes on without trying what may need more memory of the accelerator, whose size nobody states"
        said = blocked(conditions.REASON_MEMORY_UNKNOWN, text, profile=view.profile.name)
        return fine(said.reason, said.message)
    if view.detector.spec.tuning.mode == RECOMMEND:
        return fine(conditions.REASON_RECOMMENDING, "status.tuning says what mode Auto would do; nothing is touched")
    if ledger.converged:
        return fine(conditions.REASON_CONVERGED, "nothing that is safe promises more at this load")
    return fine(conditions.REASON_TUNING, "something better is looked for")


def phase(view: View, judged: Condition | None = None) -> str:
    """Return where tuning stands, in a word.

    Parameters
    ----------
    judged
        What was judged of `TuningActive`; None: nothing yet.
    """
    verdict, ledger = judged or tuning_active(view), view.ledger
    if verdict.status != conditions.TRUE:
        return verdict.reason
    if ledger is not None and ledger.attempt is not None:
        return "Probing"
    if view.detector.spec.tuning.mode == RECOMMEND:
        return conditions.REASON_RECOMMENDING
    return conditions.REASON_CONVERGED if ledger is not None and ledger.converged else conditions.REASON_TUNING


def tuning(view: View, judged: Condition | None = None) -> Json:
    """Return `status.tuning`; `judged` as for `phase`."""
    ledger = view.ledger
    if ledger is None:
        return {"phase": phase(view, judged)}
    log = [
        {"time": _time(line.at), "decision": line.decision[:MAX_WORD], "message": line.message[:MAX_LINE]}
        for line in ledger.log
    ]
    told = {"message": ledger.message[:MAX_MESSAGE], "recommendation": ledger.recommendation[:MAX_MESSAGE], "log": log}
    return {"phase": phase(view, judged), **{name: value for name, value in told.items() if value}}


def capacity(ledger: Ledger | None) -> Json:
    """Return `status.capacity`, empty while none is known."""
    known: Capacity | None = ledger.capacity if ledger is not None else None
    if known is None:
        return {}
    frames = f"{known.frames:.0f}" if known.frames > 0 else ""
    found = {"framesPerSecond": frames, "demand": f"{known.demand:g}", "limit": known.limit[:MAX_WORD]}
    found["message"] = known.message[:MAX_LINE]
    return {**{name: value for name, value in found.items() if value}, "since": _time(known.at)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
