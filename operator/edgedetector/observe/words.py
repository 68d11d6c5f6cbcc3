"""From the words of scheduler, kubelet, Triton and our own pods to a reason and one line that names the cause. Pure.

What helps is not said here: that depends on the detector and its profile, which `status.remedies` knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions
from edgedetector.api.dataplane import LastWords
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.observe.snapshot import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

# A condition's message is read by people: the beginning of a long text carries the cause.
MAX_WORDS: Final = 400

# Exit code of a process that SIGBUS ended (128 + 7): it touched shared memory for which there was no room.
BUS_ERROR: Final = 135

# Times, random names and addresses: what differs at every try would make the same problem look new every time.
_CHANGING: Final = re.compile(
    r"\b\d{4}-\d\d-\d\dT[\d:.]+Z?\b|\b0x[0-9a-f]{6,}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|(?<=_shm_region_)[\w-]+"
)
_PREEMPTION: Final = re.compile(r" (?:no new claims to deallocate|preemption: )")  # how it is not to be helped
# Extended resources alone: cpu and memory have no slash.
_INSUFFICIENT: Final = re.compile(r"Insufficient ([a-z0-9.-]+/[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What words mean: `cause` is said instead of them, filled from the pattern's groups; empty: the words as are."""

    pattern: re.Pattern[str]
    reason: str
    cause: str = ""


def _meaning(pattern: str, reason: str, cause: str = "") -> _Meaning:
    return _Meaning(re.compile(pattern, re.IGNORECASE), reason, cause)


# Of objects that a pod needs, in the words of scheduler and kubelet (1.30-1.35).
_OBJECTS: Final = (
    _meaning(
        r'persistentvolumeclaim "(?P<name>[^"]+)" not found',
        conditions.REASON_VOLUME_CLAIM_MISSING,
        "PersistentVolumeClaim {name} does not exist",
    ),
    _meaning(
        r"unbound immediate PersistentVolumeClaims|didn't find available persistent volumes to bind",
        conditions.REASON_VOLUME_CLAIM_UNBOUND,
        "a PersistentVolumeClaim is not bound to any volume",
    ),
    _meaning(r'secret "(?P<name>[^"]+)" not found', conditions.REASON_SECRET_MISSING, "Secret {name} does not exist"),
    _meaning(
        r"couldn't find key (?P<key>\S+) in Secret [^/\s]+/(?P<name>[^\s,;]+)",
        conditions.REASON_SECRET_MISSING,
        "Secret {name} has no key {key}",
    ),
    _meaning(
        r"references non-existent secret key: (?P<key>[^\s,;]+)",
        conditions.REASON_SECRET_MISSING,
        "a Secret has no key {key}",
    ),
    _meaning(
        r'configmap "(?P<name>[^"]+)" not found', conditions.REASON_CONFIG_MISSING, "ConfigMap {name} does not exist"
    ),
    _meaning(
        r"couldn't find key (?P<key>\S+) in ConfigMap [^/\s]+/(?P<name>[^\s,;]+)",
        conditions.REASON_CONFIG_MISSING,
        "ConfigMap {name} has no key {key}",
    ),
    _meaning(
        r"references non-existent config key: (?P<key>[^\s,;]+)",
        conditions.REASON_CONFIG_MISSING,
        "a ConfigMap has no key {key}",
    ),
    _meaning(
        r"failed to prepare subPath for volumeMount",
        conditions.REASON_MODEL_FILE_MISSING,
        "the volume has no directory of the model's path",
    ),
)

# Of what a program met, in the words of Triton, its backends and the C library.
_CAUSES: Final = (
    _meaning(
        r"--shm-size|/dev/shm\S*.{0,80}No space left|No space left.{0,80}/dev/shm|shared memory.{0,300}No space left"
        r"|Bus error",
        conditions.REASON_SHARED_MEMORY_TOO_SMALL,
    ),
    _meaning(
        r"(?:Permission denied|Operation not permitted|EACCES|EPERM).{0,80}(?P<device>/dev/(?!shm)[\w/.-]+)"
        r"|(?P<device_>/dev/(?!shm)[\w/.-]+).{0,80}(?:Permission denied|Operation not permitted|EACCES|EPERM)",
        conditions.REASON_DEVICE_NOT_ACCESSIBLE,
    ),
)


def line(text: str) -> str:
    """Return one line without what differs at every try."""
    words = _CHANGING.sub("", " ".join(text.split()))
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 3] + "..."


def of_scheduler(text: str) -> Problem:
    """Return why no node takes a pod."""
    words = _PREEMPTION.split(line(text or "no node fits"))[0].rstrip(". ")
    lacking = tuple(dict.fromkeys(_INSUFFICIENT.findall(text)))
    reason, cause = _meant(_OBJECTS, words, conditions.REASON_UNSCHEDULABLE)
    return Problem(reason, cause, lacking)


def of_objects(text: str, reason: str) -> Problem:
    """Return what the kubelet lacks to start a container; `reason` if its words are not known."""
    return Problem(*_meant(_OBJECTS, line(text), reason))


def of_program(text: str, reason: str) -> Problem:
    """Return what a program complains of; `reason` if its words are not known."""
    words = line(text)
    # The cause may stand behind what a condition has room for.
    found, _ = _meant(_CAUSES, " ".join(text.split()), reason)
    return Problem(found, words)


def of_last_words(text: str) -> Problem | None:
    """Return what one of our containers said of a model's files before it ended, None if it left no such document."""
    try:
        said = from_json(LastWords, text)
    except InvalidDocumentError:
        return None
    return Problem(said.reason, line(said.message)) if said.reason in conditions.MODEL_FILE_REASONS else None


def _meant(table: Iterable[_Meaning], words: str, reason: str) -> tuple[str, str]:
    for meaning in table:
        if found := meaning.pattern.search(words):
            return meaning.reason, meaning.cause.format(**found.groupdict()) if meaning.cause else words
    return reason, words
