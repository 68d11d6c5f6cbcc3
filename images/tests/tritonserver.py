"""Starts a tritonserver in a build test and speaks its HTTP API. Standard library only: what the images hold."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 60.0


def free_port() -> int:
    """Return a free port; builds may share the machine's network, hence no fixed ports."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON answer, None if empty; POST when there is a body. SystemExit carries what the server said."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Poll `url` until it answers 200; the process's end or a minute is an error."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within {START_SECONDS:.0f} s")


def write_model(repository: Path, name: str, config: str, files: dict[str, str]) -> None:
    """Write one model, version 1, into a model repository."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(config)
    for file, text in files.items():
        (version / file).write_text(text)


@contextlib.contextmanager
def tritonserver(repository: Path, **environment: str) -> Iterator[str]:
    """Yield the URL (/v2) of a ready tritonserver over `repository`, models not loaded yet."""
    ports = {"http": free_port(), "grpc": free_port(), "metrics": free_port()}
    command = ["tritonserver", f"--model-repository={repository}", "--model-control-mode=explicit"]
    command += [f"--{name}-port={port}" for name, port in ports.items()]
    server = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        url = f"http://127.0.0.1:{ports['http']}/v2"
        await_answer(url + "/health/ready", server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)
