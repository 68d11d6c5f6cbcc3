"""What CHANGELOG.md says of one release."""

from __future__ import annotations

import re
from dataclasses import dataclass

from releasing.tree import ReleaseError

_HEADING = re.compile(r"^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One release. `date` is empty as long as it is not out; `changes` are sentences, without the list's hyphens."""

    version: str
    date: str
    changes: tuple[str, ...]


def parse(text: str) -> list[Entry]:
    """Return the releases in the order of the file.

    Raises
    ------
    ReleaseError
        A heading is not `## MAJOR.MINOR.PATCH (YYYY-MM-DD)` (or `unreleased`), only the first may be unreleased, and
        versions go down.
    """
    wrong = [line for line in text.splitlines() if line.startswith("## ") and not _HEADING.fullmatch(line)]
    if wrong:
        raise ReleaseError(f"CHANGELOG.md: {wrong[0]!r} should be '## 0.1.0 (2026-11-23)', or (unreleased)")
    pieces = _HEADING.split(text)[1:]
    entries = [
        Entry(version, "" if date == "unreleased" else date, tuple(_items(body)))
        for version, date, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    ]
    if any(not entry.date for entry in entries[1:]):
        raise ReleaseError("CHANGELOG.md: only the first release may be unreleased")
    order = [_number(entry.version) for entry in entries]
    if order != sorted(set(order), reverse=True):
        raise ReleaseError("CHANGELOG.md: the newest release comes first, and each once")
    return entries


def entry(text: str, version: str) -> Entry:
    """Return what is said of `version`; ReleaseError if nothing is."""
    for found in parse(text):
        if found.version == version and found.changes:
            return found
    raise ReleaseError(f"CHANGELOG.md says nothing of {version}: add '## {version} (unreleased)' with its changes")


def _items(body: str) -> list[str]:
    """Return the items of a list; what is indented below one belongs to it."""
    return [" ".join(item.split()) for item in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
