"""One plain line for each thing that the tuner does: before, after, predicted, measured, kept or reverted, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from edgedetector.tuning.evidence import Prediction, Range, Visit
from edgedetector.tuning.gain import grounded
from edgedetector.tuning.lane import ANY, NEVER
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration, Knobs

_MOST: Final = 4
"""Models that are told of in full; of more, the rest is counted."""
_CAPACITY: Final = "capacity of a pod"
_THREE_DIGITS: Final = 100.0


def change(before: Configuration, after: Configuration) -> str:
    """Return what differs: "people: 1 -> 2 instances, batches up to 8"; models that stay as they are left out."""
    parts = [
        f"{name}: {', '.join(_knobs(before[name], knobs))}"
        for name, knobs in sorted(after.items())
        if name in before and before[name] != knobs
    ]
    more = f"; and {len(parts) - _MOST} other models" if len(parts) > _MOST else ""
    return ("; ".join(parts[:_MOST]) + more) or "nothing changes"


def figures(before: Prediction, after: Prediction, predicted: Prediction, situation: Situation) -> str:
    """Return what a trial showed: "capacity of a pod 121 -> 158 images/s (predicted 150-170), p99 23 -> 31 ms of 50".

    A capacity is told from what executions took, where the load does not reach it.

    Parameters
    ----------
    before, after
        As measured (`gain.grounded`).
    predicted
        What was expected of `after`.
    """
    told = []
    for name in sorted(after.models.keys() & before.models.keys()):
        one, other, expected = before.models[name], after.models[name], predicted.models.get(name)
        text = f"{_CAPACITY} {number(one.capacity.mean)} -> {number(other.capacity.mean)} images/s"
        text += f" (predicted {_between(expected.capacity)})" if expected and expected.capacity.high < ANY else ""
        text += f", {percentile(situation)} {_ms(one.latency.mean)} -> {_ms(other.latency.mean)} ms"
        text += f" of {_ms(situation.limits.latency)}"
        if situation.goal == Goal.LATENCY and expected and expected.latency.high < NEVER:
            text += f" (predicted {_between(expected.latency, 1000)})"
        told.append(f"{name} {text}" if len(after.models) > 1 else text)
    device = _device(before, after, situation)
    return "; ".join([*told[:_MOST], *device])


def expected(present: Prediction, prediction: Prediction, situation: Situation) -> str:
    """Return what a configuration should give: "capacity of a pod from 121 to 150-170 images/s predicted, p99 ..."."""
    told = []
    for name in sorted(prediction.models.keys() & present.models.keys()):
        one, other = present.models[name], prediction.models[name]
        text = (
            f"{_foreseen(one.capacity, other.capacity)}, {percentile(situation)} {_latency(other.latency, situation)}"
        )
        told.append(f"{name} {text}" if len(prediction.models) > 1 else text)
    return "; ".join(told[:_MOST])


def settled(
    configuration: Configuration,
    visit: Visit | None,
    prediction: Prediction,
    situation: Situation,
    hindered: str = "",
) -> str:
    """Return what tuning ended at.

    Parameters
    ----------
    hindered
        Which step promises more and is not safe, and why; empty: none.
    """
    seen = prediction if visit is None else grounded(prediction, visit, situation.limits.latency)
    parts = [
        f"{name} at {stated(knobs)}: {_CAPACITY} {number(seen.models[name].capacity.mean)} images/s"
        for name, knobs in sorted(configuration.items())
        if name in seen.models
    ]
    more = hindered or "nothing that is safe promises clearly more"
    return f"converged with {'; '.join(parts[:_MOST])}; {more}"


def unseen(steps: int) -> str:
    """Return what is added where so many steps of several models were not looked at; empty: all were."""
    return f"; {_count(steps, 'possible step')} of the models not looked at, since they are many" if steps else ""


def stated(knobs: Knobs) -> str:
    """Return knobs in words: "2 instances, batches up to 8, delay 1 ms"."""
    parts = [_count(knobs.instances, "instance")]
    parts.append(f"batches up to {largest_batch(knobs)}" if largest_batch(knobs) > 1 else "no batches")
    if knobs.max_queue_delay_microseconds:
        parts.append(f"queue delay {delay(knobs.max_queue_delay_microseconds)}")
    if knobs.post_processing:
        parts.append(f"post-processing with {_count(knobs.post_processing, 'instance')}")
    return ", ".join(parts)


def largest_batch(knobs: Knobs) -> int:
    """Return the largest batch that Triton joins."""
    return knobs.joined


def demand(by_model: Mapping[str, float]) -> str:
    """Return a demand: "120 images/s", "people 80, cars 40 images/s"."""
    if len(by_model) == 1:
        return f"{number(next(iter(by_model.values())))} images/s"
    return f"{', '.join(f'{name} {number(each)}' for name, each in sorted(by_model.items())[:_MOST])} images/s"


def percentile(situation: Situation) -> str:
    """Return the objective's percentile: "p99"."""
    return f"p{situation.limits.percentile}"


def number(figure: float) -> str:
    """Return a figure with three digits, and those before the point: "0.123", "12.3", "1234"."""
    return f"{figure:.0f}" if figure >= _THREE_DIGITS else f"{figure:.3g}"


def milliseconds(seconds: float) -> str:
    """Return a time: "0.5 ms", "1234 ms"."""
    return f"{number(seconds * 1000)} ms"


def delay(microseconds: int) -> str:
    """Return a queue delay: "0", "100 us", "1 ms"."""
    if microseconds >= 1000:  # noqa: PLR2004 - a millisecond
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds} us" if microseconds else "0"


def _knobs(one: Knobs, other: Knobs) -> Iterator[str]:
    if one.instances != other.instances:
        yield f"{one.instances} -> {_count(other.instances, 'instance')}"
    if largest_batch(one) != largest_batch(other):
        yield f"batches up to {largest_batch(other)} instead of {largest_batch(one)}"
    elif one.max_batch_size != other.max_batch_size:
        yield f"largest batch {other.max_batch_size} instead of {one.max_batch_size}"
    if one.preferred_batch_sizes != other.preferred_batch_sizes:
        sizes = ", ".join(map(str, other.preferred_batch_sizes))
        yield f"preferred batches {sizes}" if sizes else "no preferred batches"
    if one.max_queue_delay_microseconds != other.max_queue_delay_microseconds:
        yield f"queue delay {delay(one.max_queue_delay_microseconds)} -> {delay(other.max_queue_delay_microseconds)}"
    if one.post_processing != other.post_processing:
        yield f"post-processing {one.post_processing} -> {_count(other.post_processing, 'instance')}"


def _device(before: Prediction, after: Prediction, situation: Situation) -> list[str]:
    if situation.goal != Goal.EFFICIENCY or before.utilization is None or after.utilization is None:
        return []
    return [f"accelerator {before.utilization.mean:.0%} -> {after.utilization.mean:.0%}"]


def _foreseen(before: Range, after: Range) -> str:
    if after.high >= ANY:
        return f"{_CAPACITY} not known"
    return f"{_CAPACITY} from {number(before.mean)} to {_between(after)} images/s predicted"


def _latency(figure: Range, situation: Situation) -> str:
    if figure.high >= NEVER:
        return "not known"
    return f"{_between(figure, 1000)} ms of {_ms(situation.limits.latency)}"


def _between(figure: Range, factor: float = 1.0) -> str:
    low, high = number(figure.low * factor), number(figure.high * factor)
    return low if low == high else f"{low}-{high}"


def _ms(seconds: float) -> str:
    return number(seconds * 1000)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
