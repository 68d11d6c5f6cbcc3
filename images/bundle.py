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
INDEX = "index.json"
"""The same in the OCI layout, which engines from Docker 25 on write besides."""
LEGACY_INDEX = "repositories"
"""What Docker before 1.10 read instead of the manifest; no reader of a bundle does."""


def merge(archives: Sequence[Path], target: Path) -> None:
    """Write `target`. Equal names are equal content: Docker names configurations and layers after their hashes."""
    part = target.with_suffix(f".part{os.getpid()}")
    tables: dict[str, Any] = {}
    seen = {LEGACY_INDEX}
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as merged:
            for archive in archives:
                with tarfile.open(archive, "r:") as source:
                    _copy(source, merged, seen, tables)
            for name, table in tables.items():
                text = json.dumps(table).encode()
                member = tarfile.TarInfo(name)
                member.size = len(text)
                merged.addfile(member, io.BytesIO(text))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: tarfile.TarFile, merged: tarfile.TarFile, seen: set[str], tables: dict[str, Any]) -> None:
    """Copy what is not `seen` yet; add the entries of both kinds of manifest to `tables`, by file name."""
    for member in source:
        content = source.extractfile(member) if member.isfile() else None
        if member.name == MANIFEST and content is not None:
            tables.setdefault(MANIFEST, []).extend(json.load(content))
        elif member.name == INDEX and content is not None:
            index = json.load(content)
            tables.setdefault(INDEX, {**index, "manifests": []})["manifests"].extend(index["manifests"])
        elif member.name not in seen:
            seen.add(member.name)
            merged.addfile(member, content)
