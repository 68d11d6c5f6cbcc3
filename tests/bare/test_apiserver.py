"""The bare API server leaves nothing behind, however its starter ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import apiserver as bare
from tests.apiserver import ROOT, Server

STARTER = """
import json, signal, sys
from tests import apiserver
with apiserver.start() as server:
    pids = [program.pid for program in server.programs.values()]
    print(json.dumps({"pids": pids, "home": str(server.home)}), flush=True)
    signal.pause()
"""


def test_a_killed_starter_takes_the_servers_with_it(apiserver: Server) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter:
        told = json.loads(starter.stdout.readline())
        assert all(map(runs, told["pids"]))
        assert apiserver.request("GET", "/readyz") == "ok"  # two side by side
        os.kill(starter.pid, signal.SIGKILL)

    bare.until("no program is left", lambda: not any(map(runs, told["pids"])))
    with bare.start():
        assert not Path(told["home"]).exists()  # the next one cleans up


def test_a_service_account_is_who_its_kubeconfig_says(apiserver: Server) -> None:
    config = apiserver.kubeconfig_of("who", "reader")

    done = apiserver.kubectl("auth", "whoami", "-o", "json", "--kubeconfig", str(config))

    assert json.loads(done.stdout)["status"]["userInfo"]["username"] == "system:serviceaccount:who:reader"


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
