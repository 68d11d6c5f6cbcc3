"""Every fault at every write: what is played, what came of it, and how that is told."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.faults import plans, scenario, world
from tests.faults.arena import Arena, Played

# How often a case is tried whose write did not come: which status is written on the way depends on who is quicker.
TRIES = 3
# Seconds for a step in which every write meets a fault: some 30 starts of the operator, one after the other.
STORM_PATIENCE = 900.0


@dataclass
class Report:
    """What a campaign found."""

    writes: tuple[plans.Write, ...] = ()
    """Those of the undisturbed run."""
    judged: list[plans.Case] = field(default_factory=list)
    """Cases whose fault struck, and whose step was compared with the undisturbed one."""
    divergences: dict[str, list[str]] = field(default_factory=dict)
    """Case or storm -> in what its step ended differently."""
    missed: list[plans.Case] = field(default_factory=list)
    """Cases whose write did not come in `TRIES` runs."""
    deaths: list[str] = field(default_factory=list)
    """Runs in which the operator ended by itself."""
    storms: dict[str, int] = field(default_factory=dict)
    """Storm -> writes that it struck."""
    runs: int = 0
    seconds: float = 0.0


async def campaign(
    arenas: Sequence[Arena],
    want: dict[str, world.World],
    writes: Iterable[plans.Write],
    share: int = 1,
    storms: Iterable[plans.Fault] = tuple(plans.Fault),
    *,
    tell: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Play every `share`-th of all cases and the storms, on all arenas at once; `want` is the end of each step."""
    report, began = Report(writes=tuple(writes)), time.monotonic()
    wanted = plans.sample(plans.cases(report.writes), share)
    todo: collections.deque[tuple[plans.Case, ...] | plans.Fault] = collections.deque(storms)
    todo.extend(plans.rounds(wanted, scenario.STEPS))
    tries: collections.Counter[plans.Case] = collections.Counter()

    async def work(where: Arena) -> None:
        while todo:
            work = todo.popleft()
            tell(f"{report.runs} runs, {len(todo) + 1} to go, {len(report.divergences)} divergences")
            if isinstance(work, plans.Fault):
                await _storm(where, work, want, report)
                continue
            again = [case for case in await _round(where, work, want, report) if _again(case)]
            if again:
                todo.extend(plans.rounds(again, scenario.STEPS))

    def _again(case: plans.Case) -> bool:
        tries[case] += 1
        if tries[case] >= TRIES:
            report.missed.append(case)
        return tries[case] < TRIES

    async with asyncio.TaskGroup() as group:
        for where in arenas:
            group.create_task(work(where))
    report.seconds = time.monotonic() - began
    return report


async def reference(arenas: Sequence[Arena]) -> tuple[dict[str, world.World], tuple[plans.Write, ...]]:
    """Play undisturbed on every arena; all have to end alike, or the comparison says nothing.

    On a busy machine a pause can look like the end of a step: so it is tried again.
    """
    for attempt in range(TRIES):
        played = await asyncio.gather(*(where.play() for where in arenas))
        found = [f"{step}: {what}" for one in played for step, all_of in one.divergences.items() for what in all_of]
        for other in played[1:]:
            found += world.differences(played[0].worlds, other.worlds)
        if not found:
            break
        assert attempt + 1 < TRIES, f"undisturbed runs differ: {found[:10]}"
    return played[0].worlds, tuple(dict.fromkeys(write for one in played for write in one.writes))


async def _round(
    where: Arena, of_round: tuple[plans.Case, ...], want: dict[str, world.World], report: Report
) -> list[plans.Case]:
    """Play one run with these cases; return those whose fault has not struck."""
    plan = plans.Once(of_round)
    played = await where.play(plan, want, steps=scenario.steps_for(_steps(of_round)))
    _count(report, " + ".join(map(str, of_round)), played)
    missed = set(plan.missed)
    for case in of_round:
        if case.write in missed:
            continue
        report.judged.append(case)
        if found := played.divergences.get(case.write.step):
            report.divergences[str(case)] = found
    # A run ends with its first divergence; one in a step without a fault is the doing of the step before.
    of_others = {step: found for step, found in played.divergences.items() if step not in _steps(of_round)}
    if of_others:
        report.divergences[" + ".join(map(str, of_round))] = [
            f"{s}: {f}" for s, found in of_others.items() for f in found
        ]
    return [case for case in of_round if case.write in missed]


async def _storm(where: Arena, fault: plans.Fault, want: dict[str, world.World], report: Report) -> None:
    plan = plans.Storm(fault)
    played = await where.play(plan, want, patience=STORM_PATIENCE)
    _count(report, f"storm of {fault}", played)
    report.storms[str(fault)] = len(plan.struck)
    for step, found in played.divergences.items():
        report.divergences[f"storm of {fault}, {step}"] = found


def _count(report: Report, name: str, played: Played) -> None:
    report.runs += 1
    if played.deaths:
        report.deaths.append(f"{name}: {played.deaths}")


def _steps(of_round: Iterable[plans.Case]) -> set[str]:
    return {case.write.step for case in of_round}


def summary(report: Report) -> str:
    """Return what was tried and what came of it, as a table in Markdown."""
    of_step = collections.Counter((case.write.step, case.fault) for case in report.judged)
    steps = [step for step in scenario.STEPS if any(case.write.step == step for case in report.judged)]
    lines = ["| fault | " + " | ".join(steps) + " | all |", "| --- |" + " ---: |" * (len(steps) + 1)]
    for fault in plans.Fault:
        row = [of_step[step, fault] for step in steps]
        lines.append(f"| {fault} | " + " | ".join(map(str, row)) + f" | {sum(row)} |")
    writes = [sum(write.step == step for write in report.writes) for step in steps]
    lines.append("| *writes of the undisturbed run* | " + " | ".join(map(str, writes)) + f" | {sum(writes)} |")
    told = f"{len(report.judged)} cases, {len(report.storms)} storms ({sum(report.storms.values())} faults), "
    told += f"{len(report.divergences)} divergences, {len(report.missed)} cases whose write did not come, "
    told += f"{len(report.deaths)} unasked ends of the operator; {report.runs} runs in {report.seconds:.0f} s"
    found = [f"DIVERGENCE {case}: {what}" for case, all_of in report.divergences.items() for what in all_of[:5]]
    found += [f"MISSED {case}" for case in report.missed] + [f"ENDED {name}" for name in report.deaths]
    return "\n".join([*lines, "", told, *found])
