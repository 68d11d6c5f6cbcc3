"""How quickly, and at what cost, the operator turns EdgeDetectors into children: API server and etcd only.

No controller and no node: what is measured is the operator beside the API server, which share this machine's cores.
Prints a line a phase, and ends with one line of JSON. Nothing is left.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench.reconcile import phases, rig

_TIMES = (("p50", 8), ("p99", 8), ("totalSeconds", 9))
_HEAD = (
    f"{'phase':14}{'count':>6}{'p50 s':>8}{'p99 s':>8}{'total s':>9}{'calls':>7}{'MiB':>7}{'peak':>7}"
    f"{'CPU s':>7}{'load':>6}  CPU seconds of each"
)
GOALS = {"p50": 0.5, "p99": 2.0, "totalSeconds": 120.0, "rssMiB": 120.0, "writesIn15s": 0}
"""Seconds, MiB and requests; the percentiles hold at one resource a second, total and memory at 1,000 resources."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reconcile", description=__doc__)
    parser.add_argument("--steady", type=int, default=200, help="resources at one a second; 0: none")
    parser.add_argument("--bursts", type=int, nargs="*", default=[200, 1000], help="resources at once")
    options = parser.parse_args()
    print(rig.machine(), _HEAD, sep="\n", flush=True)
    rows: list[dict[str, Any]] = []

    def add(*found: dict[str, Any]) -> None:
        rows.extend(found)
        for row in found:
            print(_line(row), flush=True)

    if options.steady:
        add(phases.steady(options.steady))
    for count in options.bursts:
        add(*phases.burst(count, restart=count == max(options.bursts)))
    for row in rows:
        if row["phase"] != "restart":
            print(f"\ncalls a resource, {row['phase']} of {row['resources']}:")
            print("\n".join(f"  {number:7.2f}  {what}" for what, number in row["callsPerResource"].items()))
    missed = [text for row in rows for text in _missed(row)]
    print("", *(f"NOT REACHED: {text}" for text in missed), sep="\n")
    print(json.dumps({"benchmark": "reconcile", "machine": rig.machine(), "missed": missed, "rows": rows}))
    return 1 if missed else 0


def _line(row: dict[str, Any]) -> str:
    times = "".join(f"{row[key]:>{width}}" if key in row else "-".rjust(width) for key, width in _TIMES)
    cost = f"{row['callsPerResourceInAll']:>7}{row['rssMiB']:>7.0f}{row['peakMiB']:>7.0f}"
    cpu = sum(row["cpuSeconds"].values())
    note = ", ".join(f"{name} {seconds:.0f}" for name, seconds in row["cpuSeconds"].items())
    if row["phase"] == "restart":
        note += f"; first pass over all {row['firstPassSeconds']} s, writes in 45 s: {row['writesIn45s']}"
    return f"{row['phase']:14}{row['resources']:>6}{times}{cost}{cpu:>7.0f}{row['load']:>6}  {note}"


def _missed(row: dict[str, Any]) -> list[str]:
    """Return the goals that the row was to reach and did not."""
    wanted = {"one a second": ("p50", "p99"), "burst": (), "restart": ("writesIn15s",)}[row["phase"]]
    if row["resources"] >= 1000:
        wanted = (*wanted, *(key for key in ("totalSeconds", "rssMiB") if key in row))
    return [
        f"{row['phase']} of {row['resources']}: {key} {row[key]}, goal {GOALS[key]}"
        for key in wanted
        if row[key] > GOALS[key]
    ]


if __name__ == "__main__":
    sys.exit(main())
