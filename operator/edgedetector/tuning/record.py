"""What the tuner remembers from step to step and over restarts: one frozen value, written and read as JSON.

Everything in it is bounded, so that it fits into a ConfigMap however long it runs. All times are seconds since the
epoch. The empty `State()` means that nothing is known: the tuner then begins with what is accepted on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.tuning.evidence import ModelVisit, Prediction, Visit
from edgedetector.tuning.window import BatchTime, Configuration, Knobs

DENIALS: Final = 40
LEVELS: Final = 96
"""Configurations of single models in the memory of traffic levels: 16 levels of up to six models."""
VISITS: Final = 40
"""Visits times models."""
BATCH_SIZES: Final = 320
"""Entries of batch sizes in all visits together, about 70 bytes each: what the record's size depends on most."""
SIZES: Final = 160
"""Of them in one visit."""
BESIDE: Final = 80
"""The same of the visits that stand beside: the reference and the other replicas during a trial."""
BUDGET_HISTORY: Final = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """A probe that runs."""

    id: str
    pod: str
    configuration: Mapping[str, Knobs]
    since: float
    renewed: float
    """When it was begun or last renewed."""
    ttl: float
    before: Mapping[str, float]
    """Demand by model when it began."""
    prediction: Prediction
    renewals: int = 0
    heard: float = 0.0
    """When the pod last said that it runs; 0: not yet."""
    windows: int = 0
    """Of the pod with the probe's configuration in force, the first ones that are dropped included."""
    late: int = 0
    """Windows in a row that broke the latency objective."""
    aim: str = "gain"
    """What it is for (`promise.Aim`)."""
    control: Visit | None = None
    """What the other replicas showed of the accepted configuration at the same time."""
    demand: Mapping[str, float] = field(default_factory=dict)
    """By model, now, smoothed over a few seconds."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A configuration that is not tried for a while."""

    key: str
    """`key(configuration)`."""
    until: float
    times: int = 1
    """It was denied: each time is longer."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Best:
    """The best known at one traffic level."""

    level: Mapping[str, int]
    """Bucket of the demand by model (`memory.bucket`)."""
    configuration: Mapping[str, Knobs]
    at: float
    """When it was last in force there."""
    converged: bool = False
    vain: int = 0
    """How often in a row tuning ended here with the objective broken."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A configuration that was accepted a short while ago, and where to go back to should it disappoint."""

    previous: Mapping[str, Knobs]
    since: float
    demand: Mapping[str, float]
    held: bool
    """The previous one kept the objective at that demand."""
    late: int = 0


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What mode Auto would try."""

    configuration: Mapping[str, Knobs]
    prediction: Prediction
    message: str
    at: float
    """When it was thought of."""


@dataclass(frozen=True, slots=True)
class State:
    """The tuner's memory. `State()`: nothing is known."""

    spec: str = ""
    """Digest of what was specified when this was written: start and engines."""
    aims: str = ""
    """Digest of goal and limits."""
    accepted: Mapping[str, Knobs] = field(default_factory=dict)
    """Known to be good; what all pods serve but the one on trial."""
    trial: Trial | None = None
    kept: Kept | None = None
    visits: tuple[Visit, ...] = ()
    """In the order in which they were last seen, one of each configuration."""
    demand: Mapping[str, float] = field(default_factory=dict)
    """Smoothed, images a second a pod."""
    level: Mapping[str, int] = field(default_factory=dict)
    """The traffic level that holds."""
    memory: tuple[Best, ...] = ()
    denials: tuple[Denial, ...] = ()
    changes: tuple[float, ...] = ()
    """When something was changed in the last hour: what the reload budget counts."""
    probes: int = 0
    """Since the exploration of this level began."""
    tried: float = 0.0
    """Seconds of them."""
    begun: int = 0
    """Probes ever: makes their ids unique."""
    cooldown: float = 0.0
    """Until when nothing is tried."""
    settle: float = 0.0
    """Until when windows say nothing, since a change is taking effect."""
    last: Mapping[str, float] = field(default_factory=dict)
    """Start of the last window by pod: one that comes again is not counted again."""
    useful: float = 0.0
    """When a window last said something."""
    told: float = 0.0
    """When a window last came at rest, whatever it said."""
    discarded: int = 0
    """Windows that were thrown away: disturbed, or not to be believed."""
    astray: float = 0.0
    """Since when pods serve something other than what is accepted; 0: they do not."""
    failed: float = 0.0
    """When requests last failed at rest."""
    refused: float = 0.0
    """Since when a pod says that it cannot load what is accepted; 0: none does."""
    converged: bool = False
    """Nothing that is safe promises to be better: the HPA may raise its maximum."""
    reference: Visit | None = None
    """What the accepted configuration showed when it converged: the measure for a drift of the server."""
    recommendation: Recommendation | None = None
    """What mode Recommend said last."""
    cured: tuple[str, ...] = ()
    """Faults that were cured first, as sentences."""
    hopeless: str = ""
    """Why the objective cannot be kept, though nothing is left to try; while it has converged."""
    drifting: float = 0.0
    """Since when executions take clearly longer, or less long, than when it converged; 0: they do not."""
    suffering: float = 0.0
    """Since when what had converged breaks the objective; 0: it does not."""
    futile: tuple[float, ...] = ()
    """When the latest trials ended, as far back as all of them ended for what was not theirs."""
    resumed: str = ""
    """Why tuning goes on though it had converged at this very load; until it converges again."""
    trouble: str = ""
    """Why nothing can be tuned, and the remedy; empty: nothing is wrong."""

    @property
    def recommended(self) -> Mapping[str, Knobs] | None:
        """What mode Recommend said last."""
        return self.recommendation.configuration if self.recommendation is not None else None


def key(configuration: Configuration) -> str:
    """Return short text, equal for equal configurations: "people=2/8/[2,4]/1000", with post-processing "/3"."""
    return ";".join(
        f"{name}={k.instances}/{k.max_batch_size}/{list(k.preferred_batch_sizes)}/{k.max_queue_delay_microseconds}"
        + (f"/{k.post_processing}" if k.post_processing else "")
        for name, k in sorted(configuration.items())
    ).replace(" ", "")


def bounded(state: State) -> State:
    """Return the state without what is least worth its bytes, so that its JSON stays below 100 kB."""
    models = max(1, len(state.accepted))
    trial = state.trial
    return replace(
        state,
        trial=trial and replace(trial, control=trial.control and thinned(trial.control, BESIDE)),
        reference=state.reference and thinned(state.reference, BESIDE),
        visits=_bounded_visits(state),
        memory=tuple(sorted(state.memory, key=lambda best: best.at))[-max(1, LEVELS // models) :],
        denials=tuple(sorted(state.denials, key=lambda denial: denial.until))[-max(1, DENIALS // models) :],
        changes=state.changes[-BUDGET_HISTORY:],
    )


def _bounded_visits(state: State) -> tuple[Visit, ...]:
    """Keep the accepted one and the one on trial, then the latest, as far as they fit; and their order."""
    precious = [state.accepted] + ([state.trial.configuration] if state.trial else [])
    places = enumerate(thinned(visit, SIZES) for visit in state.visits)
    ranked = sorted(places, key=lambda place: (place[1].configuration in precious, place[0]), reverse=True)
    kept: list[tuple[int, Visit]] = []
    models = sizes = 0
    for place, visit in ranked:
        models += len(visit.models)
        sizes += sum(
            len(model.batches) + len(model.step.batches if model.step else ()) for model in visit.models.values()
        )
        if kept and (models > VISITS or sizes > BATCH_SIZES):
            break
        kept.append((place, visit))
    return tuple(visit for _, visit in sorted(kept, key=lambda one: one[0]))


def thinned(visit: Visit, most: int) -> Visit:
    """Return a visit with the batch sizes of which most was seen."""
    share = max(1, most // max(1, len(visit.models)))
    return replace(visit, models={name: _thinned(model, share) for name, model in visit.models.items()})


def _thinned(model: ModelVisit, most: int) -> ModelVisit:
    if model.step is not None:
        most = max(1, most // 2)
        model = replace(model, step=replace(model.step, batches=_commonest(model.step.batches, most)))
    return replace(model, batches=_commonest(model.batches, most))


def _commonest(batches: Mapping[int, BatchTime], most: int) -> Mapping[int, BatchTime]:
    if len(batches) <= most:
        return batches
    seen = sorted(batches, key=lambda size: (batches[size].executions, -size), reverse=True)[:most]
    return {size: batches[size] for size in sorted(seen)}
