"""Starts operators quickly: imports the operator's program once, and forks at each order.

Two thirds of the operator's start are imports, which no fault has anything to do with. Each line of standard input is
an order, {"arguments": [...], "environment": {...}, "log": PATH}; each line of standard output the process's id. What
runs in the process is `main` of `python -m edgedetector.controller`, from its first line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

from edgedetector.controller.__main__ import main

PR_SET_PDEATHSIG = 1


def serve() -> None:
    """Fork at each order until standard input ends; every child dies with this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    sys.argv = ["python -m edgedetector.controller", *order["arguments"]]  # type: ignore[misc]
    code = 1
    try:
        code = main()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
