"""The starter in krew's archive finds a Python that fits, or says in a line what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from releasing import launcher

# Runs the starter as another version would; what it hands over to are programs of the PATH.
AS_ANOTHER = """
import runpy, sys
sys.version_info = (3, 9, 2)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """The starter, without libraries beside it."""
    return Path(shutil.copy(Path(launcher.__file__), tmp_path / "kubectl-edgedetector"))


def run(*command: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-I", *map(str, command)]
    return subprocess.run(whole, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_another_python_hands_over_to_the_newest_that_fits(starter: Path, tmp_path: Path) -> None:
    for name in ("python3.8", "python3.11", "python3.12", "python3.99"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "${0##*/} $*"\n')
        program.chmod(0o755)
    done = run("-c", AS_ANOTHER, starter, "status", "-w", path=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"python3.12 {starter} status -w\n")


def test_without_any_that_fits_it_says_which_are_wanted(starter: Path, tmp_path: Path) -> None:
    done = run("-c", AS_ANOTHER, starter, path=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: kubectl edgedetector needs Python 3.11 to 3.14 in the PATH, this is 3.9: install one of them\n"
    )


def test_libraries_of_another_system_are_a_line_and_no_traceback(starter: Path, tmp_path: Path) -> None:
    # An interpreter without site-packages, since that of the tests has ours.
    done = run("-S", starter, path=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: No module named")
    assert done.stderr.count("\n") == 1
    assert "pip install 'edgedetector[cli]'" in done.stderr
