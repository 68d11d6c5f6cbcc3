"""Files that are to be applied, as a snapshot without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.cli.errors import CommandError
from edgedetector.cli.snapshot import Cluster, Object, Snapshot, Subject

STDIN: Final = "-"
MAX_FILE: Final = 16 << 20
"""Bytes; the API server takes 1.5 MiB of an object."""
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


def read(paths: Iterable[str], now: datetime) -> Snapshot:
    """Return the EdgeDetectors and profiles of files and directories; `-` is standard input.

    Raises
    ------
    CommandError
        If a file cannot be read, is no YAML, or there is no EdgeDetector in any of them.
    """
    objects = [obj for path in paths for obj in _objects(path)]
    detectors = [obj for obj in objects if _is(obj, "EdgeDetector")]
    if not detectors:
        raise CommandError(
            "there is no EdgeDetector in what was given", f"it would say apiVersion: {names.API_VERSION}"
        )
    known: dict[str, Object] = {_name(obj): obj for obj in _shipped()}
    known |= {_name(obj): obj for obj in objects if _is(obj, "AcceleratorProfile")}
    subjects = (Subject(_named(obj), profile=_profile(known, obj)) for obj in detectors)
    return Snapshot(at=now, subjects=tuple(subjects), cluster=Cluster(profiles=known), live=False)


@cache
def _shipped() -> tuple[Object, ...]:
    return profiles.load()


def _profile(known: Mapping[str, Object], obj: Object) -> Object | None:
    spec = obj.get("spec")
    return known.get(str(spec.get("acceleratorProfile"))) if isinstance(spec, Mapping) else None


def _is(obj: Object, kind: str) -> bool:
    return obj.get("kind") == kind and str(obj.get("apiVersion", "")).startswith(f"{names.GROUP}/")


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _named(obj: Object) -> Object:
    """Return an object that has the fields by which everything calls it; what is wrong with others is findings'."""
    metadata = obj.get("metadata") if isinstance(obj.get("metadata"), Mapping) else {}
    spec = obj.get("spec") if isinstance(obj.get("spec"), Mapping) else {}
    return {**obj, "metadata": {**(metadata or {}), "name": _name(obj) or "(no name)"}, "spec": spec}


def _objects(path: str) -> Iterator[Object]:
    for name, text in _texts(path):
        try:
            documents = list(yaml.safe_load_all(text))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark is not None else ""
            raise CommandError(
                f"{name}{where}: is no YAML", "correct it; templates of Helm: helm template first"
            ) from None
        for document in documents:
            yield from _flat(document)


def _flat(document: Any) -> Iterator[Object]:
    if isinstance(document, Mapping):
        items = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
            yield from (item for item in items if isinstance(item, Mapping))
        else:
            yield document


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == STDIN:
        yield "standard input", sys.stdin.read(MAX_FILE)
        return
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.suffix in _SUFFIXES) if root.is_dir() else [root]
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")[:MAX_FILE]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no text"
            raise CommandError(f"{file}: {reason}") from None
