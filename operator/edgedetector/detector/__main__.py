"""Command line of the pod's steps: `prepare` before Triton starts, `fetch` and `run` or `verify` beside it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from edgedetector.api import names
from edgedetector.detector.fetching import fetch
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths


def main() -> int:
    """Run one step and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgedetector.detector", description=__doc__)
    parser.add_argument("step", choices=("prepare", "fetch", "run", "verify"))
    parser.add_argument("--own", action="store_true", help="fetch: the volume with the fetched files is this pod's")
    parser.add_argument("--root", type=Path, default=Path("/"), help="look for all files below this directory")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    paths = Paths.under(options.root)
    if options.step == "prepare":
        return prepare(paths)
    if options.step == "fetch":
        # At once: a transfer that is cut off is begun anew, and the first process of a container needs a handler.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        fetch(paths, socket.gethostname(), own=options.own)
    if options.step == "verify":
        from edgedetector.detector.verification.program import verify  # noqa: PLC0415 - as below

        code = verify(paths, os.environ, options.root / names.FILE_TERMINATION_LOG)
        logging.shutdown()
        os._exit(code)
    from edgedetector.detector.run import run  # noqa: PLC0415 - video and gRPC libraries take a second to import

    code = run(paths, os.environ)
    logging.shutdown()
    # Not sys.exit: threads that are inside FFmpeg or gRPC while the interpreter is taken down can abort the process,
    # and an orderly end would then look like a crash.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
