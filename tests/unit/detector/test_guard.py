"""A stage that fails ends the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgedetector.detector.guard import Guard

PROGRAM = """
import logging, sys
from edgedetector.detector.guard import Guard
logging.basicConfig(format="%(message)s")
guard = Guard()
guard.start("healthy", guard.stop.wait)
guard.start("broken", {stage})
sys.exit(guard.wait())
"""


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("lambda: 1 / 0", ["stage broken failed", "Traceback", "ZeroDivisionError"]),
        ("lambda: sys.exit(0)", ["stage broken failed", "SystemExit"]),
        ("lambda: None", ["stage broken ended unexpectedly"]),
    ],
)
def test_the_process_ends_with_1_and_says_which_stage(stage: str, expected: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stage=stage)], stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    for words in expected:
        assert words in done.stderr


def test_a_stage_of_a_camera_may_end() -> None:
    guard = Guard()
    guard.start("read:gate", lambda: None, essential=False).join()
    assert not guard.stop.is_set()


def test_an_orderly_end_is_0() -> None:
    guard = Guard()
    thread = guard.start("serving", lambda: guard.stop.wait() and None)
    guard.stop.set()
    thread.join()
    assert guard.wait() == 0
