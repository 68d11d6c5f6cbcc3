"""The tuner on fleets of one to three replicas in which much goes wrong: a line a run, and what did not hold."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from judge import fleet, harness, interruptions, report
from judge.fleet import Tale
from judge.site import MODEL, site


def main(count: int, first: int, processes: int) -> int:
    """Run so many seeds from `first` on, print what came of them, and return 0 if all held."""
    began, tales = time.monotonic(), []
    for seed, tale in zip(range(first, first + count), _each(range(first, first + count), processes), strict=True):
        tales.append(tale)
        print(line(seed, tale), flush=True)
    broken = [(seed, tale) for seed, tale in enumerate(tales, first) if tale.violations]
    print(*("", *summary(tales)), sep="\n")
    for seed, tale in broken[: report.WORST]:
        print(f"\nseed {seed}", *tell(tale), sep="\n")
    print(json.dumps({
        "benchmark": "tuner-interrupted",
        "simulated": True,
        "first": first,
        "runs": len(tales),
        "broken": len(broken),
        "interruptions": sum(len(tale.happened) for tale in tales),
        "hours": round(sum(tale.seconds for tale in tales) / 3600.0, 1),
        "seconds": round(time.monotonic() - began),
    }))  # fmt: skip
    return 1 if broken else 0


def run(seed: int) -> Tale:
    """Return what becomes of the fleet of a seed."""
    step, empty = harness.ours()
    return fleet.told(site(seed), step, empty, interruptions.drawn(seed), interruptions.DISTURBED)


def _each(seeds: Sequence[int], processes: int) -> Iterator[Tale]:
    if processes <= 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run, seeds)


def line(seed: int, tale: Tale) -> str:
    """Return a run in a line."""
    fewest, most = tale.replicas
    rested = "  never" if tale.rested is None else f"{tale.rested:5.0f} s"
    words = tale.violations[0] if tale.violations else "held"
    return (
        f"{seed:5}  {fewest}-{most} replicas  {len(tale.happened)} interruptions  {tale.trials:2} trials"
        f"  at rest after {rested}  then {tale.changes} changes"
        f"  turns: replicas {tale.turns}, {tale.later_turns} at rest, rungs {tale.rungs}, {tale.later_rungs} at rest"
        f"  {words}"
    )


def summary(tales: Sequence[Tale]) -> list[str]:
    """Return what held, with how many there were of it."""
    held = sum(not tale.violations for tale in tales)
    hours = sum(fleet.WATCHED for _ in tales) / 3600.0
    changes = sum(tale.changes for tale in tales)
    bound = report.rule_of_three(len(tales) - held, len(tales))
    turns, later = (max((getattr(t, name) for t in tales), default=0) for name in ("turns", "later_turns"))
    rungs = max((tale.later_rungs for tale in tales), default=0)
    happened = Counter(fault for tale in tales for _, fault in tale.happened)
    return [
        f"all held in {held} of {len(tales)} runs: one breaks in at most {bound:.2%} (95 %)",
        f"{changes} changes in {hours:.0f} h at rest",
        f"turns of the number of replicas: at most {turns} after the last interruption, {later} in an hour at rest",
        f"turns of a pod's ladder: at most {rungs} in an hour at rest",
        *(f"{count:5} x {fault}" for fault, count in happened.most_common()),
    ]


def tell(tale: Tale) -> list[str]:
    """Return what happened in a run, in order."""
    told = [(at, f"!! {fault}") for at, fault in tale.happened]
    told += [(at, report.decide(decision)) for at, decision in tale.decisions]
    start = report.told({MODEL: tale.site.start})
    lines = [f"{at:6.0f} s {words}" for at, words in sorted(told)]
    return [f"  {words}" for words in tale.violations] + [f"  start {start}", *lines]
