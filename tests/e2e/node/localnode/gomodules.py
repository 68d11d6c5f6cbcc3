"""The sources of Go modules: where they lie, and builds with a file of a dependency replaced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def environment() -> dict[str, str]:
    """The environment of every `go` command: static programs without this machine's paths in them."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}


def source(module_folder: Path, dependency: str) -> Path:
    """Directory of a dependency's own files in Go's module cache, downloaded first if it has to be."""
    wanted = f"{dependency}@{_required(module_folder, dependency)}"
    command = ["go", "mod", "download", "-json", wanted]
    printed = subprocess.check_output(command, cwd=module_folder, env=environment())
    return Path(json.loads(printed)["Dir"])


def patched(module_folder: Path, patches: Mapping[str, str], scratch: Path) -> Path:
    """Path of a go.mod (for `-modfile`) that takes dependencies from copies in which files are replaced.

    `patches` maps MODULE:FILE to the file, relative to `module_folder`, that takes its place.
    """
    modfile = scratch / "go.mod"
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(module_folder / name, scratch / name)
    for target, replacement in patches.items():
        dependency, _, file = target.partition(":")
        copy = scratch / dependency.replace("/", "_")
        if not copy.exists():
            # The module cache is read-only, file by file; the copy must not be.
            shutil.copytree(source(module_folder, dependency), copy, copy_function=shutil.copyfile)
            copy.chmod(0o755)
            for folder in copy.rglob("*/"):
                folder.chmod(0o755)
            replace = f"-replace={dependency}={copy}"
            subprocess.run(["go", "mod", "edit", replace, str(modfile)], env=environment(), check=True)
        shutil.copyfile(module_folder / replacement, copy / file)
    return modfile


def _required(module_folder: Path, dependency: str) -> str:
    for line in (module_folder / "go.mod").read_text().splitlines():
        words = line.split()
        if dependency in words[:2]:
            return words[words.index(dependency) + 1]
    raise LookupError(f"{dependency} is not required by {module_folder / 'go.mod'}")
