"""Merges image archives (as `docker save` writes them) into one in which a layer that several images share lies once.

A node imports every archive in full before it sees which layers it has already, so one archive without repetitions is
quicker than one an image.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MANIFEST = "manifest.json"
LEGACY_INDEX = "repositories"
"""What Docker before 1.10 read instead of the manifest; no reader of a bundle does."""


def merge(archives: Sequence[Path], target: Path) -> None:
    """Write `target`. Equal names are equal content: Docker names configurations and layers after their hashes."""
    part = target.with_suffix(f".part{os.getpid()}")
    manifests: list[Any] = []
    seen: set[str] = set()
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as merged:
            for archive in archives:
                with tarfile.open(archive, "r:") as source:
                    manifests += _copy(source, merged, seen)
            text = json.dumps(manifests).encode()
            member = tarfile.TarInfo(MANIFEST)
            member.size = len(text)
            merged.addfile(member, io.BytesIO(text))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: tarfile.TarFile, merged: tarfile.TarFile, seen: set[str]) -> list[Any]:
    """Copy what is not `seen` yet, and return the source's manifest entries."""
    manifests: list[Any] = []
    for member in source:
        content = source.extractfile(member) if member.isfile() else None
        if member.name == MANIFEST and content is not None:
            manifests = json.load(content)
        elif member.name not in seen and member.name != LEGACY_INDEX:
            seen.add(member.name)
            merged.addfile(member, content)
    return manifests
