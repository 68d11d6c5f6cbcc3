"""Windows become visits: what was seen of each configuration, with recent windows counting most. Pure.

A visit follows a server that slowly changes: of what is older than `MEMORY` seconds of observation, only as much counts
as to make that sum. How often a batch size was seen fades with it but never quite to nothing, since a rare large batch
is what tells most of the cost curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from edgedetector.api import names
from edgedetector.api.observation import BUCKETS_AN_OCTAVE, bound, least
from edgedetector.tuning.evidence import ModelVisit, Range, StepVisit, Visit
from edgedetector.tuning.window import BatchTime, Configuration, ModelWindow, StepWindow, Window

MEMORY: Final = 120.0
"""Seconds of observation that a visit remembers at full weight: percentiles of 30 s windows still vary by 15 %
(facts: 38-44 ms), of four of them by half of that."""
PRIOR_SPREAD: Final = 0.05
"""Relative deviation of an execution's cost between windows, before there are enough to tell."""
PRIOR_LATENCY_SPREAD: Final = 0.2
"""The same of the percentile: 8 s windows of one configuration showed 37-64 ms."""
TOGETHER: Final = 4
"""Results that are late together, in the mean (frames of one batch, and of the next): a percentile of n of them is as
certain as one of n / 4 independent ones."""
Z: Final = 1.96
"""Of a 95 % confidence interval of the normal distribution."""
FAINT: Final = 0.1
"""Of a result, below which it is forgotten."""
MANY: Final = 100
"""Results of a bucket from which a whole one more or less makes no difference."""
MOST: Final = 1e18
"""What no figure of a window comes to, whatever its unit: bytes of memory are below 1e15, rates and times far below.
Squares of anything less are numbers still."""
HIGHEST_SHARE: Final = 1.05
"""A share of time that is measured by two clocks may be a little above 1."""


def of(visits: Iterable[Visit], configuration: Configuration) -> Visit | None:
    """Return the visit to a configuration."""
    return next((visit for visit in visits if visit.configuration == configuration), None)


def configuration_of(window: Window) -> dict[str, object]:
    """Return the knobs that were in force in a window, by model."""
    return {name: model.knobs for name, model in window.models.items()}


def absorbed(visits: Sequence[Visit], window: Window, now: float, percent: int = 99) -> tuple[Visit, ...]:
    """Return the visits with one more window in the visit to its configuration.

    Parameters
    ----------
    percent
        Of the objective's percentile.
    """
    old = next((visit for visit in visits if visit.configuration == configuration_of(window)), None)
    return (*(visit for visit in visits if visit is not old), merged(old, window, now, percent))


def merged(old: Visit | None, window: Window, now: float, percent: int = 99) -> Visit:
    """Return a visit with one more window."""
    if old is None:
        models = {name: ModelVisit(model.knobs) for name, model in window.models.items()}
        old = Visit(models, 0.0, now, spread=PRIOR_SPREAD)
    fade = min(1.0, MEMORY / old.seconds) if old.seconds > 0 else 1.0
    before, more = old.seconds * fade, window.seconds
    count = max(0, round(old.windows * fade))
    return Visit(
        models={
            name: replace(
                _model(old.models[name], window.models[name], (before, more), fade, count, percent=percent),
                step=_step(old.models[name], window.steps.get(names.post_processing(name)), (before, more), fade),
            )
            for name in old.models
        },
        seconds=before + more,
        ended=now,
        utilization=_mean(old.utilization, window.utilization, before, more),
        memory_used=_extreme(max, old.memory_used, window.memory_used),
        host=_mean(old.host, window.host, before, more),
        memory_total=old.memory_total if window.memory_total is None else window.memory_total,
        shared_memory_free=_extreme(min, old.shared_memory_free, window.shared_memory_free),
        windows=count + 1,
        spread=_spread(old, window, count),
        processors=_processors(old, window),
    )


def before(visits: Sequence[Visit], now: float) -> tuple[Visit, ...]:
    """Return the visits with none that ends ahead of the clock, which then was set back.

    Measured against a time that is years away all that is seen now would be years old, and count for nothing.
    """
    return tuple(visit if visit.ended <= now else replace(visit, ended=now) for visit in visits)


def begun_anew(visit: Visit) -> Visit:
    """Return a visit that keeps what is known of the cost of batches, at a quarter of its weight, and nothing else.

    For when the load, the time or the trial is another one, of which latency and rate of then say nothing.
    """
    models = {
        name: ModelVisit(
            m.knobs, _faded(m.batches, 0.25), m.demand, step=m.step and StepVisit(_faded(m.step.batches, 0.25))
        )
        for name, m in visit.models.items()
    }
    return Visit(models, 0.0, visit.ended, memory_used=visit.memory_used, memory_total=visit.memory_total)


def slower(visit: Visit, factor: float) -> Visit:
    """Return the visit as it would be were the whole server slower by a factor."""
    models = {
        name: replace(
            model, batches={size: replace(b, seconds=_short(b.seconds * factor)) for size, b in model.batches.items()}
        )
        for name, model in visit.models.items()
    }
    return replace(visit, models=models)


def cost_ratio(one: Visit, other: Visit) -> float | None:
    """Return how much dearer an execution is in one visit than in the other, at the batch sizes of both; None: none."""
    return _ratio(
        (model.batches, other.models[name].batches) for name, model in one.models.items() if name in other.models
    )


def believable(window: Window) -> Window | None:
    """Return a window without figures that cannot be; None if nothing of it can be believed."""
    if not (_sound(window.start) and _sound(window.seconds) and window.seconds > 0 and window.models):
        return None
    if not all(_believable_model(model) for model in window.models.values()):
        return None
    return replace(
        window,
        models={name: _without_noise(model) for name, model in window.models.items()},
        utilization=_share(window.utilization),
        host=_share(window.host),
        memory_used=_positive(window.memory_used),
        memory_total=_positive(window.memory_total),
        shared_memory_free=_positive(window.shared_memory_free),
        steps={name: step for name, step in window.steps.items() if _believable_step(step)},
    )


def _believable_model(model: ModelWindow) -> bool:
    figures = (model.demand, model.offered, model.rate, model.busy, model.queue, model.request, model.skipped)
    batches = (b.executions > 0 and _sound(b.seconds) and b.seconds > 0 for b in model.batches.values())
    return all(_sound(figure) for figure in figures) and model.busy <= HIGHEST_SHARE and all(batches)


def _believable_step(step: StepWindow) -> bool:
    batches = (b.executions > 0 and _sound(b.seconds) and b.seconds > 0 for b in step.batches.values())
    return _sound(step.executing) and _sound(step.request) and all(batches)


def _without_noise(model: ModelWindow) -> ModelWindow:
    """Leave out a percentile that is no number: windows with few results have none."""
    return replace(
        model, latency=_positive(model.latency), median=_positive(model.median), exchange=_positive(model.exchange)
    )


def _sound(figure: float) -> bool:
    return 0 <= figure < MOST


def _positive(figure: float | None) -> float | None:
    return figure if figure is not None and _sound(figure) else None


def _share(figure: float | None) -> float | None:
    return min(1.0, figure) if figure is not None and _sound(figure) and figure <= HIGHEST_SHARE else None


def _model(
    old: ModelVisit, new: ModelWindow, times: tuple[float, float], fade: float, count: int, *, percent: int
) -> ModelVisit:
    before, more = times

    def mean(one: float, other: float) -> float:
        return _short((one * before + other * more) / (before + more))

    ages = _pooled(old.ages, new.ages, fade)
    return ModelVisit(
        knobs=old.knobs,
        batches=_batches(_faded(old.batches, fade), new.batches),
        demand=_short(new.demand),
        rate=mean(old.rate, new.rate),
        busy=mean(old.busy, new.busy),
        queue=mean(old.queue, new.queue),
        latency=_latency(old, new, ages, percent, count),
        exchange=_mean(old.exchange, new.exchange, before, more),
        request=mean(old.request, new.request),
        ages=ages,
    )


def _step(old: ModelVisit, new: StepWindow | None, times: tuple[float, float], fade: float) -> StepVisit | None:
    """Return what was seen of a model's post-processing, where that is tuned."""
    count, before = old.knobs.post_processing, old.step or StepVisit()
    if new is None or not count:
        return old.step
    return StepVisit(
        _batches(_faded(before.batches, fade), new.batches),
        _mean(before.busy, min(1.0, new.executing / count), *times) or 0.0,
        _mean(before.request, new.request, *times) or 0.0,
    )


def _processors(old: Visit, window: Window) -> float | None:
    """Return those of the node, which count where post-processing is tuned."""
    if not any(model.knobs.post_processing for model in old.models.values()):
        return None
    return _positive(window.processors) or old.processors


def _pooled(old: Mapping[int, float], new: Mapping[int, int], fade: float) -> dict[int, float]:
    """Return the results by bucket; where there are few in hundredths, since whole ones would never fade."""
    found = {bucket: old.get(bucket, 0) * fade + new.get(bucket, 0) for bucket in sorted(old.keys() | new.keys())}
    return {b: round(count, 2) if count < MANY else round(count) for b, count in found.items() if count >= FAINT}


def _latency(old: ModelVisit, new: ModelWindow, ages: Mapping[int, float], percent: int, count: int) -> Range | None:
    """Return the percentile over all windows, of all their results where those are told."""
    if not ages:
        return old.latency if new.latency is None else _percentile(old.latency, new.latency, count)
    total = sum(ages.values())
    if total < least(percent):
        return None
    share = percent / 100.0
    # Between two ranks, by the normal approximation of the binomial distribution.
    reach = Z * math.sqrt(share * (1 - share) * TOGETHER / total)
    return Range(*(_short(quantile(ages, each)) for each in (share - reach, share, min(1.0, share + reach))))


def quantile(ages: Mapping[int, float], share: float) -> float:
    """Return the seconds that a share of results, counted by bucket, did not take longer than."""
    rank, passed = share * sum(ages.values()), 0.0
    for bucket in sorted(ages):
        passed += ages[bucket]
        if passed >= rank:
            return bound(bucket) * 2 ** (((rank - passed) / ages[bucket]) / BUCKETS_AN_OCTAVE)
    return bound(max(ages))


def mean_age(ages: Mapping[int, float]) -> float | None:
    """Return the mean of results that are counted by bucket, seconds; None: there are none."""
    total = sum(ages.values())
    middle = 2 ** (-0.5 / BUCKETS_AN_OCTAVE)
    return sum(bound(bucket) * count for bucket, count in ages.items()) * middle / total if total else None


def _percentile(old: Range | None, new: float, count: int) -> Range:
    """Merge a window's percentile by Welford's recurrence; the squares are got back from the range's width.

    The mean of windows' percentiles stands for the percentile of all where their results are not told one by one.
    """
    if old is None or count < 1:
        return _range(new, PRIOR_LATENCY_SPREAD * new, 1)
    squares = ((old.high - old.mean) * math.sqrt(count) / Z) ** 2 * count
    mean = old.mean + (new - old.mean) / (count + 1)
    squares += (new - old.mean) * (new - mean)
    return _range(mean, math.sqrt(max(0.0, squares) / (count + 1)), count + 1)


def _range(mean: float, deviation: float, count: int) -> Range:
    half = Z * deviation / math.sqrt(count)
    return Range(_short(max(0.0, mean - half)), _short(mean), _short(mean + half))


def _spread(old: Visit, window: Window, count: int) -> float:
    """Relative deviation of the windows' cost from what was known before each: a little too large, never too small."""
    ratio = _ratio((model.batches, old.models[name].batches) for name, model in window.models.items())
    if ratio is None or count < 1:
        return old.spread or PRIOR_SPREAD
    return _short(math.sqrt((old.spread**2 * count + math.log(ratio) ** 2) / (count + 1)))


def _ratio(pairs: Iterable[tuple[Mapping[int, BatchTime], Mapping[int, BatchTime]]]) -> float | None:
    measured = known = 0.0
    for one, other in pairs:
        for size in one.keys() & other.keys():
            measured += one[size].executions * one[size].seconds
            known += one[size].executions * other[size].seconds
    return measured / known if measured > 0 and known > 0 else None


def _faded(batches: Mapping[int, BatchTime], fade: float) -> dict[int, BatchTime]:
    return {size: replace(b, executions=max(1, round(b.executions * fade))) for size, b in batches.items()}


def _batches(old: Mapping[int, BatchTime], new: Mapping[int, BatchTime]) -> dict[int, BatchTime]:
    return {size: _joined(old.get(size), new.get(size)) for size in sorted(old.keys() | new.keys())}


def _joined(old: BatchTime | None, new: BatchTime | None) -> BatchTime:
    one, other = old or new, new or old
    assert one is not None and other is not None  # noqa: S101, PT018 - the size is of one of them
    if old is None or new is None:
        return BatchTime(one.executions, _short(one.seconds), _short(one.share_of_copies))
    count = one.executions + other.executions
    seconds = one.executions * one.seconds + other.executions * other.seconds
    copies = (
        one.executions * one.seconds * one.share_of_copies + other.executions * other.seconds * other.share_of_copies
    )
    return BatchTime(count, _short(seconds / count), _short(copies / seconds) if seconds > 0 else 0.0)


def _mean(old: float | None, new: float | None, before: float, more: float) -> float | None:
    if old is None or new is None:
        return old if new is None else _short(new)
    return _short((old * before + new * more) / (before + more))


def _extreme(choose: object, old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return old if new is None else new
    return choose(old, new)  # type: ignore[operator, no-any-return]


def _short(figure: float) -> float:
    """Six digits are more than is measured, and half the bytes of a float."""
    return float(f"{figure:.6g}")
