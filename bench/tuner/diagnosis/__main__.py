"""Provoked bottlenecks against what the diagnosis says: `python -m bench.tuner.diagnosis`, no cluster needed."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from bench.tuner.diagnosis.cases import CAUSES, HELD_OUT, Case, cases, mixed_cases

from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.findings import Bottleneck

LABELS = (*CAUSES, Bottleneck.IDLE, Bottleneck.NONE)


def said(case: Case) -> Bottleneck:
    return diagnose(case.windows, case.situation, case.known).bottleneck.bottleneck


def matrix(counts: Counter[tuple[Bottleneck, Bottleneck]]) -> str:
    """Return the confusion matrix: a row a provoked class, a column what was said."""
    columns = (*LABELS, Bottleneck.UNKNOWN)
    head = f"{'provoked':>15} | " + " ".join(f"{name[:7]:>7}" for name in columns)
    rows = [
        f"{label:>15} | " + " ".join(f"{counts[label, column] or '.':>7}" for column in columns) for label in LABELS
    ]
    right = sum(counts[label, label] for label in LABELS)
    total = sum(counts.values())
    return "\n".join([head, *rows, f"{right} of {total} right, {right / max(1, total):.1%}"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tuner.diagnosis", description=__doc__)
    parser.add_argument("--count", type=int, default=25, help="cases a class")
    parser.add_argument("--first", type=int, default=0, help=f"seeds after this one; {HELD_OUT}: held out")
    parser.add_argument("--mixed", type=int, default=0, help="cases of two causes")
    parser.add_argument("--only", type=Bottleneck, action="append", help="these classes")
    parser.add_argument("--wrong", action="store_true", help="show each wrong answer")
    arguments = parser.parse_args(argv)
    counts: Counter[tuple[Bottleneck, Bottleneck]] = Counter()
    for label in arguments.only or (LABELS if arguments.count else ()):
        for case in cases(label, arguments.count, arguments.first):
            counts[label, said(case)] += 1
            if arguments.wrong and said(case) is not label:
                show(case)
    print(matrix(counts))
    if arguments.mixed:
        found = list(mixed_cases(arguments.mixed, arguments.first))
        right = [case for case in found if said(case) is case.label]
        for case in found:
            if arguments.wrong and case not in right:
                show(case)
        print(f"two causes: the larger one first in {len(right)} of {len(found)}")
    return 0


def show(case: Case) -> None:
    answer = diagnose(case.windows, case.situation, case.known)
    window, people = case.windows[-1], case.windows[-1].models["people"]
    gains = ", ".join(f"{gain:.2f}" for gain in case.gains)
    times = {size: (time.executions, round(time.seconds * 1e3, 1)) for size, time in people.batches.items()}
    print(f"{case.label}{f' then {case.second}' if case.second else ''} (cures give {gains or '-'}) {case.name}")
    print(f"    device {window.utilization:.2f}, processors {window.host:.2f}, instances {people.busy:.2f},"
          f" {window.transport}, {people.knobs}")  # fmt: skip
    print(
        f"    rate {people.rate:.0f} of {people.demand:.0f}, offered {people.offered:.0f}, skipped {people.skipped:.2f}"
    )
    for name in ("queue", "request", "exchange", "median"):
        print(f"    {name} {(getattr(people, name) or 0.0) * 1e3:.1f} ms", end="")
    print(f"\n    batches {times}\n    stages { ({name: round(cores, 2) for name, cores in window.stages.items()}) }")
    for finding in answer.findings[:4]:
        print(f"    -> {finding.bottleneck} {finding.share:.2f} {finding.confidence}: {finding.evidence}")


if __name__ == "__main__":
    sys.exit(main())
