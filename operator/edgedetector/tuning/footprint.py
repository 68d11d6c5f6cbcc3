"""What a configuration takes of the accelerator's memory, while it serves and while it replaces what serves now.

Told from differences between visits; of a single visit only a bound is known. What was not seen stays None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration, Knobs

_SPREAD: Final = 0.15
"""Relative error of what differences tell: allocators take memory in steps."""
_WORKSPACE: Final = 6.0
"""Bytes of an instance's buffers for each byte of an image's inputs and outputs, at most: activations."""
_MOST: Final = 1e15
"""Bytes of an accelerator's memory that can be believed."""
_COMPARED: Final = 16
"""Visits that are compared with each other, the newest."""
_SHARE_OF_IMAGE: Final = 0.2
"""Of an instance's memory that a further image of its largest batch takes at most: 8 to 60 MB beside engine, weights
and context of some hundred MB."""

Axis = Callable[[Knobs], int]


def memory(
    configuration: Configuration, visits: Sequence[Visit], situation: Situation, now: Visit | None
) -> tuple[Range | None, Range | None]:
    """Return bytes of the accelerator once `configuration` serves, and at most while it replaces what serves now."""
    used = _used(now)
    if now is None or used is None:
        return None, None
    before = now.configuration
    after = change = Range(used, used, used)
    for name, knobs in configuration.items():
        old, knobs = _on_device(before.get(name, Knobs(instances=0))), _on_device(knobs)  # noqa: PLW2901 - as above
        if knobs == old:
            continue
        was, will = (_instance(name, each, now, visits, situation) for each in (old, knobs))
        count, already = max(0, knobs.instances), max(0, old.instances)
        if _largest(old) == _largest(knobs):
            after = _sum(after, _times(will, count - already))
        else:
            after = _sum(after, _times(will, count), _times(was, -already))
        kept = situation.in_place and only_instances(old, knobs)
        change = _sum(change, _times(will, max(0, count - already) if kept else count))
    seen = [value for visit in visits if visit.configuration == dict(configuration) if (value := _used(visit))]
    after = Range(min(seen), seen[-1], max(seen)) if seen else _positive(after)
    return after, Range(max(used, change.low), max(change.mean, after.mean), max(change.high, after.high))


def total(visits: Sequence[Visit], situation: Situation) -> float | None:
    """Return bytes that the accelerator has: by its exporter, else as stated; None: neither."""
    told = [visit.memory_total for visit in visits if known(visit.memory_total)]
    stated = situation.limits.memory
    return told[-1] if told else stated if known(stated) else None


def grows(configuration: Configuration, before: Configuration, situation: Situation) -> bool:
    """Return whether a step may need more of the accelerator's memory, for ever or while it is made."""
    return any(_model_grows(before.get(name), knobs, situation) for name, knobs in configuration.items())


def only_instances(old: Knobs, new: Knobs) -> bool:
    """Return whether nothing but the number of instances differs."""
    return replace(old, instances=new.instances) == new


def _model_grows(before: Knobs | None, after: Knobs, situation: Situation) -> bool:
    old, new = before and _on_device(before), _on_device(after)
    if old is None or new.instances > old.instances or _largest(new) > _largest(old):
        return True
    reloaded = old != new and not (situation.in_place and only_instances(old, new))
    return reloaded and not situation.coexisting


def _on_device(knobs: Knobs) -> Knobs:
    """Return what counts of knobs on the accelerator: tuned post-processing is on the host's processors."""
    return replace(knobs, post_processing=0)


def _instance(name: str, knobs: Knobs, now: Visit, visits: Sequence[Visit], situation: Situation) -> Range:
    """Return bytes of one instance.

    Of a single visit it is known to be at most all that is used, shared by the instances; differences between visits
    tell it. It grows with the largest batch by the buffers of the further images.
    """
    used = _used(now)
    if name not in now.models or used is None:
        return Range(0.0, 0.0, 1e18)
    reference = now.models[name].knobs
    size, seen = _largest(knobs), _largest(reference)
    most = used / max(1, reference.instances)
    # Each instance takes something: a difference that says otherwise is of an exporter that lags behind a change.
    told = [step for step in _steps(name, visits, of=_instances, beside=_largest) if step > 0.0]
    bare = _estimate(told, 1.0) or Range(0.0, most / 2, most)
    further = size - seen
    workspace = _estimate(_steps(name, visits, of=_largest, beside=_instances), 1.0 / max(1, reference.instances))
    if workspace is not None:
        return _positive(_sum(bare, _times(workspace, further)))
    if further <= 0:
        return Range(bare.low * size / seen, bare.mean, bare.high)
    engine = situation.engines.get(name)
    steepest = bare.high * further * min(1.0 / seen, _SHARE_OF_IMAGE)
    if engine is not None and known(engine.region):
        steepest = min(steepest, further * engine.region * _WORKSPACE)
    return Range(bare.low, bare.mean + steepest / 4, bare.high + steepest)


def _steps(name: str, visits: Sequence[Visit], *, of: Axis, beside: Axis) -> list[float]:
    """Return bytes for each step on the axis `of`, from pairs of visits that differ in nothing else that counts."""
    found = []
    newest = [visit for visit in visits if name in visit.models][-_COMPARED:]
    for one, other in combinations(newest, 2):
        first, second = one.models[name].knobs, other.models[name].knobs
        step = of(second) - of(first)
        if step and beside(first) == beside(second) and _others(name, one) == _others(name, other):
            before, after = _used(one), _used(other)
            if before is not None and after is not None:
                found.append((after - before) / step)
    return found


def _estimate(values: Sequence[float], scale: float) -> Range | None:
    """Return what differences tell; None if there are none."""
    if not values:
        return None
    mean = max(0.0, sum(values) / len(values)) * scale
    return Range(max(0.0, min(values) * scale) * (1 - _SPREAD), mean, max(mean, max(values) * scale) * (1 + _SPREAD))


def _others(name: str, visit: Visit) -> dict[str, tuple[int, int]]:
    return {
        other: (model.knobs.instances, _largest(model.knobs)) for other, model in visit.models.items() if other != name
    }


def _used(visit: Visit | None) -> float | None:
    used = visit.memory_used if visit is not None else None
    return used if used is not None and 0.0 < used < _MOST else None


def _instances(knobs: Knobs) -> int:
    return knobs.instances


def _largest(knobs: Knobs) -> int:
    return max(1, knobs.max_batch_size)


def _positive(value: Range) -> Range:
    return Range(max(0.0, value.low), max(0.0, value.mean), max(0.0, value.high))


def _times(value: Range, factor: float) -> Range:
    ends = (value.low * factor, value.high * factor)
    return Range(min(ends), value.mean * factor, max(ends))


def _sum(*values: Range) -> Range:
    return Range(sum(v.low for v in values), sum(v.mean for v in values), sum(v.high for v in values))
