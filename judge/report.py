"""What came of many servers, in figures and lines."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgedetector.tuning.decision import Decision
from edgedetector.tuning.situation import Goal
from edgedetector.tuning.window import Configuration
from judge import truth
from judge.harness import Story

WORST = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A measure, what is wanted and what was found."""

    measure: str
    goal: str
    found: str
    met: bool


def rule_of_three(events: int, trials: int) -> float:
    """Return the upper 95 % confidence bound on a rate.

    With no event in n trials it is 1 - 0.05^(1/n), about 3 / n; otherwise the exact one (Clopper and Pearson,
    Biometrika 1934), by bisection of the binomial distribution.
    """
    if trials == 0:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _at_most(events, trials, middle) > 0.05 else (low, middle)
    return high


def _at_most(events: int, trials: int, rate: float) -> float:
    """Return the probability of at most that many events."""
    if rate >= 1.0:
        return 0.0 if events < trials else 1.0
    term = total = (1.0 - rate) ** trials
    for number in range(events):
        term *= (trials - number) / (number + 1) * rate / (1.0 - rate)
        total += term
    return total


def rows(stories: Sequence[Story]) -> list[Row]:
    """Return the simulated part of the table; servers that lie are not among these."""
    ratios = [story.ratio for story in stories]
    probes = [story.probes for story in stories]
    times = [story.exploring for story in stories]
    worse = [story.worse for story in stories]
    broken, windows = sum(len(story.broken) for story in stories), sum(story.windows for story in stories)
    upper = rule_of_three(broken, windows)
    later, hours = sum(s.later_changes for s in stories), sum(s.later_seconds for s in stories) / 3600.0
    steady = [story for story in stories if story.server.family not in {"day", "bursts", "neighbour"}]
    churn = sum(story.later_changes for story in steady)
    wrong = sum(len(story.violations) for story in stories)
    lost = sum(story.unanswered for story in stories)
    median = statistics.median
    return [
        Row("reached / best, median", ">= 97 %", f"{median(ratios):.1%}", median(ratios) >= 0.97),
        Row("reached / best, worst", ">= 95 %", f"{min(ratios):.1%}", min(ratios) >= 0.95),
        Row("probes until there, median", "<= 4", f"{median(probes):.0f}", median(probes) <= 4),
        Row("probes until there, worst", "<= 8", str(max(probes)), max(probes) <= 8),
        Row("time exploring, median", "<= 10 min", f"{median(times) / 60:.1f} min", median(times) <= 600),
        Row("time exploring, worst", "<= 10 min", f"{max(times) / 60:.1f} min", max(times) <= 600),
        Row("of it worse than the start, median", "<= 5 %", f"{median(worse):.1%}", median(worse) <= 0.05),
        Row("of it worse than the start, worst", "<= 5 %", f"{max(worse):.1%}", max(worse) <= 0.05),
        Row("windows broken by exploring", "0", f"{broken} of {windows}: <= {upper:.3%} (95 %)", broken == 0),
        Row("changes an hour, steady traffic", "0", f"{churn}, in all {later} in {hours:.0f} h", churn == 0),
        Row("frames neither answered nor given up", "0", str(lost), lost == 0),
        Row("out of bounds or of memory", "0", str(wrong), wrong == 0),
        Row("not converged", "0", str(sum(not s.converged for s in stories)), all(s.converged for s in stories)),
    ]


def by_family(stories: Sequence[Story]) -> list[str]:
    """Return a line a family, and two by how much of the best was ever asked for."""
    found: dict[str, list[Story]] = {}
    for story in stories:
        found.setdefault(story.server.family, []).append(story)
        if story.best and story.server.goal is Goal.THROUGHPUT:
            asked = truth.demand(story.server) / story.best.score
            found.setdefault("asked for half of it or more" if asked >= 0.5 else "for less than half", []).append(story)
    return [
        f"{name:32} {len(some):4} servers: from {statistics.median(map(_started, some)):6.1%} to "
        f"{statistics.median(story.ratio for story in some):6.1%} of the best in the median, "
        f"{min(story.ratio for story in some):6.1%} at worst"
        for name, some in found.items()
    ]


def _started(story: Story) -> float:
    return story.best.start / story.best.score if story.best and story.best.score else 1.0


def safety(stories: Sequence[Story]) -> list[Row]:
    """Return the part of the table about servers that lie or go stale."""
    broken, windows = sum(len(story.broken) for story in stories), sum(story.windows for story in stories)
    wrong = sum(len(story.violations) for story in stories)
    churn = sum(story.later_changes for story in stories)
    good = sum(story.good for story in stories)
    return [
        Row("liars: windows broken by exploring", "0", f"{broken} of {windows}", broken == 0),
        Row("liars: out of bounds or of memory", "0", str(wrong), wrong == 0),
        Row("liars: changes once converged", "0", str(churn), churn == 0),
        Row("liars: ended on what keeps the objective", "all", f"{good} of {len(stories)}", good == len(stories)),
        Row(
            "liars: ended as they began", "-", f"{sum(ended_as_begun(s) for s in stories)} of {len(stories)}", met=True
        ),
    ]


def ended_as_begun(story: Story) -> bool:
    """Return whether what is accepted in the end is the start."""
    return story.final == dict(story.server.start)


def worst(stories: Sequence[Story], count: int = WORST) -> list[str]:
    """Return paragraphs about the servers with the lowest reached / best."""
    return [tell(story) for story in sorted(stories, key=lambda story: story.ratio)[:count]]


def tell(story: Story) -> str:
    """Return what happened on a server."""
    server, best, limits = story.server, story.best, story.server.limits
    demand = sum(traffic.cameras * traffic.rate for traffic in server.traffic.values())
    lines = [
        f"{server.name}: {server.goal}, p{limits.percentile} <= {limits.latency * 1e3:.0f} ms, demand {demand:.0f}/s",
        f"  start   {told(server.start)}"
        + (f"  {best.start / best.score:.1%} of the best" if best and best.score else ""),
        f"  reached {told(story.final)}  {story.ratio:.1%}",
        f"  {story.probes} of {story.all_probes} probes, {story.exploring:.0f} s, {story.worse:.1%} worse than start",
    ]
    lines += [f"  best    {told(best.configuration)}  {best.score:.4g}"] if best else []
    when = Counter(broken.when for broken in story.broken)
    lines += [f"  broken windows: {', '.join(f'{count} in {name}' for name, count in when.items())}"] if when else []
    lines += [f"  violations: {'; '.join(dict.fromkeys(story.violations))}"] if story.violations else []
    lines += [f"  {at:6.0f} s {decide(decision)}" for at, decision in story.decisions[:24]]
    return "\n".join(lines)


def decide(decision: Decision) -> str:
    """Return a decision in a line."""
    configuration = told(decision.configuration) if decision.configuration is not None else ""
    return f"{decision.kind:8} {configuration}  {decision.message}"


def told(configuration: Configuration) -> str:
    """Return a configuration in a line: instances x largest batch, preferred sizes, delay."""
    found = []
    for name, knobs in configuration.items():
        liked = f" preferred {','.join(map(str, knobs.preferred_batch_sizes))}" if knobs.preferred_batch_sizes else ""
        found.append(
            f"{name}: {knobs.instances} x {knobs.max_batch_size}{liked} {knobs.max_queue_delay_microseconds} us"
        )
    return "; ".join(found)


def record(story: Story) -> dict[str, Any]:
    """Return a server as it stands in the line of JSON."""
    return {
        "server": story.server.name,
        "family": story.server.family,
        "goal": str(story.server.goal),
        "ratio": round(story.ratio, 4) if story.best else None,
        "start": round(story.best.start / story.best.score, 4) if story.best and story.best.score else None,
        "probes": story.probes,
        "allProbes": story.all_probes,
        "exploringSeconds": round(story.exploring),
        "worse": round(story.worse, 4),
        "windows": story.windows,
        "broken": len(story.broken),
        "laterChanges": story.later_changes,
        "frames": story.frames,
        "dropped": story.dropped,
        "unanswered": story.unanswered,
        "good": story.good,
        "thought": round(story.thought, 2),
        "longestThought": round(story.longest_thought, 2),
        "violations": len(story.violations),
        "converged": story.converged,
    }
