"""A real tritonserver on this machine, without container or cluster: for benchmarks and experiments."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tritonclient.grpc as triton

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
CACHE = Path(
    os.environ.get("EDGEDETECTOR_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedetector"
)
# nvidia-pytriton -> Triton: 0.7.0 is 24.10, 0.4.0 is 23.07.
PYTRITON = "0.7.0"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running tritonserver."""

    grpc: str
    """host:port"""
    process: subprocess.Popen[bytes]
    log: Path


def prepare(version: str = PYTRITON) -> Path:
    """Install tritonserver in the cache, once, with the layout of NVIDIA's image; returns its directory."""
    directory = CACHE / f"tritonserver-{version}"
    if (directory / "bin" / "tritonserver").exists():
        return directory
    partial = directory.with_name(f"{directory.name}.{os.getpid()}")
    if b"libpython3.11.so.1.0" not in subprocess.check_output(["ldconfig", "-p"]):
        subprocess.run(["apt-get", "install", "-qy", "libpython3.11"], check=True)
    pip = sorted(CACHE.glob("uv-*/bin"))  # a virtual environment with pip, made by hack/bootstrap.sh
    path = os.pathsep.join([*map(str, pip), os.environ["PATH"]])
    subprocess.run(
        ["sh", str(ROOT / "images" / "triton-layout"), version, str(partial)],
        check=True,
        env={**os.environ, "PATH": path},
    )
    # The stub sees no virtual environment, only its own directory. This interpreter's numpy is older than 2, too.
    site = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs", "cv2", "opencv_python_headless.libs"):
        if (site / name).exists():
            shutil.copytree(site / name, partial / "backends" / "python" / name)
    partial.rename(directory)
    return directory


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def backends(installation: Path, directory: Path) -> Path:
    """Make a backend directory below `directory`: python, and the emulated accelerator's dlnne."""
    target = directory / "backends"
    (target / "dlnne").mkdir(parents=True)
    (target / "python").symlink_to(installation / "backends" / "python")
    shutil.copy(ROOT / "emulator" / "backend" / "model.py", target / "dlnne")
    return target


@contextmanager
def running(
    installation: Path, directory: Path, repository: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run tritonserver on `repository` in explicit mode until the block ends; its log is in `directory`."""
    port, log = free_port(), directory / "tritonserver.log"
    command = [
        str(installation / "bin" / "tritonserver"), f"--model-repository={repository}",
        f"--backend-directory={backends(installation, directory)}", "--model-control-mode=explicit",
        "--exit-on-error=false", "--allow-http=false", "--allow-metrics=false", f"--grpc-port={port}",
        "--grpc-address=127.0.0.1", *arguments,
    ]  # fmt: skip
    # The stub's interpreter finds its standard library by the first python3 on the PATH, which must be the system's.
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": str(installation / "lib"),
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(environment or {}),
    }
    env.pop("PYTHONPATH", None)
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink)
    server = Server(f"127.0.0.1:{port}", process, log)
    try:
        _wait(server)
        yield server
    finally:
        _stop(process)


@contextmanager
def emulated_device(directory: Path, *arguments: str) -> Iterator[str]:
    """Run an emulated device until the block ends; yields its host:port, which speaks HTTP and executions."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "emulator.device",
        "-a",
        f"127.0.0.1:{port}",
        "--execute-port",
        str(port),
        *arguments,
    ]
    log = directory / "device.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the device did not start:\n{log.read_text()}") from None
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait(server: Server) -> None:
    client = triton.InferenceServerClient(server.grpc)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.is_server_ready():
                return
        except triton.InferenceServerException:
            pass
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"tritonserver did not become ready:\n{server.log.read_text()[-4000:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
