"""The status of an EdgeDetector as it stands in the resource, bounded as its schema bounds it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.api.conditions import TUNING_ACTIVE
from edgedetector.api.quantities import format_duration
from edgedetector.observe import words
from edgedetector.status import tuning
from edgedetector.status.cameras import LIVE
from edgedetector.status.compose import timed
from edgedetector.status.view import Running, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgedetector.api.conditions import Condition
    from edgedetector.api.dataplane import ModelServing
    from edgedetector.observe.snapshot import Snapshot
    from edgedetector.status.cameras import CameraView

Json = dict[str, Any]

# Characters, as the CRD has them: one text too long would make the API server refuse the whole status.
MAX_CAMERA_MESSAGE: Final = 1024
# Of all cameras together. Spec, status and managed fields share the 1.5 MiB that etcd takes at once; with it, 1,000
# cameras have 256 characters each.
MAX_CAMERA_MESSAGES: Final = 256 * 1000
MAX_MODELS_COLUMN: Final = 256
MAX_COLUMN: Final = 128
MAX_WHY: Final = 1024

FROM_SPEC: Final = "Spec"
TUNED: Final = "Tuned"


def status(obj: Json, judged: Iterable[Condition], view: View | Running | None, now: str) -> Json:
    """Return the whole status.

    Of a detector that could not be planned or applied, what its cameras and models do is as seen now, the rest as it
    was; without a look at them all is as it was.
    """
    before: Json = obj.get("status") or {}
    generation, judged = obj["metadata"]["generation"], tuple(judged)
    if isinstance(view, View):
        active = next((condition for condition in judged if condition.type == TUNING_ACTIVE), None)
        seen = {**_seen(view, before, now, active), "appliedGeneration": generation}
    else:
        seen = before if view is None or "summary" not in before else {**before, **_still(view, before, now)}
    head = {
        "observedGeneration": generation,
        "conditions": timed(judged, before.get("conditions") or (), generation, now),
    }
    return {**seen, **head}


def _still(view: Running, before: Json, now: str) -> Json:
    replicas, models = _replicas(view.snapshot, view.name), _by_name(before.get("models"))
    return {
        "summary": {**before["summary"], **_counts(replicas, view.cameras)},
        "replicas": replicas,
        "models": [_model(view.snapshot, name, models, now) for name in models],
        "cameras": _cameras(view.cameras),
    }


def _seen(view: View, before: Json, now: str, active: Condition | None) -> Json:
    replicas, models = _replicas(view.snapshot, view.detector.name), _by_name(before.get("models"))
    capacity = tuning.capacity(view.ledger)
    return {
        **({"capacity": capacity} if capacity else {}),
        "tuning": tuning.tuning(view, active),
        "summary": _summary(view, replicas),
        "replicas": replicas,
        "serving": _serving(view, before.get("serving") or {}, now),
        "models": [_model(view.snapshot, model.name, models, now) for model in _shown(view)],
        "cameras": _cameras(view.cameras),
        **({"verification": dict(view.asked.document)} if view.asked else {}),
    }


def _shown(view: View) -> tuple[ModelServing, ...]:
    """Return what is served, without ensembles: they have nothing of their own, and nobody named them."""
    return tuple(model for model in view.accepted.models if model.platform != names.ENSEMBLE)


def _summary(view: View, replicas: Json) -> Json:
    """Return the columns of `kubectl get`."""
    models = _shown(view)
    return {
        **_counts(replicas, view.cameras),
        "models": ",".join(model.name for model in models)[:MAX_MODELS_COLUMN],
        "instances": ",".join(str(model.instances) for model in models)[:MAX_COLUMN],
        "batch": ",".join(_batch(model) for model in models)[:MAX_COLUMN],
    }


def _counts(replicas: Json, cameras: Sequence[CameraView]) -> Json:
    live = sum(1 for camera in cameras if camera.state == LIVE and camera.detecting)
    return {"replicas": f"{replicas['ready']}/{replicas['desired']}", "streams": f"{live}/{len(cameras)}"}


def _batch(model: ModelServing) -> str:
    return "/".join(str(size) for size in model.preferred_batch_sizes) or str(model.max_batch_size)


def _replicas(snapshot: Snapshot, name: str) -> Json:
    workload = snapshot.workloads.get(names.triton(name))
    waiting = sum(1 for pod in snapshot.of(names.COMPONENT_TRITON) if pod.unschedulable_since)
    desired = workload.desired if workload else 0
    return {"desired": desired, "ready": min(workload.available, desired) if workload else 0, "unschedulable": waiting}


def _serving(view: View, before: Json, now: str) -> Json:
    models = [
        _present(
            name=model.name,
            instances=model.instances,
            preferredBatchSizes=list(model.preferred_batch_sizes),
            maxBatchSize=model.max_batch_size,
            maxQueueDelay=format_duration(timedelta(microseconds=model.max_queue_delay_microseconds)),
        )
        for model in _shown(view)
    ]
    since = before.get("since", now) if before.get("id") == view.accepted.id else now
    reason, message = FROM_SPEC, "as spec.serving asks"
    if view.tuned and view.ledger is not None:
        reason, message = TUNED, view.ledger.why[:MAX_WHY] or "as tuning found"
    return {"id": view.accepted.id, "reason": reason, "message": message, "since": since, "models": models}


def _model(snapshot: Snapshot, name: str, before: Mapping[str, Json], now: str) -> Json:
    """Roll up over the replicas: the one that is furthest from ready says it for all."""
    found = [model for state in snapshot.states.values() for model in state.models if model.name == name]
    worst = next((model for state in ("Failed", "Loading") for model in found if model.state == state), None)
    state = worst.state if worst else "Ready" if found else "Unknown"
    old = before.get(name, {})
    return _present(
        name=name,
        state=state,
        message=words.line(worst.message) if worst else "",
        since=old.get("since", now) if old.get("state") == state else now,
    )


def _cameras(cameras: Sequence[CameraView]) -> list[Json]:
    longest = min(MAX_CAMERA_MESSAGE, MAX_CAMERA_MESSAGES // max(1, len(cameras)))
    return [_camera(camera, longest) for camera in cameras]


def _camera(camera: CameraView, longest: int) -> Json:
    return _present(
        name=camera.name,
        state=camera.state,
        reason=camera.reason[:MAX_COLUMN],
        message=camera.message[:longest],
        since=camera.since if camera.changed else "",  # the API server refuses what is no time
        detecting=camera.detecting,
        replica=camera.replica,
        degraded=camera.degraded[:longest],
    )


def _by_name(items: Iterable[Json] | None) -> dict[str, Json]:
    return {item["name"]: item for item in items or ()}


def _present(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value not in ("", [], None)}
