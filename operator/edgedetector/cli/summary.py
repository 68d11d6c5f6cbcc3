"""What `status` says, as a document: the JSON of `-o json`, from which the text is made too. Pure.

Its shape is described in docs/cli.md and stays: fields are added, none is renamed or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from edgedetector.api import conditions, names
from edgedetector.cli.snapshot import Gap, Object, Snapshot, Subject
from edgedetector.status.remedies import REMEDIES

Json = dict[str, Any]

VERSION: Final = "cli.edgedetector.dev/v1"
SUSPENDED: Final = "Suspended"
LIVE: Final = "Live"

_PARTS: Final = (
    *(conditions.SERVER_READY, conditions.MEDIA_READY, conditions.MODEL_READY, conditions.STREAMS_READY),
    *(conditions.OUTPUTS_DELIVERED, conditions.SHARED_MEMORY_READY, conditions.SCALING_READY),
    *(conditions.MONITORING_READY, conditions.TUNING_ACTIVE),
)
"""Conditions in the order of how much they hurt, after Ready."""


def document(kind: str, snapshot: Snapshot, **fields: Any) -> Json:
    """Return a document of the command line: its head, what the command has to say, and what was not seen."""
    head = {"apiVersion": VERSION, "kind": kind, "time": snapshot.at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {**head, **fields, "notSeen": [_gap(gap) for gap in snapshot.gaps]}


def _gap(gap: Gap) -> Json:
    return {"what": gap.what, "why": gap.why}


def status(snapshot: Snapshot) -> Json:
    """Return the document of `status`: detectors with something wrong first, then by name."""
    found = sorted((detector(subject) for subject in snapshot.subjects), key=_urgency)
    return document("Status", snapshot, operator=operator(snapshot), detectors=found)


def _urgency(one: Json) -> tuple[int, str, str]:
    order = ("Broken", "Progressing", "Degraded", "Warning", "Suspended", "Ready")
    return order.index(one["state"]), one["namespace"], one["name"]


def operator(snapshot: Snapshot) -> Json:
    """Return whether the operator runs: `known` is false for who may not see its namespace."""
    found = snapshot.cluster.operators
    if found is None:
        return {"known": False}
    running = [one for one in found if ((one.get("status") or {}).get("availableReplicas") or 0) > 0]
    first = next(iter(running or found), None)
    if first is None:
        return {"known": True, "running": False}
    labels = first["metadata"].get("labels") or {}
    return {
        "known": True,
        "running": bool(running),
        "namespace": first["metadata"]["namespace"],
        "name": first["metadata"]["name"],
        "version": labels.get("app.kubernetes.io/version", ""),
    }


def detector(subject: Subject) -> Json:
    """Return what is to be told of one EdgeDetector."""
    ready, told = subject.condition(conditions.READY), list(problems(subject))
    return {
        "namespace": subject.namespace,
        "name": subject.name,
        "state": state(subject, told),
        "ready": ready.get("status", "Unknown"),
        "reason": ready.get("reason", "Pending"),
        "message": ready.get("message", "the operator has not seen it yet"),
        "since": ready.get("lastTransitionTime", ""),
        "generation": subject.obj["metadata"].get("generation", 0),
        "observedGeneration": subject.status.get("observedGeneration", 0),
        "appliedGeneration": subject.status.get("appliedGeneration", 0),
        "problems": told,
        "serving": serving(subject),
        "cameras": cameras(subject),
        "tuning": tuning(subject),
        "capacity": capacity(subject),
    }


def state(subject: Subject, told: Iterable[Json]) -> str:
    """Return in a word how it is: Broken, Progressing, Degraded, Warning, Suspended or Ready."""
    if subject.spec.get("suspend"):
        return SUSPENDED
    if subject.condition(conditions.STALLED).get("status") == conditions.TRUE:
        return "Broken"
    if subject.condition(conditions.READY).get("status") != conditions.TRUE:
        return "Progressing"
    if subject.condition(conditions.DEGRADED).get("status") == conditions.TRUE:
        return "Degraded"
    return "Warning" if list(told) else "Ready"


def problems(subject: Subject) -> Iterator[Json]:
    """Yield the conditions that somebody has to act on, the one that Ready tells first, each thing once."""
    seen: set[tuple[str, str]] = set()
    stalled = subject.condition(conditions.STALLED)
    if stalled.get("status") == conditions.TRUE:
        seen.add((stalled.get("reason", ""), stalled.get("message", "")))
        yield _problem(stalled, conditions.READY)
    for kind in _PARTS:
        found = subject.condition(kind)
        key = (found.get("reason", ""), found.get("message", ""))
        if found.get("reason") in REMEDIES and key not in seen:
            seen.add(key)
            yield _problem(found, kind)


def _problem(found: Object, kind: str) -> Json:
    return {
        "condition": kind,
        "reason": found.get("reason", ""),
        "message": found.get("message", ""),
        "since": found.get("lastTransitionTime", ""),
    }


def serving(subject: Subject) -> Json:
    """Return replicas, and each model with the knobs that serve."""
    found = subject.status.get("serving") or {}
    knobs = {model["name"]: model for model in found.get("models") or ()}
    replicas = subject.status.get("replicas") or {}
    pods = [_pod(pod) for pod in subject.of(names.COMPONENT_TRITON)]
    return {
        "replicas": {kind: replicas.get(kind, 0) for kind in ("desired", "ready", "unschedulable")},
        "profile": subject.spec.get("acceleratorProfile", ""),
        "reason": found.get("reason", ""),
        "message": found.get("message", ""),
        "since": found.get("since", ""),
        "models": [
            {
                "name": model["name"],
                "state": model.get("state", "Unknown"),
                "message": model.get("message", ""),
                "instances": knobs.get(model["name"], {}).get("instances", 0),
                "preferredBatchSizes": knobs.get(model["name"], {}).get("preferredBatchSizes", []),
                "maxBatchSize": knobs.get(model["name"], {}).get("maxBatchSize", 0),
                "maxQueueDelay": knobs.get(model["name"], {}).get("maxQueueDelay", ""),
            }
            for model in subject.status.get("models") or ()
        ],
        "pods": [{**pod, "accelerator": _gauges(subject, pod["name"])} for pod in pods],
    }


def _pod(pod: Object) -> Json:
    status = pod.get("status") or {}
    ready: Object = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})
    restarts = sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or ())
    return {
        "name": pod["metadata"]["name"],
        "node": (pod.get("spec") or {}).get("nodeName", ""),
        "ready": ready.get("status") == "True",
        "restarts": restarts,
    }


def _gauges(subject: Subject, pod: str) -> Mapping[str, float]:
    observed = subject.observations.get(pod)
    return observed.gauges if observed is not None else {}


def cameras(subject: Subject) -> Json:
    """Return how many are live and detecting, and each camera: those that are not first."""
    found = [_camera(camera) for camera in subject.status.get("cameras") or ()]
    live = sum(1 for camera in found if camera["state"] == LIVE and camera["detecting"])
    wanted = len(subject.spec.get("cameras") or ())
    return {"live": live, "wanted": wanted, "list": sorted(found, key=lambda one: (_well(one), one["name"]))}


def _well(camera: Json) -> bool:
    return bool(camera["state"] == LIVE and camera["detecting"] and not camera["degraded"])


def _camera(camera: Object) -> Json:
    texts = ("name", "state", "reason", "message", "since", "replica", "degraded")
    return {**{key: camera.get(key, "") for key in texts}, "detecting": bool(camera.get("detecting"))}


def tuning(subject: Subject) -> Json:
    """Return where tuning stands; `last` is its last decision."""
    found = subject.status.get("tuning") or {}
    log = found.get("log") or ()
    annotations = subject.obj["metadata"].get("annotations") or {}
    return {
        "mode": (subject.spec.get("tuning") or {}).get("mode", "Auto"),
        "phase": found.get("phase", ""),
        "frozen": annotations.get(names.ANNOTATION_TUNING) == names.FROZEN,
        "message": found.get("message", ""),
        "recommendation": found.get("recommendation", ""),
        "last": dict(log[-1]) if log else None,
    }


def capacity(subject: Subject) -> Json | None:
    """Return what the box serves and what limits it, None while that is not known."""
    found = subject.status.get("capacity")
    if not found:
        return None
    return {
        "framesPerSecond": figure(found.get("framesPerSecond")),
        "demand": figure(found.get("demand")),
        "limit": found.get("limit", ""),
        "message": found.get("message", ""),
        "since": found.get("since", ""),
    }


def figure(text: Any) -> float | None:
    """Return a figure of a status, which holds them as texts; None if it is none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
