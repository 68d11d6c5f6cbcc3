"""Which configurations are worth a prediction: the grid of each model's knobs within its bounds, thinned by facts.

Preferred batch sizes are offered only with a delay, and only where an image is clearly cheaper in such a batch or the
engine says it was compiled for them: without a delay the largest of them is a hard cap, which the largest batch says
plainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from edgedetector.tuning import post_processing
from edgedetector.tuning.curve import Curve, Curves
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Configuration, Knobs

DELAYS: Final = (0, 1000, 2000, 5000, 10_000, 20_000, 50_000)
"""Microseconds."""
_FEW_DELAYS: Final = (0, 500, 2000, 5000)
"""Where capacity is wanted: our client forms batches while the server is busy, so that a delay only helps to keep the
accelerator's headroom at the present demand."""
_FEWER_DELAYS: Final = (0, 2000)
"""Of them, with several models: they wait for each other anyway, and their configurations multiply."""
_USUAL: Final = frozenset(factor << exponent for exponent in range(8) for factor in (1, 3))
"""Largest batches: each a third to a half above the one before."""


def candidates(present: Configuration, situation: Situation, curves: Curves) -> Iterator[Configuration]:
    """Yield the configurations that are worth a prediction, without the present one; every one keeps the bounds.

    One model at a time differs from the present configuration; of several models also all alike, and one that gives an
    instance to another.
    """
    seen = {_key(present)}
    for configuration in _all(present, situation, curves):
        key = _key(configuration)
        if key not in seen:
            seen.add(key)
            yield configuration


def around(
    configuration: Configuration, present: Configuration, situation: Situation, curves: Curves
) -> Iterator[Configuration]:
    """Yield a configuration of several models with instances and batches of one of them changed.

    Where what suits one depends on what another takes, the best needs other changes of both than all alike: those are
    come to one model after the other, from what promises most so far, without a trial in between. What serves at
    present says which batches a delay may join.
    """
    limits = situation.limits
    counts = range(max(1, limits.min_instances), limits.max_instances + 1)
    for name in sorted(name for name in configuration if name in situation.engines):
        base, engine = configuration[name], situation.engines[name]
        sizes = _sizes(base, engine, curves.of(name))
        most = _furthest(sizes, situation, curves.of(name))
        for count, size in product(counts, sizes):
            delay = base.max_queue_delay_microseconds if size > 1 else 0
            changed = within(Knobs(count, size, (), delay, base.post_processing), engine, limits)
            if changed != base and _foreseen(size, changed.max_queue_delay_microseconds, present[name], most):
                yield {**configuration, name: changed}


def within(knobs: Knobs, engine: Engine, limits: Limits) -> Knobs:
    """Return the nearest knobs that keep the bounds of the engine and the user."""
    compiled = max(1, engine.largest_batch)
    largest = min(compiled, max(1, knobs.max_batch_size)) if engine.largest_batch > 0 else 0
    return Knobs(
        instances=min(max(knobs.instances, limits.min_instances, 1), max(1, limits.max_instances)),
        max_batch_size=largest,
        preferred_batch_sizes=tuple(sorted({size for size in knobs.preferred_batch_sizes if 1 <= size <= largest})),
        max_queue_delay_microseconds=min(
            max(0, knobs.max_queue_delay_microseconds), max(0, limits.max_queue_delay_microseconds)
        ),
        post_processing=post_processing.kept(knobs.post_processing, limits),
    )


def _all(present: Configuration, situation: Situation, curves: Curves) -> Iterator[Configuration]:
    names = [name for name in sorted(present) if name in situation.engines]
    options = {name: _options(present[name], situation.engines[name], situation, curves.of(name)) for name in names}
    for name in names:
        found, known = options[name], curves.of(name).steps
        for knobs in post_processing.variants(found, present[name], situation.limits, known):
            yield {**present, name: knobs}
    if len(names) > 1:
        yield from _together(present, names, situation)
    for giver, taker in product(names, names):
        if giver != taker:
            yield from _handed_over(present, giver, taker, situation)


def _together(present: Configuration, names: Sequence[str], situation: Situation) -> Iterator[Configuration]:
    """Yield all models changed alike: where each of them is what limits, a change of one alone gains nothing."""
    limits = situation.limits
    for count, size in product(range(max(1, limits.min_instances), limits.max_instances + 1), sorted(_USUAL)):
        alike = {
            name: present[name]
            if situation.engines[name].fixed_batch
            else within(
                Knobs(count, size, post_processing=present[name].post_processing), situation.engines[name], limits
            )
            for name in names
        }
        yield {**present, **alike}


def _options(now: Knobs, engine: Engine, situation: Situation, curve: Curve) -> Iterator[Knobs]:
    """Yield knobs of one model: its present ones with one changed, then the grid."""
    limits = situation.limits
    counts = range(max(1, limits.min_instances), limits.max_instances + 1)
    if not counts:
        return
    base = within(now, engine, limits)
    sizes, delays = _sizes(base, engine, curve), _delays(situation)
    if len(situation.engines) > 1 and situation.goal is Goal.THROUGHPUT:
        delays = [delay for delay in delays if delay in _FEWER_DELAYS]
    most = _furthest(sizes, situation, curve)
    yield base
    for count in counts:
        yield Knobs(count, base.max_batch_size, base.preferred_batch_sizes, base.max_queue_delay_microseconds)
    for delay in delays:
        if _foreseen(base.max_batch_size, delay, base, most):
            yield Knobs(base.instances, base.max_batch_size, base.preferred_batch_sizes, delay)
    preferred = tuple(sorted({*engine.preferred, *curve.dips()}))
    for count, size, delay in product(counts, sizes, delays):
        if size <= 1 and delay > 0:
            continue  # Nothing to wait for.
        if not _foreseen(size, delay, base, most):
            continue
        yield Knobs(count, size, (), delay)
        hints = tuple(hint for hint in preferred if 1 < hint <= size)
        if hints and delay > 0:
            yield Knobs(count, size, hints, delay)


def _foreseen(size: int, delay: int, now: Knobs, most: int) -> bool:
    """Return whether a delay joins no larger batches than `most`, or than it may already.

    It makes them come up at the present load, and of what was never seen a cliff may break the objective at once.
    """
    already = delay <= now.max_queue_delay_microseconds and size <= max(1, now.joined)
    return delay <= 0 or already or size <= most


def reaches_out(configuration: Configuration, present: Configuration, curves: Curves) -> bool:
    """Return whether a longer delay joins larger batches than were seen."""
    return any(
        not _foreseen(knobs.joined, knobs.max_queue_delay_microseconds, present[name], measured[-1])
        for name, knobs in configuration.items()
        if name in present and (measured := curves.of(name).measured)
    )


def _furthest(sizes: Sequence[int], situation: Situation, curve: Curve) -> int:
    """Return the largest batch that a delay may join: the largest seen, or the next one where waiting may be wanted.

    One size at a time, each a step that tells what the next one costs; how dear it may be is bounded (`Curve.dearer`).
    Where capacity is wanted, the load itself brings larger batches up, and no step is spent on them.
    """
    if not curve.measured:
        return max(sizes)
    largest = curve.measured[-1]
    if situation.goal is Goal.THROUGHPUT:
        return largest
    return min((size for size in sizes if size > largest), default=largest)


def _sizes(now: Knobs, engine: Engine, curve: Curve) -> Sequence[int]:
    """Return largest batches: usual ones, the compiled one, stated ones, and what is measured as a dip."""
    if engine.largest_batch <= 0:
        return (0,)
    if engine.fixed_batch:
        return (now.max_batch_size,)
    sizes = _USUAL | {engine.largest_batch} | set(engine.preferred) | set(curve.dips())
    return sorted(size for size in sizes if 1 <= size <= engine.largest_batch)


def _delays(situation: Situation) -> Sequence[int]:
    """Return delays within the bounds; the whole list only where waiting can be what is wanted."""
    wanted = {Goal.EFFICIENCY: DELAYS, Goal.THROUGHPUT: _FEW_DELAYS, Goal.LATENCY: (0,)}[situation.goal]
    return [delay for delay in wanted if delay <= max(0, situation.limits.max_queue_delay_microseconds)]


def _handed_over(present: Configuration, giver: str, taker: str, situation: Situation) -> Iterator[Configuration]:
    """Yield the present configuration with an instance of one model given to another."""
    fewer, more = present[giver].instances - 1, present[taker].instances + 1
    if situation.limits.min_instances <= fewer and fewer >= 1 and more <= situation.limits.max_instances:
        changed = {giver: replace(present[giver], instances=fewer), taker: replace(present[taker], instances=more)}
        yield {
            name: within(knobs, situation.engines.get(name, Engine()), situation.limits) if name in changed else knobs
            for name, knobs in {**present, **changed}.items()
        }


def _key(configuration: Configuration) -> tuple[tuple[str, Knobs], ...]:
    return tuple(sorted(configuration.items()))
