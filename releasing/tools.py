"""Programs that make parts of a release: uv and Helm, those of the repository's other make targets."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from releasing.tree import ROOT, ReleaseError, Tree

CONSTRAINTS = ROOT / "releasing" / "build-constraints.txt"


@functools.cache
def uv() -> str:
    """Return the path of uv, in the version with which the development environment is made."""
    return run([str(ROOT / "hack/bootstrap.sh"), "uv"]).splitlines()[-1]


@functools.cache
def helm() -> str:
    """Return the path of Helm, which the local cluster uses; 4, whose archives depend on their files alone."""
    return run([sys.executable, str(ROOT / "tests/e2e/node/build.py"), "helm"]).splitlines()[-1]


def run_uv(*arguments: str, folder: Path | None = None, variables: dict[str, str] | None = None) -> str:
    """Run uv with the cache of the development environment."""
    cache = str(Path(uv()).parents[2] / "uv")
    return run([uv(), *arguments], folder=folder, variables={"UV_CACHE_DIR": cache, **(variables or {})})


def run(command: Sequence[str], *, folder: Path | None = None, variables: dict[str, str] | None = None) -> str:
    """Return a command's standard output; ReleaseError with its last words if it fails."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{Path(command[0]).name} {command[1]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def wheel(tree: Tree, sources: Path, target: Path) -> Path:
    """Build the wheel of `sources` into `target`."""
    options = ["--quiet", "--out-dir", str(target), "--build-constraints", str(CONSTRAINTS), "--no-create-gitignore"]
    run_uv("build", "--wheel", *options, folder=sources, variables={"SOURCE_DATE_EPOCH": str(tree.epoch)})
    (made,) = target.glob("*.whl")
    return made
