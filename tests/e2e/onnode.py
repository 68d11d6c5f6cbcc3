"""Processes of pods, as the node sees them: for what nobody may do to them from inside."""

from __future__ import annotations

import subprocess
from typing import Any, Final

import pytest

import cluster as driver

_KILL: Final = """
for directory in /proc/[0-9]*; do
    if grep -q "$POD" $directory/cgroup 2>/dev/null &&
        tr '\\0' ' ' <$directory/cmdline 2>/dev/null | grep -q -e "$PROGRAM"; then
        kill -KILL ${directory#/proc/} 2>/dev/null && echo killed
    fi
done
:
"""


_KILL_OF_NODE: Final = """
for directory in /proc/[0-9]*; do
    if [ "$(cat $directory/comm 2>/dev/null)" = "$PROGRAM" ]; then
        kill -KILL ${directory#/proc/} 2>/dev/null && echo killed
    fi
done
:
"""


def kill_of_node(program: str) -> None:
    """End a program of the node itself at once, such as the kubelet; `revive` starts it again."""
    if driver.existing():
        pytest.skip("the node's processes are not ours")
    node = [str(driver.kind_executable()), "exec", "--name", driver.NAME, "--"]
    command = [*node, "env", f"PROGRAM={program}", "sh", "-uc", _KILL_OF_NODE]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert "killed" in done.stdout, f"no {program} on the node"


def revive() -> None:
    """Start what has died of the node itself."""
    kubeconfig = ["--kubeconfig", str(driver.kubeconfig())]
    subprocess.run([str(driver.kind_executable()), "create", "cluster", "--name", driver.NAME, *kubeconfig], check=True)


def kill(pod: dict[str, Any], program: str) -> None:
    """End each process of a pod at once whose command line has these words, as the kernel does when memory is short."""
    if driver.existing():
        pytest.skip("the node's processes are not ours")
    # The kubelet has two ways to write a pod's UID into the name of its control group.
    uid = pod["metadata"]["uid"].replace("-", "[-_]")
    node = [str(driver.kind_executable()), "exec", "--name", driver.NAME, "--"]
    command = [*node, "env", f"POD={uid}", f"PROGRAM={program}", "sh", "-uc", _KILL]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert "killed" in done.stdout, f"no {program} in {pod['metadata']['name']}"
