"""The simulator beside a real Triton, case by case."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.tuner import real
from judge import calibration


def main(part: str, seconds: float) -> int:
    """Run the cases of a part, print by how much each is off, and return 0 if all are within the tolerance.

    Parameters
    ----------
    part
        `FIRST:END`; empty: all.
    seconds
        Of load a case.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home, real.sleeper(Path(home)) as sleeper:
        overheads = sleeper.overheads(2.0)
        print(f"a real Triton, load average {os.getloadavg()[0]:.1f}; it adds {overheads}")
        print(f"{'':4}{'case':56}{'real/s':>8}{'sim/s':>8}{'real p50':>10}{'sim p50':>9}  off by")
        for case in real.chosen(calibration.cases(), part):
            measured, sent = sleeper.measure(case, seconds)
            said = calibration.predict(case, overheads, seconds=seconds, sent=sent)
            known = {size: mean for size, (_, mean) in sleeper.executions().items()}
            counted = calibration.predict(case, overheads, seconds=seconds, sent=sent, known=known)
            row = {
                "throughput": said.throughput / measured.throughput - 1.0,
                "p50": said.median / measured.median - 1.0,
                "throughput, executions as counted": counted.throughput / measured.throughput - 1.0,
                "p50, executions as counted": counted.median / measured.median - 1.0,
            }
            print(
                f"{case.number:3} {case.name:56}{measured.throughput:8.1f}{said.throughput:8.1f}"
                f"{measured.median * 1e3:10.1f}{said.median * 1e3:9.1f}  "
                + " ".join(f"{one:+7.1%}" for one in row.values()),
                flush=True,
            )
            rows.append({"case": case.number, "name": case.name, **row})
        errors = sleeper.errors
    for name in ("throughput", "p50", "throughput, executions as counted", "p50, executions as counted"):
        print(_spread(name, [row[name] for row in rows]))
    worst = max(max(abs(row["throughput"]), abs(row["p50"])) for row in rows)
    print(json.dumps({"benchmark": "tuner-real", "errors": errors, "worst": worst, "cases": rows}))
    return 0 if worst <= calibration.TOLERANCE and errors == 0 else 1


def _spread(name: str, off: Iterable[float]) -> str:
    sizes = sorted(abs(one) for one in off)
    within = sum(one <= calibration.TOLERANCE for one in sizes)
    ninth = sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]
    return (
        f"{name}: off by {statistics.median(sizes):.1%} in the median, {ninth:.1%} in nine of ten, "
        f"{sizes[-1]:.1%} at worst; {within} of {len(sizes)} within {calibration.TOLERANCE:.0%}"
    )
