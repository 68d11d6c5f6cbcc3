"""The images of a release: built by images/build.py, then written as OCI layouts."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from releasing import inventory, oci, tools
from releasing.tree import ROOT, ReleaseError, Tree

PINS: Final = ROOT / "releasing" / "pins.toml"
ARCHITECTURES: Final = ("amd64", "arm64")
"""For which EdgeDetector is made."""


@dataclass(frozen=True, slots=True)
class Build:
    """An image that was written. `saved` is the archive of the builder."""

    name: str
    layout: oci.Layout
    saved: Path


def saved() -> dict[str, Path]:
    """Build the published images if they are not in the cache; name -> archive, as `docker save` writes it."""
    published = inventory.terms().published
    done = tools.run([sys.executable, str(ROOT / "images" / "build.py"), *published])
    return {name: Path(entry["archive"]) for name, entry in json.loads(done.splitlines()[-1]).items()}


def write(tree: Tree, archives: dict[str, Path], output: Path, scratch: Path) -> list[Build]:
    """Write a layout for each archive into `output`."""
    output.mkdir()
    scratch.mkdir()
    found = []
    for name, archive in sorted(archives.items()):
        target = output / f"{name}-{tree.version}.oci.tar"
        found.append(Build(name, oci.convert(archive, tree.version, target, scratch, tree.epoch), archive))
    return found


def missing(built: list[Build]) -> list[str]:
    """Return which images are not in the release, and why, a sentence each."""
    here = inventory.architecture()
    there = {build.layout.platform.rpartition("/")[2] for build in built}
    return [
        f"images for {one}: the builder makes those of its own machine ({here}) and emulates no other; run this on one"
        for one in ARCHITECTURES
        if one not in there
    ]


def pins(path: Path = PINS) -> dict[str, str]:
    """Return the digests of images of others; ReleaseError for what is none."""
    try:
        found = tomllib.loads(path.read_text()).get("images")
    except tomllib.TOMLDecodeError as error:
        raise ReleaseError(f"releasing/{path.name} is no TOML: {error}; names and digests stand in quotes") from None
    if not isinstance(found, dict):
        raise ReleaseError(f"releasing/{path.name} has no table [images]: put the digests below such a line")
    for name, digest in found.items():
        if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise ReleaseError(f"releasing/{path.name}: {name} has {digest!r} instead of sha256: and 64 digits")
    return found
