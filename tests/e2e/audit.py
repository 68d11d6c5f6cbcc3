"""The API server's audit log: who asked for what, and when.

One line of JSON a request, written when it is answered (`omitStages: [RequestReceived]`). What an object's
`resourceVersion` cannot tell stands here: who wrote, and that a write which changed nothing was sent at all.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "apply", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered request."""

    user: str
    verb: str
    """Kubernetes' own word: get, list, watch, create, update, patch, apply, delete, deletecollection."""
    resource: str
    """Plural with its subresource: "deployments", "edgedetectors/status"."""
    namespace: str
    name: str
    code: int
    received: datetime
    answered: datetime

    @property
    def is_write(self) -> bool:
        """Whether it asked for a change; it may have been refused, or have changed nothing."""
        return self.verb in WRITES

    def __str__(self) -> str:
        return f"{self.user} {self.verb} {self.resource} {self.namespace}/{self.name}: {self.code}"


class Log:
    """A growing audit log, read from where it was read last."""

    def __init__(self, file: Path, *, from_end: bool = False) -> None:
        self._file = file
        self._offset = file.stat().st_size if from_end and file.exists() else 0

    def new(self) -> Iterator[Entry]:
        """Yield what has been answered since the last call. A file that was begun anew is read from its start."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            if file.seek(0, 2) < self._offset:
                self._offset = 0
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    return
                self._offset += len(line)
                if (entry := parse(line)) is not None:
                    yield entry


def node_log() -> Path:
    """Return the audit log of the node that the end-to-end tests run on."""
    return Path(os.environ.get("EDGEDETECTOR_STATE", "/var/lib/edgedetector-node")) / "edgedetector" / "audit.log"


def parse(line: bytes | str) -> Entry | None:
    """Read a line; None for what is no request for an object (health, discovery), or not yet answered."""
    found = json.loads(line)
    reference, answer = found.get("objectRef"), found.get("responseStatus")
    if not reference or not answer or found["stage"] not in {"ResponseComplete", "ResponseStarted", "Panic"}:
        return None
    subresource = f"/{reference['subresource']}" if "subresource" in reference else ""
    return Entry(
        user=found["user"]["username"],
        verb=found["verb"],
        resource=reference["resource"] + subresource,
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=answer.get("code", 0),
        received=_time(found["requestReceivedTimestamp"]),
        answered=_time(found["stageTimestamp"]),
    )


def writes(entries: Iterable[Entry], *identities: str) -> Counter[str]:
    """Count the writes of these identities by "user verb resource namespace/name".

    An identity that ends with a colon is a prefix: "system:serviceaccount:edgedetector-system:" means every
    ServiceAccount of that namespace. None named: everybody.
    """
    return Counter(
        f"{entry.user} {entry.verb} {entry.resource} {entry.namespace}/{entry.name}"
        for entry in entries
        if entry.is_write and (not identities or any(_is(entry.user, identity) for identity in identities))
    )


def service_account(namespace: str, name: str = "") -> str:
    """Return the identity of a ServiceAccount, or of all of a namespace."""
    return f"system:serviceaccount:{namespace}:{name}"


def _is(user: str, identity: str) -> bool:
    return user.startswith(identity) if identity.endswith(":") else user == identity


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
