"""`make test`: everything, each stage with its name, its time and its wall budget. `.ci/run` calls this."""

from __future__ import annotations

import os
import shlex
import sys

import cluster
from demo import IMAGES, prepare_stages
from stages import ROOT, Runner, Stage, main

# The whole budget grows only by decision: 85 min with cold builds, the checks and the end-to-end tests included.
BUDGET_SECONDS = 5100.0
TEST_IMAGES = ("emulated-triton", "emulated-exporter", "mosquitto")


def _tests(*chosen: str, side_by_side: bool = False) -> list[str]:
    """Return the command that runs them; what fails has to pass alone, and both runs are shown.

    Hundreds of tests against real processes on two shared cores: one that fails for the machine's sake and passes by
    itself is named, and does not hide what the others found. It has two tries, since what it met may not be over yet.
    Any exit code but 1 says that not all were run, and then there is no second run of some.
    """
    pytest = [str(ROOT / ".venv" / "bin" / "python"), "-m", "pytest", "--tb=short", *chosen]
    first = [*pytest, "-n", "auto"] if side_by_side else [*pytest, "-v", "--durations=15"]
    again = shlex.join([*pytest, "--last-failed", "--last-failed-no-failures=none"])
    return [
        "env",
        "HYPOTHESIS_PROFILE=repeatable",
        "sh",
        "-c",
        f"{shlex.join(first)}; code=$?; [ $code -eq 1 ] || exit $code; {again} || {again}",
    ]


def test() -> int:
    """Run the whole."""
    runner = Runner("make test", budget=BUDGET_SECONDS)
    python = sys.executable
    own_node = not cluster.existing()

    def body() -> None:
        runner.run([Stage("bootstrap", ["hack/bootstrap.sh"], 240)])
        prepare = prepare_stages()
        units = _tests("-m", "not tritonserver and not soak and not weights", "tests/unit", side_by_side=True)
        stages = [
            *prepare,
            Stage("lint", ["make", "lint"], 120, needs=("images",)),
            Stage("site", ["make", "site"], 300, needs=("images",)),
            Stage("licences", [python, "images/licences.py"], 120, needs=("images",)),
            # Beside compilers a deadline of a unit test may pass by chance: what fails has to pass alone, and is named.
            Stage("unit tests", units, 1500, needs=("images",), show=True),
            Stage("test images", [python, "images/build.py", *IMAGES, *TEST_IMAGES], 300, needs=("images",)),
        ]
        if own_node:
            up = [python, str(cluster.NODE / "monitoring.py"), "up"]
            stages.append(Stage("monitoring", up, 1500, needs=("cluster",)))
        runner.run(stages)
        runner.run([Stage("API server", _tests("tests/bare", "tests/faults"), 600, show=True)])
        runner.run([Stage("end to end", _tests("tests/e2e"), 3300, show=True)])
        runner.run(
            [Stage("tritonserver", _tests("-m", "tritonserver and not soak and not weights", "tests/unit"), 700)]
        )
        if own_node and os.environ.get("KEEP") != "1":
            runner.run([Stage("down", ["make", "down"], 120)])

    return main(runner, body)


if __name__ == "__main__":
    sys.exit(test())
