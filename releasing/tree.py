"""The source tree that is released: its version, its commit, its files."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
OWN: Final = "edgedetector/"
"""How the images of this repository are named: `edgedetector/NAME:VERSION`."""


class ReleaseError(Exception):
    """A release cannot be made; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What is released. `epoch` is the commit's time in seconds since 1970, which all archives bear.

    `dirty`: something differs from the commit. A file that git does not know counts, since images copy whole folders.
    """

    root: Path
    version: str
    commit: str
    epoch: int
    dirty: bool


def read(root: Path = ROOT) -> Tree:
    """Return the tree; ReleaseError if it is no git checkout, or if its version cannot be released."""
    version = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(
            f"pyproject.toml: version {version} is not MAJOR.MINOR.PATCH, which chart, wheel and krew share"
        )
    commit, epoch = _git(root, "log", "-1", "--format=%H %ct").split()
    changes = _git(root, "status", "--porcelain", "--untracked-files=normal")
    return Tree(root, version, commit, int(epoch), bool(changes))


def disagreements(root: Path, version: str) -> list[str]:
    """Return where the tree says another version than `version`, a line each."""
    chart = yaml.safe_load((root / "charts/edgedetector/Chart.yaml").read_text())
    said = {
        "pyproject.toml, version": str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]),
        "charts/edgedetector/Chart.yaml, version": str(chart["version"]),
        "charts/edgedetector/Chart.yaml, appVersion": str(chart["appVersion"]),
    }
    for path, image in profile_images(root):
        if image.startswith(OWN):
            said[f"{path.relative_to(root)}, {image.partition(':')[0]}"] = image.partition(":")[2]
    return [f"{place}: {other}" for place, other in said.items() if other != version]


def profile_images(root: Path) -> list[tuple[Path, str]]:
    """Return the images that the shipped accelerator profiles name, each with the profile's file."""
    found = []
    for path in sorted((root / "operator/edgedetector/profiles").glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        found += [
            (path, spec[part]["image"]) for part in ("triton", "media", "exporter") if "image" in spec.get(part, {})
        ]
    return found


def copy(tree: Tree, target: Path) -> None:
    """Copy the files that git knows to `target`, as they are now, and no others."""
    for name in _git(tree.root, "ls-files", "-z").split("\0"):
        source = tree.root / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"a release is made from a git checkout: {done.stderr.strip()}")
    return done.stdout.strip()
