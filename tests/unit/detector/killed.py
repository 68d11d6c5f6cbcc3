"""Code of the detector that is killed at a chosen line, as the kernel or a loss of power would: no clean-up runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import edgedetector.detector

STUCK = 20.0
"""Seconds; the work of such a child takes less than one."""
_CODE = str(Path(edgedetector.detector.__file__).parent)


def lines_of(work: Callable[[], object]) -> int:
    """Do the work and return how many lines of the detector ran for it, in all threads."""
    count = 0

    def each() -> None:
        nonlocal count
        count += 1

    _traced(work, each)
    return count


def run_killed(work: Callable[[], object], at: int) -> None:
    """Do the work in a child that is killed before its line number `at`.

    Or before some other: a lock of OpenSSL's that a thread of ours held when the child was forked is held there for
    ever, so a child that does not end is killed where it stands.
    """
    child = os.fork()
    if child:
        assert _end_of(child) in {0, -signal.SIGKILL}
        return
    left = at

    def each() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 70
    try:
        _traced(work, each)
        code = 0
    finally:
        os._exit(code)


def _end_of(child: int) -> int:
    deadline = time.monotonic() + STUCK
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _traced(work: Callable[[], object], each: Callable[[], None]) -> None:
    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_CODE):
            return None
        if event == "line":
            each()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    threading.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
