"""What the images and the archives of the command line consist of, and under which licence."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from releasing import plugin
from releasing.sbom import Part
from releasing.tree import ROOT, ReleaseError

IMAGES: Final = str(ROOT / "images")
sys.path.append(IMAGES)  # its scripts import each other as they do when they run
import licences  # noqa: E402
import parts as images  # noqa: E402

sys.path.remove(IMAGES)

BASE: Final = "Debian base"
"""As the report calls what lies below, whose licences are Debian's own files."""


def terms() -> licences.Terms:
    """Return which licences are known and accepted."""
    return licences.parse(licences.TABLE.read_text())


def of_image(saved: Path) -> tuple[list[Part], list[Part]]:
    """Return the parts of an image above its base, and those of the base; ReleaseError for a licence not accepted."""
    above, below = images.read_all(saved)
    return _licensed(above), [Part(part.kind, part.name, part.version) for part in below]


def of_plugin(folders: Iterable[Mapping[str, Path]]) -> list[Part]:
    """Return the libraries in the archives of all platforms; ReleaseError for a licence not accepted."""
    found = {
        images.distribution(library.metadata.read_text(encoding="utf-8"))
        for by_python in folders
        for folder in by_python.values()
        for library in plugin.libraries(folder).values()
    }
    return _licensed(found)


def report(rows: Mapping[str, Iterable[Part]]) -> str:
    """Return the licence report, tab separated: of what, kind, name, version, licence."""
    lines = ["of\tkind\tname\tversion\tlicence"]
    for name, parts in rows.items():
        for part in sorted(parts):
            inside = f"{part.home}/{part.name}" if part.home else part.name
            licence = part.licence or "see /usr/share/doc/*/copyright in the image"
            lines.append(f"{name}\t{part.kind}\t{inside}\t{part.version}\t{licence}")
    return "\n".join(lines) + "\n"


def architecture() -> str:
    """Return Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _licensed(found: Iterable[images.Part]) -> list[Part]:
    known, listed = terms(), list(found)
    wrong = licences.check(listed, known)
    if wrong:
        raise ReleaseError("licences: " + "; ".join(wrong))
    return [Part(one.kind, one.name, one.version, one.home, licences.licence(one, known)) for one in listed]
