"""The status of an EdgeDetector as it stands in the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgedetector.api import names
from edgedetector.status.cameras import LIVE
from edgedetector.status.compose import timed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.api.conditions import Condition
    from edgedetector.status.cameras import CameraView
    from edgedetector.status.view import View

Json = dict[str, Any]


def status(obj: Json, judged: Iterable[Condition], view: View | None, now: str) -> Json:
    """Return the whole status.

    Without a view (the detector could not be planned or applied) all that is known of what runs stays as it was.
    """
    before: Json = obj.get("status") or {}
    generation = obj["metadata"]["generation"]
    seen = before if view is None else _seen(view)
    head = {
        "observedGeneration": generation,
        "conditions": timed(judged, before.get("conditions") or (), generation, now),
    }
    return {**seen, **head}


def _seen(view: View) -> Json:
    live = sum(1 for camera in view.cameras if camera.state == LIVE and camera.detecting)
    workload = view.snapshot.workloads.get(names.triton(view.detector.name))
    return {
        "mode": "Suspended" if view.detector.suspend else view.detector.spec.tuning.mode,
        "replicas": workload.desired if workload else 0,
        "readyReplicas": min(workload.available, workload.desired) if workload else 0,
        "streams": f"{live}/{len(view.cameras)}",
        "serving": _serving(view),
        "models": [_model(view, model.name) for model in view.accepted.models],
        "cameras": [_camera(camera) for camera in view.cameras],
    }


def _serving(view: View) -> Json:
    models = [
        _present(
            name=model.name,
            instances=model.instances,
            maxBatchSize=model.max_batch_size,
            preferredBatchSizes=list(model.preferred_batch_sizes),
            maxQueueDelayMicroseconds=model.max_queue_delay_microseconds,
        )
        for model in view.accepted.models
    ]
    return {"id": view.accepted.id, "models": models}


def _model(view: View, name: str) -> Json:
    """Roll up over the replicas: the one that is furthest from ready says it for all."""
    found = [model for state in view.snapshot.states.values() for model in state.models if model.name == name]
    for state in ("Failed", "Loading"):
        for model in found:
            if model.state == state:
                return _present(name=name, state=state, message=model.message)
    return {"name": name, "state": "Ready" if found else "Unknown"}


def _camera(camera: CameraView) -> Json:
    return _present(
        name=camera.name,
        state=camera.state,
        reason=camera.reason,
        message=camera.message,
        since=camera.since,
        detecting=camera.detecting,
    )


def _present(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value not in ("", [], None)}
