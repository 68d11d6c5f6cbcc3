"""Command line of the pod's two steps: `prepare` before Triton starts, `run` beside it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths


def main() -> int:
    """Run one step and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgedetector.detector", description=__doc__)
    parser.add_argument("step", choices=("prepare", "run"))
    parser.add_argument("--root", type=Path, default=Path("/"), help="look for all files below this directory")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    paths = Paths.under(options.root)
    if options.step == "prepare":
        return prepare(paths)
    from edgedetector.detector.run import run  # noqa: PLC0415 - video and gRPC libraries take a second to import

    code = run(paths, os.environ)
    logging.shutdown()
    # Not sys.exit: threads that are inside FFmpeg or gRPC while the interpreter is taken down can abort the process,
    # and an orderly end would then look like a crash.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
