"""A Docker engine for the build: the machine's own if one answers, otherwise Debian's dockerd for as long as it takes.

The dockerd started here has no bridge, sets no iptables rule, and keeps to two directories: `store` (image layers and
the build cache, kept for speed) and `run` (socket, pid file, log; gone with `clean`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 30.0
DEBIAN_CLIENT = "/usr/bin/docker"  # has BuildKit built in; another client found first on the PATH may lack buildx
STORE_LIMIT = "12GB"
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's switch: 101 means that an installed service is not started."""


class EngineError(Exception):
    """No engine could be had, or one of its commands failed."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How to reach a Docker engine: the client's path and, for the one started here, its socket."""

    client: str
    socket: Path | None

    def environment(self) -> dict[str, str]:
        """Return the environment of every client command."""
        own = {} if self.socket is None else {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONTEXT": ""}
        merged = {**os.environ, "DOCKER_BUILDKIT": "1", **own}
        return {name: value for name, value in merged.items() if value or name not in own}

    def run(self, arguments: Sequence[str], log: Path | None = None) -> str:
        """Run a client command and return its standard output; with `log` both streams go there instead."""
        command = [self.client, *arguments]
        if log is None:
            done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise EngineError(f"docker {arguments[0]}: {done.stderr.strip()}")
            return done.stdout
        with log.open("ab") as stream:
            code = subprocess.run(command, env=self.environment(), stdout=stream, stderr=stream, check=False).returncode
        if code:
            raise EngineError(f"docker {arguments[0]} failed, see {log}:\n{failure(log.read_text(errors='replace'))}")
        return ""

    def has(self, image: str) -> bool:
        """Tell whether the engine holds `image`."""
        try:
            self.run(["image", "inspect", "--format", "{{.Id}}", image])
        except EngineError:
            return False
        return True


def failure(log: str) -> str:
    """Return what the failed step printed, from a log of `docker build --progress plain`."""
    lines = log.splitlines()
    failed = [line.split()[0] for line in lines if re.match(r"#\d+ ERROR", line)]
    printed = [line for line in lines if failed and line.startswith(failed[-1] + " ")]
    return "\n".join((printed or lines)[-40:])


@dataclass(frozen=True, slots=True)
class Places:
    """Where the engine started here may write."""

    store: Path
    run: Path

    @property
    def socket(self) -> Path:
        """Path of the engine's socket."""
        return self.run / "docker.sock"

    @property
    def pid_file(self) -> Path:
        """Path of the engine's pid file."""
        return self.run / "docker.pid"


def install(packages: Sequence[tuple[str, str]]) -> None:
    """Install the Debian packages of which the program (first of each pair) is missing."""
    missing = [package for program, package in packages if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineError(f"install these Debian packages first: {' '.join(missing)}")
    print(f"images: installing {' '.join(missing)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = ["-o", "DPkg::Lock::Timeout=600", "-q"]
    with exclusive(cache_root() / "locks" / "apt"), _services_stay_down():  # the local cluster's lock for the same
        for command in (
            ["apt-get", *lock, "update"],
            ["apt-get", *lock, "install", "-y", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise EngineError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def cache_root() -> Path:
    """Return the directory of all that is kept between runs."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGEDETECTOR_CACHE") or home / "edgedetector")


@contextlib.contextmanager
def _services_stay_down() -> Iterator[None]:
    """Keep docker.io from starting the machine's own dockerd, with its bridge and iptables rules."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of this path: one build, or one clean-up, at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"images: waiting for another process that holds {path}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def engine(places: Places) -> Iterator[Engine]:
    """Yield an engine; one that was started for it is stopped afterwards. Hold `exclusive` around it."""
    stop(places)
    places.run.mkdir(parents=True)
    try:
        client = shutil.which("docker")
        if client is not None and _answers(Engine(client, None)):
            yield _reachable(client)
        else:
            install([("dockerd", "docker.io"), (DEBIAN_CLIENT, "docker.io"), ("setpriv", "util-linux")])
            with _started(places) as own:
                yield own
    finally:
        stop(places)


def stop(places: Places) -> None:
    """End what an interrupted run may have left: a dockerd of ours, its containerd, mounts. Keeps the layer store."""
    for pid in _own_processes(places):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while left := _own_processes(places):
        if time.monotonic() > deadline + STOP_SECONDS:
            raise EngineError(f"these processes of an earlier build do not end: {left}")
        if time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for point in _mounts_below(places):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    shutil.rmtree(places.run, ignore_errors=True)


def _answers(one: Engine) -> bool:
    try:
        return bool(one.run(["version", "--format", "{{.Server.Version}}"]).strip())
    except (EngineError, OSError):
        return False


def _reachable(client: str) -> Engine:
    """Return the machine's own engine, with a client that has BuildKit."""
    if subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0:
        return Engine(client, None)
    install([(DEBIAN_CLIENT, "docker.io")])
    return Engine(DEBIAN_CLIENT, None)


@contextlib.contextmanager
def _started(places: Places) -> Iterator[Engine]:
    own = Engine(DEBIAN_CLIENT, places.socket)
    process = _start(places)
    try:
        _wait_until_up(own, process, places)
        yield own
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def _start(places: Places) -> subprocess.Popen[bytes]:
    places.store.mkdir(parents=True, exist_ok=True)
    config = places.run / "daemon.json"
    config.write_text(json.dumps({"builder": {"gc": {"enabled": True, "defaultKeepStorage": STORE_LIMIT}}}))
    command = [
        *("setpriv", "--pdeathsig", "TERM", "dockerd"),  # whatever ends this process ends the daemon
        *("--config-file", str(config), "--data-root", str(places.store), "--exec-root", str(places.run / "exec")),
        *("--pidfile", str(places.pid_file), "--host", f"unix://{places.socket}", "--log-level", "warn"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    with (places.run / "dockerd.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)


def _wait_until_up(own: Engine, process: subprocess.Popen[bytes], places: Places) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (places.socket.exists() and _answers(own)):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (places.run / "dockerd.log").read_text(errors="replace")[-3000:]
            raise EngineError(f"dockerd did not start:\n{tail}")
        time.sleep(0.05)


def _own_processes(places: Places) -> list[int]:
    """Return the engine's processes: those whose command line names something in our run directory."""
    found: list[int] = []
    marker = f"{places.run}/".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = words[0].rpartition(b"/")[2]
        if program in {b"dockerd", b"containerd", b"containerd-shim-runc-v2"} and any(marker in w for w in words[1:]):
            found.append(int(entry.name))
    return found


def _mounts_below(places: Places) -> list[str]:
    """Mount points below our directories, deepest first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    tops = (f"{places.store}/", f"{places.run}/")
    return sorted((point for point in points if point.startswith(tops)), key=len, reverse=True)
