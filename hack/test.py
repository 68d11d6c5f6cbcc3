"""`make test`: everything, each stage with its name, its time and its wall budget. `.ci/run` calls this."""

from __future__ import annotations

import os
import sys

import cluster
from demo import IMAGES, prepare_stages
from stages import ROOT, Runner, Stage, main

# The whole budget grows only by decision: 60 min with cold builds, the checks and the end-to-end tests included.
BUDGET_SECONDS = 3600.0
TEST_IMAGES = ("emulated-triton", "emulated-exporter")


def test() -> int:
    """Run the whole."""
    runner = Runner("make test", budget=BUDGET_SECONDS)
    python, venv = sys.executable, str(ROOT / ".venv" / "bin" / "python")
    own_node = not cluster.existing()

    def body() -> None:
        runner.run([Stage("bootstrap", ["hack/bootstrap.sh"], 240)])
        prepare = prepare_stages()
        stages = [
            *prepare,
            Stage("lint", ["make", "lint"], 120, needs=("images",)),
            # Beside compilers a deadline of a unit test may pass by chance: what fails has to pass alone, and is named.
            Stage("unit tests", ["sh", "-c", "make unit || make unit-again"], 600, needs=("images",), show=True),
            Stage("test images", [python, "images/build.py", *IMAGES, *TEST_IMAGES], 300, needs=("images",)),
        ]
        if own_node:
            up = [python, str(cluster.NODE / "monitoring.py"), "up"]
            stages.append(Stage("monitoring", up, 900, needs=("cluster",)))
        runner.run(stages)
        pytest = [venv, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--durations=15"]
        runner.run([Stage("API server", [*pytest, "tests/bare", "tests/faults"], 600, show=True)])
        runner.run([Stage("end to end", [*pytest, "tests/e2e"], 1800, show=True)])
        runner.run([Stage("tritonserver", [*pytest, "-m", "tritonserver", "tests/unit"], 180)])
        if own_node and os.environ.get("KEEP") != "1":
            runner.run([Stage("down", ["make", "down"], 120)])

    return main(runner, body)


if __name__ == "__main__":
    sys.exit(test())
