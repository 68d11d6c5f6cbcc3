"""What we are compared with, in an environment of its own below the cache: never in the product's lock or images.

* OpenCV 4.11 and tritonclient with HTTP (Apache-2.0, BSD-3-Clause).
* ffmpeg: the static build of the wheel imageio-ffmpeg. Built with x264 and x265, hence GPL: run here as a program on
  its own, linked with nothing and shipped nowhere. `EDGEDETECTOR_BENCH_FFMPEG` names another.
* perf_analyzer (BSD-3-Clause): the wheels of `perf-analyzer` need glibc 2.38, newer than Debian 12's; up to 2.60
  tritonclient's wheel holds the same program, 2.51.0 that of Triton 24.10. It is linked with libb64 and libcudart,
  which lie in the tritonserver that is measured.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.calibration import tritonserver

OTHERS = (
    "imageio-ffmpeg==0.6.0",
    "numpy==1.26.4",
    "opencv-python-headless==4.11.0.86",
    "tritonclient[http]==2.60.0",
)
PERF_ANALYZER = "tritonclient==2.51.0"


@dataclass(frozen=True)
class Analyzer:
    """A perf_analyzer that runs here."""

    binary: Path
    libraries: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}


@functools.cache
def python() -> Path:
    """Return the interpreter that has what the others need, installed on first use."""
    return environment(OTHERS) / "bin" / "python"


@functools.cache
def ffmpeg() -> str:
    """Return the path of ffmpeg."""
    code = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    return os.environ.get("EDGEDETECTOR_BENCH_FFMPEG") or _output([str(python()), "-c", code])


def ffmpeg_version() -> str:
    """Return ffmpeg's version as it says it."""
    return _output([ffmpeg(), "-version"]).split(" Copyright")[0]


def analyzer() -> Analyzer | None:
    """Return perf_analyzer; None where it cannot run, for example on arm64 (its wheel for that has no program)."""
    home = environment((PERF_ANALYZER,), dependencies=False)
    binary, libraries = home / "bin" / "perf_analyzer", home / "borrowed"
    installed = tritonserver.prepare() / "lib"
    libraries.mkdir(exist_ok=True)
    for name in ("libb64.so.0d", "libcudart.so.12"):
        stem, _, suffix = name.partition(".")
        for library in installed.glob(f"{stem}-*.{suffix}*"):
            link = libraries / name
            link.unlink(missing_ok=True)
            link.symlink_to(library)
    found = Analyzer(binary, libraries, PERF_ANALYZER.partition("==")[2])
    try:
        subprocess.run([binary, "--version"], env=found.environment, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found


def environment(packages: tuple[str, ...], *, dependencies: bool = True) -> Path:
    """Make a virtual environment with these packages, whole or not at all, and return its directory."""
    digest = hashlib.sha256("\n".join((sys.version, *packages)).encode()).hexdigest()[:12]
    home = tritonserver.CACHE / f"bench-{digest}"
    done = home / "complete"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = str(max(tritonserver.CACHE.glob("uv-*/bin/uv")))  # made by hack/bootstrap.sh
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        options = ["--quiet", "--python", str(home / "bin" / "python"), *([] if dependencies else ["--no-deps"])]
        subprocess.run([uv, "pip", "install", *options, *packages], check=True)
        done.touch()
    return home


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
