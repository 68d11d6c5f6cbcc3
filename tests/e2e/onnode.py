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
