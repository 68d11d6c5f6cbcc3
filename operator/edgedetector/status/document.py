"""The status of an EdgeDetector as it stands in the resource, bounded as its schema bounds it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.api.quantities import format_duration
from edgedetector.status.cameras import LIVE
from edgedetector.status.compose import timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgedetector.api.conditions import Condition
    from edgedetector.api.dataplane import ModelServing
    from edgedetector.status.cameras import CameraView
    from edgedetector.status.view import View

Json = dict[str, Any]

# Characters, as the CRD has them: one text too long would make the API server refuse the whole status.
MAX_CAMERA_MESSAGE: Final = 1024
# Of all cameras together. Spec, status and managed fields share the 1.5 MiB that etcd takes at once; with it, 1,000
# cameras have 256 characters each.
MAX_CAMERA_MESSAGES: Final = 256 * 1000
MAX_MODEL_MESSAGE: Final = 4096
MAX_MODELS_COLUMN: Final = 256
MAX_COLUMN: Final = 128

FROM_SPEC: Final = "Spec"


def status(obj: Json, judged: Iterable[Condition], view: View | None, now: str) -> Json:
    """Return the whole status.

    Without a view (the detector could not be planned or applied) all that is known of what runs stays as it was.
    """
    before: Json = obj.get("status") or {}
    generation = obj["metadata"]["generation"]
    seen = before if view is None else {**_kept(before), **_seen(view, before, now)}
    head = {
        "observedGeneration": generation,
        "conditions": timed(judged, before.get("conditions") or (), generation, now),
    }
    return {**seen, **head}


def _kept(before: Json) -> Json:
    """Return what others than this module decide about."""
    return {name: before[name] for name in ("tuning", "capacity") if name in before}


def _seen(view: View, before: Json, now: str) -> Json:
    share = MAX_CAMERA_MESSAGES // max(1, len(view.cameras))
    return {
        "summary": _summary(view),
        "replicas": _replicas(view),
        "serving": _serving(view, before.get("serving") or {}, now),
        "models": [_model(view, model.name, _by_name(before.get("models")), now) for model in view.accepted.models],
        "cameras": [_camera(camera, min(MAX_CAMERA_MESSAGE, share)) for camera in view.cameras],
    }


def _summary(view: View) -> Json:
    """Return the columns of `kubectl get`."""
    live = sum(1 for camera in view.cameras if camera.state == LIVE and camera.detecting)
    replicas, models = _replicas(view), view.accepted.models
    return {
        "replicas": f"{replicas['ready']}/{replicas['desired']}",
        "streams": f"{live}/{len(view.cameras)}",
        "models": ",".join(model.name for model in models)[:MAX_MODELS_COLUMN],
        "instances": ",".join(str(model.instances) for model in models)[:MAX_COLUMN],
        "batch": ",".join(_batch(model) for model in models)[:MAX_COLUMN],
    }


def _batch(model: ModelServing) -> str:
    return "/".join(str(size) for size in model.preferred_batch_sizes) or str(model.max_batch_size)


def _replicas(view: View) -> Json:
    workload = view.snapshot.workloads.get(names.triton(view.detector.name))
    waiting = sum(1 for pod in view.snapshot.of(names.COMPONENT_TRITON) if pod.unschedulable_since)
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
        for model in view.accepted.models
    ]
    since = before.get("since", now) if before.get("id") == view.accepted.id else now
    message = "as spec.serving asks"
    return {"id": view.accepted.id, "reason": FROM_SPEC, "message": message, "since": since, "models": models}


def _model(view: View, name: str, before: Mapping[str, Json], now: str) -> Json:
    """Roll up over the replicas: the one that is furthest from ready says it for all."""
    found = [model for state in view.snapshot.states.values() for model in state.models if model.name == name]
    worst = next((model for state in ("Failed", "Loading") for model in found if model.state == state), None)
    state = worst.state if worst else "Ready" if found else "Unknown"
    old = before.get(name, {})
    return _present(
        name=name,
        state=state,
        message=worst.message[:MAX_MODEL_MESSAGE] if worst else "",
        since=old.get("since", now) if old.get("state") == state else now,
    )


def _camera(camera: CameraView, longest: int) -> Json:
    return _present(
        name=camera.name,
        state=camera.state,
        reason=camera.reason[:MAX_COLUMN],
        message=camera.message[:longest],
        since=camera.since if camera.changed else "",  # the API server refuses what is no time
        detecting=camera.detecting,
        replica=camera.replica,
    )


def _by_name(items: Iterable[Json] | None) -> dict[str, Json]:
    return {item["name"]: item for item in items or ()}


def _present(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value not in ("", [], None)}
