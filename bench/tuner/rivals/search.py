"""How the others search: every configuration, a sampler's choice, and Clipper's batch size."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.tuner.rivals import aimd, space
from bench.tuner.rivals.space import START, Outcome

from edgedetector.tuning.window import Knobs

Measure = Callable[[Knobs], Outcome]
"""Serves a configuration and returns what it gave under the common load."""
Loaded = Callable[[Knobs, int], Outcome]
"""The same with so many requests in flight."""
TRIALS: Final = 20
"""As many as Model Analyzer's own search with optuna makes at least (`optuna_min_trials`)."""
SEED: Final = 0
LOOKS: Final = 2
"""At a batch that breaks the objective: AIMD never comes back from one hiccup of the machine at its first batch."""
AGENT: Final = Path(__file__).with_name("sampler.py")


@dataclass(frozen=True)
class Search:
    """What a search came to."""

    chosen: Knobs
    probes: int
    """Configurations that served for it."""
    others: tuple[Knobs, ...] = ()
    """Further ones that are as good as chosen, until the ramp decides."""
    note: str = ""
    lost: int = 0
    """Requests of its own that failed."""
    seconds: float | None = None
    """That it took, where that is not all the time that it ran."""
    tried: dict[Knobs, Outcome] = field(default_factory=dict)


def sweep(measure: Measure, bound: float, *, further: int = 1) -> Search:
    """Try all there are; which of the best few is the best is left to the ramp.

    Instances change first, since Triton adds one in place and reloads the model for everything else.
    """
    order = sorted(space.space(), key=lambda one: (one.max_batch_size, one.max_queue_delay_microseconds, one.instances))
    tried = {knobs: measure(knobs) for knobs in order}
    chosen, *others = space.first(tried, bound, 1 + further)
    return Search(chosen, len(tried), tuple(others), tried=tried)


def clipper(measure: Loaded, bound: float) -> Search:
    """AIMD on the batch size; instances and delay stay as they are.

    Its load is a batch that executes and one that waits: Clipper looks at the latency of batches, and under a load that
    is the same for all the smallest batch breaks the objective by its queue already, and AIMD ends where it began.
    """
    tried: dict[Knobs, Outcome] = {}

    def keeps(batch: int) -> bool:
        knobs = space.nearest(START.instances, batch, 0)
        for _ in range(LOOKS):
            tried[knobs] = measure(knobs, 2 * batch)
            if space.score(tried[knobs], bound) >= 0.0:
                return True
        return False

    found = aimd.climb(keeps)
    note = f"batches {', '.join(map(str, found.tried))}"
    return Search(space.nearest(START.instances, found.batch, 0), len(tried), note=note, tried=tried)


def sampled(measure: Measure, bound: float, python: Path) -> Search:
    """TPE, in an interpreter that has optuna; what it asks for again is not measured again."""
    tried: dict[Knobs, Outcome] = {}
    axes = {"instances": space.INSTANCES, "batch": space.BATCHES, "delay": space.DELAYS}
    command = [str(python), "-P", str(AGENT), json.dumps({"axes": axes, "seed": SEED, "trials": TRIALS})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        if agent.stdin is None or agent.stdout is None:
            raise RuntimeError("the sampler has no pipes")
        for _ in range(TRIALS):
            point = json.loads(agent.stdout.readline())
            knobs = space.nearest(**point)
            if knobs not in tried:
                tried[knobs] = measure(knobs)
            agent.stdin.write(f"{space.score(tried[knobs], bound)}\n")
            agent.stdin.flush()
    return Search(space.best(tried, bound), len(tried), note=f"{TRIALS} trials", tried=tried)
