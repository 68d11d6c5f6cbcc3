"""Ports of pods: what kubectl prints and does becomes a port or one of our errors.

A real port-forward needs a kubelet: the end-to-end tests have one. Here kubectl is a program of the tests' own, in a
directory of its own that is first in the PATH.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import cast

import pytest

from edgedetector.cli.errors import AbsentError, CommandError, ForbiddenError, UnreachableError
from edgedetector.cli.pods import forward
from edgedetector.cli.server import Place, Server

LISTENS = """
import http.server, json, pathlib, sys, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("Handling connection for 1", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"pod")
    def log_message(self, *_): ...
pathlib.Path({notes!r}).write_text(json.dumps([os.getpid(), os.getpgid(0), sys.argv[1:]]))
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"Forwarding from 127.0.0.1:{{server.server_port}} -> 9090", flush=True)
server.serve_forever()
"""


def kubectl(directory: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = directory / "kubectl"
    program.write_text(f"#!{sys.executable}\n{code.format(notes=str(directory / 'notes'))}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)
    return directory / "notes"


PLACE = Place(cast("Server", None), "site", "/some/config", "edge")


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_port_is_there_for_as_long_as_the_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = kubectl(tmp_path, LISTENS, monkeypatch)

    with forward(PLACE, "site", "yard-triton-1", 9090) as url, urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"pod"
        pid, group, arguments = json.loads(notes.read_text())
        assert not ended(pid)

    assert ended(pid)
    assert group != os.getpgid(0)  # so that Ctrl-C leaves it alone
    assert arguments == [
        *("--kubeconfig", "/some/config", "--context", "edge", "--namespace", "site", "port-forward"),
        *("pod/yard-triton-1", ":9090", "--address", "127.0.0.1"),
    ]


def test_it_ends_with_a_block_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = kubectl(tmp_path, LISTENS, monkeypatch)

    with pytest.raises(KeyboardInterrupt), forward(PLACE, "site", "yard-triton-1", 9090):
        raise KeyboardInterrupt

    assert ended(json.loads(notes.read_text())[0])


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        ('Error from server (NotFound): pods "x" not found', AbsentError, "there is no pod x in namespace site"),
        (
            'Error from server (Forbidden): pods "x" is forbidden: User "viewer" cannot get resource "pods"',
            ForbiddenError,
            "right to create pods/portforward in namespace site",
        ),
        (
            'error: error upgrading connection: pods "x" is forbidden: User "v" cannot create it',
            ForbiddenError,
            "right to create pods/portforward",
        ),
        (
            "error: unable to forward port because pod is not running. Current status=Pending",
            UnreachableError,
            "Current status=Pending; see `kubectl -n site get pod x`",
        ),
        ("", UnreachableError, "without a word"),
    ],
)
def test_what_kubectl_refuses_is_one_of_our_errors(
    said: str, error: type[CommandError], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl(tmp_path, f"import sys\nprint({said!r}, file=sys.stderr)\nsys.exit(1)", monkeypatch)

    with pytest.raises(error, match=told), forward(PLACE, "site", "x", 9090):
        pytest.fail("there is no port")


def test_a_kubectl_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl(tmp_path, "import signal\nsignal.pause()", monkeypatch)
    monkeypatch.setattr("edgedetector.cli.pods.START", 0.5)

    with pytest.raises(UnreachableError, match="kubectl cluster-info"), forward(PLACE, "site", "x", 9090):
        pytest.fail("there is no port")


def test_without_kubectl_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CommandError, match="kubectl is not in the PATH"), forward(PLACE, "site", "x", 9090):
        pytest.fail("there is no port")
