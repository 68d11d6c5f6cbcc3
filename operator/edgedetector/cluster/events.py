"""Events that people see under `kubectl describe`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from edgedetector.api.conditions import Condition

# What the API server lets a note hold, in bytes; a character has up to four.
_MAX_NOTE: Final = 1024 // 4
# Events of cluster-scoped objects go to this namespace by convention.
_CLUSTER_SCOPED: Final = "default"


def event(
    obj: dict[str, Any], condition: Condition, *, warning: bool, now: datetime, instance: str, salt: random.Random
) -> dict[str, Any]:
    """Return the Event that a condition has a new status or reason."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "")
    note = condition.message or condition.reason
    regarding = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": metadata["name"],
        "namespace": namespace,
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{salt.getrandbits(64):016x}",
            "namespace": namespace or _CLUSTER_SCOPED,
        },
        "regarding": {key: value for key, value in regarding.items() if value},
        "reason": condition.reason,
        "note": note if len(note.encode()) <= _MAX_NOTE * 4 else note[: _MAX_NOTE - 3] + "...",
        "type": "Warning" if warning else "Normal",
        "action": condition.type,
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": instance[:128],
    }
