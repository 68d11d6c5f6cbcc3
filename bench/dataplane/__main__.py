"""`python -m bench.dataplane [PART ...]`: the data plane against what it replaces, side by side in one run.

Parts: cpu, batches, consumers, reconnects, throughput, objects, overload, ks20; without a name all of them. Real go2rtc
and tritonserver, cameras that are stand-ins, CPU by process from /proc. Each part prints a table and a line of JSON;
the last line is that of all, with what was missed. Figures mean something on a quiet machine only: the load average is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bench.dataplane import batches, consumers, cpu, ks20, objects, overload, reconnects, throughput

Part = Callable[[argparse.Namespace], dict[str, Any]]
PARTS: dict[str, Part] = {
    "cpu": lambda o: cpu.run(counts=tuple(o.cameras), rounds=o.rounds, seconds=o.seconds),
    "batches": lambda o: batches.run(rounds=o.rounds, seconds=o.seconds),
    "consumers": lambda o: consumers.run(cameras=o.shared, rounds=o.rounds, seconds=o.seconds),
    "reconnects": lambda o: reconnects.run(sessions=o.sessions),
    "throughput": lambda o: throughput.run(rounds=o.rounds, seconds=o.seconds),
    "objects": lambda o: objects.run(rounds=o.rounds, seconds=o.seconds),
    "overload": lambda o: overload.run(seconds=o.overloaded),
    "ks20": lambda o: ks20.run(seconds=o.duration, most=o.most, counts=tuple(o.ks20_cameras)),
}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.dataplane", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=20.0, help="a turn")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 8, 35], help="of the part cpu")
    parser.add_argument("--shared", type=int, default=8, metavar="CAMERAS", help="of the part consumers")
    parser.add_argument("--sessions", type=int, default=1000, help="of the part reconnects")
    parser.add_argument("--ks20-cameras", type=int, nargs="+", default=list(ks20.CAMERAS), help="of the part ks20")
    parser.add_argument("--overloaded", type=float, default=90.0, help="seconds of each case of the part overload")
    parser.add_argument(
        "--duration",
        type=float,
        default=60.0,
        help="seconds of the part ks20's load that is to be held; 600 for the record",
    )
    parser.add_argument("--most", type=float, default=60.0, help="seconds of its cases that are not to be held")
    found = parser.parse_args(arguments)
    if unknown := [name for name in found.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return found


def main() -> int:
    """Measure and print; 1 if a part missed what it must reach."""
    chosen = options()
    results: dict[str, dict[str, Any]] = {}
    for name in chosen.parts or PARTS:
        print(f"\n== {name} ==", flush=True)
        results[name] = measured(name, chosen)
        print(json.dumps({"part": name, **machine(), **results[name]}), flush=True)
    missed = [f"{name}: {text}" for name, result in results.items() for text in result.get("missed", [])]
    print("", *(f"NOT REACHED: {text}" for text in missed), sep="\n")
    print(json.dumps({"benchmark": "dataplane", **machine(), "missed": missed, "parts": results}))
    return 1 if missed else 0


def measured(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run a part; one that cannot be run is missed, and the others are run all the same."""
    try:
        return PARTS[name](chosen)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is said
        traceback.print_exc()
        return {"missed": [f"not measured: {type(error).__name__}: {error}"]}


def machine() -> dict[str, Any]:
    """Return where and when this runs."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "load_average": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "triton": "24.10",
    }


if __name__ == "__main__":
    sys.exit(main())
