"""Commands in a process of their own, ended from outside, with a kubectl of the tests' own: it ends with them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.cli.test_pods import LISTENS, ended, kubectl
from tests.unit.cli.worlds import ROOT
from tests.unit.media.conftest import wait_for

PROGRAM = """
import sys
from tests.unit.cli.worlds import World
from edgedetector.cli.app import Session
from edgedetector.cli.commands import main
from edgedetector.cli.server import Place
main(sys.argv[1:], obj=Session(opened=lambda _c, _x: Place(World(), "site")))
"""
HANGS = """
import json, os, pathlib, signal, sys
pathlib.Path({notes!r}).write_text(json.dumps([os.getpid()]))
signal.pause()
"""
TRACES = LISTENS.replace(
    "    def log_message",
    """    def do_POST(self):
        pathlib.Path({notes!r} + ".asked").touch()
        self.connection.recv(1 << 16)
        self.connection.recv(1)
    def log_message""",
)


@contextmanager
def inherited(hangup: signal.Handlers) -> Iterator[None]:
    """Have what is started in the block begin with this for SIGHUP, whether or not the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, hangup)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def started(*arguments: str, hangup: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator"), str(ROOT / "tests" / "e2e")])
    with inherited(hangup):
        return subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip


def noted(notes: Path) -> int:
    wait_for("kubectl", lambda: notes.exists() and notes.read_text().endswith("]"), 60)
    return int(json.loads(notes.read_text())[0])


def end(running: subprocess.Popen[str], number: signal.Signals, pid: int) -> str:
    """End the command, and see that kubectl has ended too; return what the command has printed since."""
    try:
        running.send_signal(number)
        said, _ = running.communicate(timeout=120)
        wait_for("the end of kubectl", lambda: ended(pid), 60)
    finally:
        running.kill()
        if not ended(pid):
            os.kill(pid, signal.SIGKILL)
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_page_leaves_no_kubectl_behind_that_hangs_while_it_opens_a_port(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = kubectl(tmp_path, HANGS, monkeypatch)
    with started("view", "yard", "--no-browser") as running:
        assert running.stdout is not None
        address = urlsplit(running.stdout.readline().split()[-1])
        page = http.client.HTTPConnection(address.netloc, timeout=60)
        page.request("GET", f"{address.path}live")
        page.getresponse()
        pid = noted(notes)

        said = end(running, number, pid)
        page.close()

    assert running.returncode == 0, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_trace_that_is_told_to_end_closes_its_port(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands for the pod sees its connection end with kubectl, upon which a detector ends the trace."""
    notes = kubectl(tmp_path, TRACES, monkeypatch)
    with started("trace", "yard") as running:
        pid = noted(notes)
        wait_for("the order", notes.with_name("notes.asked").exists, 60)

        said = end(running, number, pid)

    assert running.returncode == 128 + number
    assert said == ""


def test_nohup_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = kubectl(tmp_path, TRACES, monkeypatch)
    with started("trace", "yard", hangup=signal.SIG_IGN) as running:
        pid = noted(notes)
        wait_for("the order", notes.with_name("notes.asked").exists, 60)
        running.send_signal(signal.SIGHUP)

        end(running, signal.SIGTERM, pid)

    assert running.returncode == 128 + signal.SIGTERM
