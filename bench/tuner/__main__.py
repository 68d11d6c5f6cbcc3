"""The tuner on simulated servers whose best is known, and the simulator beside a real Triton.

Prints a line a server as it goes, the table, the ten worst servers with what happened, and one line of JSON. The same
arguments give the same figures, but for `--real` and `--live`, which run a tritonserver on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import judge
from bench.tuner import interrupted
from judge import calibration, harness, report, servers, sweep
from judge.server import Server

from edgedetector.tuning.window import Knobs

CACHE = Path(
    os.environ.get("EDGEDETECTOR_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedetector"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tuner", description=__doc__)
    parser.add_argument("--servers", type=int, default=servers.OPEN, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--family", choices=servers.FAMILIES, help="only of this one")
    parser.add_argument("--held-out", action="store_true", help="the seeds that nothing was tuned for")
    parser.add_argument("--liars", type=int, default=servers.LIARS, help="servers that lie or go stale")
    parser.add_argument("--after", type=float, default=harness.AFTER, help="seconds to look on once converged")
    parser.add_argument("--reconfigurations", type=int, metavar="N", help="change a live Triton so often instead")
    parser.add_argument("--triton", choices=("24.10", "23.07"), help="of --reconfigurations, this one; else both")
    parser.add_argument("--cameras", type=int, default=8, help="of --reconfigurations")
    parser.add_argument("--backend", choices=("native", "python"), default="native", help="of --reconfigurations")
    parser.add_argument("--rest", type=float, default=1.0, help="seconds without changes for each second with")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="the simulator against a real Triton instead")
    parser.add_argument(
        "--interrupted", type=int, default=0, metavar="N", help="N fleets in which much goes wrong instead"
    )
    parser.add_argument("--cases", default="", metavar="FIRST:END", help="of --real, only these")
    parser.add_argument("--seconds", type=float, help="of load a case of --real; of tuning a case of --live, at most")
    parser.add_argument(
        "--live", nargs="*", metavar="CASE",
        help="tune a real Triton with the emulated device: ks20-x4, ks20-x1, delay, batching, seeded, seed:N",
    )  # fmt: skip
    parser.add_argument("--no-sweep", action="store_true", help="of --live: without looking for the best")
    parser.add_argument(
        "--rivals", nargs="*", metavar="DEVICE",
        help="ours, Model Analyzer, TPE, AIMD and a sweep on one real Triton: batching, seed:N",
    )  # fmt: skip
    options = parser.parse_args()
    if options.reconfigurations:
        return _reconfigured(options)
    if options.rivals is not None:
        from bench.tuner.rivals import contest  # noqa: PLC0415 - needs what a simulation does not

        return contest.main(options.rivals)
    if options.live is not None:
        from bench.tuner import live_cases  # noqa: PLC0415 - needs what a simulation does not

        return live_cases.main(options.live, seconds=options.seconds, swept=not options.no_sweep)
    if options.real:
        return _real(options.cases, options.seconds or 3.5)
    if options.interrupted:
        return interrupted.main(options.interrupted, options.seed, options.processes)
    seeds = range(options.seed, options.seed + options.servers)
    judged = [servers.server(seed, held_out=options.held_out) for seed in seeds]
    judged += [] if options.held_out else servers.liars(options.liars)
    judged = [server for server in judged if options.family in {None, server.family}]
    return _simulated(judged, options)


def _simulated(judged: Sequence[Server], options: argparse.Namespace) -> int:
    began, stories = time.monotonic(), []
    for story in _each([(server, options.after) for server in judged], options.processes):
        stories.append(story)
        print(_line(story), flush=True)
    fair = [story for story in stories if not story.server.safety_only]
    lying = [story for story in stories if story.server.safety_only]
    table = [*(report.rows(fair) if fair else []), *(report.safety(lying) if lying else [])]
    print(f"\nSIMULATED servers: {len(fair)} and {len(lying)} that lie\n")
    for row in table:
        print(f"{row.measure:38} {row.goal:>10}  {row.found}{'' if row.met else '   NOT MET'}")
    print("", *report.by_family(fair), sep="\n")
    print(f"\nThe {report.WORST} worst\n", *report.worst(fair), sep="\n")
    print(json.dumps({
        "benchmark": "tuner",
        "simulated": True,
        "heldOut": options.held_out,
        "first": options.seed,
        "seconds": round(time.monotonic() - began),
        "table": [{"measure": row.measure, "goal": row.goal, "found": row.found, "met": row.met} for row in table],
        "servers": [report.record(story) for story in stories],
    }))  # fmt: skip
    return 0 if all(row.met for row in table) else 1


def _each(work: Sequence[tuple[Server, float]], processes: int) -> Iterator[harness.Story]:
    if processes <= 1:
        yield from map(_tune, work)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_tune, work)


def _tune(work: tuple[Server, float]) -> harness.Story:
    server, after = work
    step, state = harness.ours()
    best = None if server.safety_only else _best(server)
    return harness.tune(server, step, state, best=best, after=after)


def _best(server: Server) -> sweep.Best:
    """Return the sweep's result, which no tuner changes, from the cache if it was made by the same judge."""
    path = CACHE / "judge" / _version() / f"{server.name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        chosen = {name: Knobs(**{**knobs, "preferred_batch_sizes": tuple(knobs["preferred_batch_sizes"])})
                  for name, knobs in found.pop("configuration").items()}  # fmt: skip
        return sweep.Best(chosen, **found)
    best = sweep.sweep(server)
    plain = {
        name: {field: getattr(knobs, field) for field in Knobs.__slots__} for name, knobs in best.configuration.items()
    }
    figures = {"score": best.score, "start": best.start, "allowed": best.allowed, "served": best.served}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"configuration": plain, **figures}))
    partial.rename(path)
    return best


def _version() -> str:
    """Return what stands for everything that a sweep depends on."""
    names = (
        "batcher",
        "clients",
        "device",
        "events",
        "memory",
        "pod",
        "server",
        "servers",
        "statistics",
        "sweep",
        "traffic",
        "truth",
    )
    files = [Path(judge.__file__).with_name(f"{name}.py") for name in names]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _line(story: harness.Story) -> str:
    ratio = f"{story.ratio:7.1%}" if story.best else "       "
    return (
        f"{story.server.name:32} {ratio} {story.probes:3} of {story.all_probes:2} probes {story.exploring:6.0f} s "
        f"worse {story.worse:6.1%} broken {len(story.broken):2} of {story.windows:4}  later {story.later_changes}"
        + (f"  {story.violations[0]}" if story.violations else "")
    )


def _real(part: str, seconds: float) -> int:
    from bench.tuner import real  # noqa: PLC0415 - needs what a simulation does not

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


def _reconfigured(options: argparse.Namespace) -> int:
    from bench.tuner import changing, reconfigurations  # noqa: PLC0415 - need what a simulation does not

    versions = [options.triton] if options.triton else list(changing.VERSIONS)
    wanted = {name: getattr(options, name) for name in ("backend", "seed", "cameras", "rest")}
    return reconfigurations.main(versions, options.reconfigurations, **wanted)


def _spread(name: str, off: Iterable[float]) -> str:
    sizes = sorted(abs(one) for one in off)
    within = sum(one <= calibration.TOLERANCE for one in sizes)
    ninth = sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]
    return (
        f"{name}: off by {statistics.median(sizes):.1%} in the median, {ninth:.1%} in nine of ten, "
        f"{sizes[-1]:.1%} at worst; {within} of {len(sizes)} within {calibration.TOLERANCE:.0%}"
    )


if __name__ == "__main__":
    sys.exit(main())
