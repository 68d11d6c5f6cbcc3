"""`python -m bench.calibration`: the emulated device through a real Triton, beside what it should give.

Without arguments the reference's ladder: each rung under a closed loop, then 150 images a second in an open loop for
the utilisation at the reference's many-stream load. With `--devices` the 20 seeded devices and `batching`: one
instance without batches, and the best configuration of the model's own sweep. Prints a table and one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.calibration import tritonserver
from bench.calibration.load import Bench, Case, Measured
from emulator import simulate
from emulator.device import CALIBRATION, choose
from emulator.profile import override

# A rung's throughput may be this far from the reference's.
TOLERANCE = 0.10
# Images a second at which the reference's acceptance test for many streams keeps the device at 80 %.
MANY_STREAMS = 150.0
SEEDS = range(1, 21)
COLUMNS = {"target": 7, "measured": 9, "ratio": 6, "model": 7, "p50 ms": 7, "p99 ms": 7, "util": 5, "host": 5}


def ladder() -> list[tuple[Case, float]]:
    """Return the rungs of the calibration file with the reference's figures."""
    return [
        (
            Case(rung["name"], "ks20", rung["instances"], precision=rung["precision"], changes=rung["set"]),
            rung["target"],
        )
        for rung in tomllib.loads(CALIBRATION.read_text())["rungs"]
    ]


def devices() -> list[tuple[Case, float]]:
    """Return start and best configuration of each further device with what the model says."""
    cases = []
    for name in ("batching", *(f"seed:{seed}" for seed in SEEDS)):
        profile = choose(name)
        outcomes = simulate.sweep(profile, instances=4, seconds=1.5)
        for label, (instances, batch) in (("start", (1, 1)), ("best", simulate.best(outcomes))):
            title = f"{profile.name}, {label}: {instances} x batch {batch}"
            cases.append((Case(title, name, instances, batch), round(outcomes[instances, batch].images_per_second, 1)))
    return cases


def predict(case: Case) -> float:
    """Return what the model says of a case, images a second."""
    profile = override(choose(case.device), case.changes)
    outcome = simulate.closed_loop(profile, instances=case.instances, batch=case.batch, precision=case.precision)
    return round(outcome.images_per_second, 1)


def line(case: Case, target: float, measured: Measured) -> str:
    """Return a case as a line of the table."""
    return (
        f"{case.name:38} {target:7.0f} {measured.images_per_second:9.1f} {measured.images_per_second / target:6.3f}"
        f" {predict(case):7.1f} {measured.p50_ms:7.1f} {measured.p99_ms:7.1f} {measured.utilisation:5.0%}"
        f" {measured.host_utilisation:5.0%}"
    )


def record(case: Case, target: float, measured: Measured) -> dict[str, Any]:
    """Return a case as it stands in the line of JSON."""
    ratio = round(measured.images_per_second / target, 3)
    return {"name": case.name, "target": target, "ratio": ratio, "predicted": predict(case), **asdict(measured)}


def main() -> int:
    """Measure and print; 1 if a case is further off than the tolerance."""
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of load a case")
    parser.add_argument("--devices", action="store_true", help="the seeded devices instead of the ladder")
    arguments = parser.parse_args()
    cases, records = devices() if arguments.devices else ladder(), []
    installation = tritonserver.prepare()
    print("EMULATED accelerator: simulated figures; real Triton 24.10, closed loop\n")
    print(" ".join([f"{'case':38}", *(f"{name:>{width}}" for name, width in COLUMNS.items())]))
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = directory / "models"
        repository.mkdir()
        device = stack.enter_context(tritonserver.emulated_device(directory))
        environment = {"EMULATED_ACCELERATOR_ADDRESS": device}
        server = stack.enter_context(tritonserver.running(installation, directory, repository, environment=environment))
        bench = Bench(server, device, repository, arguments.seconds)
        for case, target in cases:
            measured = bench.closed_loop(case)
            print(line(case, target, measured), flush=True)
            records.append(record(case, target, measured))
        extra = {} if arguments.devices else _many_streams(bench, cases)
    worst = max(abs(entry["ratio"] - 1) for entry in records)
    print(json.dumps({
        "benchmark": "calibration",
        "emulated": True,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "triton": "24.10",
        "seconds_per_case": arguments.seconds,
        "cases": records,
        **extra,
        "worst_deviation": round(worst, 3),
        "within_tolerance": worst <= TOLERANCE,
    }))  # fmt: skip
    return 0 if worst <= TOLERANCE else 1


def _many_streams(bench: Bench, cases: list[tuple[Case, float]]) -> dict[str, Any]:
    """Measure the rung at which the host is the limit at the reference's many-stream load."""
    case = next(case for case, target in cases if target == 175.0)
    measured = bench.paced(case, MANY_STREAMS)
    print(f"\n{MANY_STREAMS:.0f} images/s in an open loop, {case.name}: utilisation {measured.utilisation:.0%}")
    return {"many_streams": {"rate": MANY_STREAMS, **asdict(measured)}}


if __name__ == "__main__":
    sys.exit(main())
