"""ED06xx: what the pods' own figures show. Counters are since the pod began, so these are means over that time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.observation import ModelCounters, Observation
from edgedetector.api.quantities import parse_duration
from edgedetector.cli.codes.base import Case, Code, Fields, Severity
from edgedetector.cli.summary import figure

NARROW: Final = 2.0
"""PCIe lanes that no card is made for."""
ENOUGH: Final = 100
"""Requests or frames from which a mean says something."""
DELAY_SHARE: Final = 0.2
"""Of the latency objective, a queue delay that is worth telling."""
SKIPPED: Final = 0.1
"""Share of frames whose loss is no accident."""
FAILED: Final = 0.01
FULL: Final = 0.95
"""Share of the accelerator's memory from which a reload may find no room."""
HOT: Final = 85.0
"""Degrees Celsius; passively cooled edge cards slow down around 90."""


def _pods(case: Case) -> Iterator[tuple[str, str, Observation]]:
    for pod, seen in sorted(case.subject.observations.items()):
        yield pod, f"Pod {case.subject.namespace}/{pod}", seen


def _models(case: Case) -> Iterator[tuple[str, ModelCounters, EdgeDetector]]:
    detector = case.detector
    for _, where, seen in _pods(case):
        for model in seen.models if detector is not None else ():
            if detector is not None:
                yield where, model, detector


def narrow(case: Case) -> Iterator[Fields]:
    """Yield cards that use fewer lanes than they have."""
    for _, where, seen in _pods(case):
        lanes = seen.gauges.get("pcieWidth")
        if lanes is not None and 0 < lanes <= NARROW:
            yield {"object": where, "lanes": f"x{lanes:g}"}


def delay_left(case: Case) -> Iterator[Fields]:
    """Yield a long queue delay in force that requests wait out."""
    knobs = (case.subject.status.get("serving") or {}).get("models") or ()
    delays = {one["name"]: one.get("maxQueueDelay", "0s") for one in knobs}
    for where, model, detector in _models(case):
        objective = detector.spec.tuning.objective.latency.max.total_seconds()
        delay = _seconds(delays.get(model.name, "0s"))
        waited = model.queue / model.requests / 1e9 if model.requests >= ENOUGH else 0.0
        if delay >= DELAY_SHARE * objective and waited >= delay / 2:
            yield {"object": where, "model": model.name, "delay": delays[model.name], "waited": f"{waited * 1000:.1f}"}


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError:
        return 0.0


def objective_too_low(case: Case) -> Iterator[Fields]:
    """Yield a latency objective that one image alone breaks."""
    for where, model, detector in _models(case):
        objective = detector.spec.tuning.objective.latency.max.total_seconds()
        smallest = min(
            (one for one in model.batches if one.executions >= ENOUGH), key=lambda one: one.size, default=None
        )
        if smallest is None:
            continue
        spent = smallest.compute_input + smallest.compute_infer + smallest.compute_output
        taken = spent / smallest.executions / 1e9
        if taken >= objective:
            yield {
                "object": where,
                "model": model.name,
                "size": smallest.size,
                "taken": f"{taken * 1000:.1f}",
                "objective": f"{objective * 1000:g}",
            }


def too_much_demand(case: Case) -> Iterator[Fields]:
    """Yield that cameras ask for more than is served."""
    found = case.subject.status.get("capacity") or {}
    frames, demand = figure(found.get("framesPerSecond")), figure(found.get("demand"))
    if frames is not None and demand is not None and demand > frames:
        limit = found.get("limit") or "unknown"
        yield {"frames": f"{frames:g}", "demand": f"{demand:g}", "limit": limit, "said": found.get("message", "")}


def memory_full(case: Case) -> Iterator[Fields]:
    """Yield accelerators with next to no memory left."""
    for _, where, seen in _pods(case):
        used, total = seen.gauges.get("memoryUsed"), seen.gauges.get("memoryTotal")
        if used is not None and total and used / total > FULL:
            yield {"object": where, "used": f"{used / total:.0%}", "total": f"{total / 1e9:.1f}"}


def hot(case: Case) -> Iterator[Fields]:
    """Yield accelerators that are about to slow down."""
    for _, where, seen in _pods(case):
        degrees = seen.gauges.get("temperature")
        if degrees is not None and degrees > HOT:
            yield {"object": where, "degrees": f"{degrees:.0f}"}


def skipped(case: Case) -> Iterator[Fields]:
    """Yield models of whose frames many came too late."""
    for where, model, _ in _models(case):
        if model.offered >= ENOUGH and model.skipped / model.offered > SKIPPED:
            yield {"object": where, "model": model.name, "share": f"{model.skipped / model.offered:.0%}"}


def failed(case: Case) -> Iterator[Fields]:
    """Yield models that answer with errors."""
    for where, model, _ in _models(case):
        if model.offered >= ENOUGH and model.failures / model.offered > FAILED:
            yield {"object": where, "model": model.name, "count": model.failures, "offered": model.offered}


CODES: Final = (
    Code(
        "ED0601",
        "The accelerator has too few PCIe lanes",
        Severity.WARNING,
        "the card is linked with {lanes}: x1 carries about 1 GB/s, x4 about 4",
        "reseat the card or give it a slot with all its lanes, and check the slot's width in the BIOS; on the node:"
        " lspci -vv, LnkCap against LnkSta",
        narrow,
    ),
    Code(
        "ED0602",
        "Requests wait out a long queue delay",
        Severity.WARNING,
        "model {model} has a queue delay of {delay}, and requests wait {waited} ms on average",
        "lower spec.serving.maxQueueDelay and spec.tuning.bounds.maxQueueDelay (1ms is usual), or let tuning do it:"
        " spec.tuning.mode Auto",
        delay_left,
    ),
    Code(
        "ED0603",
        "The latency objective is below one image's time",
        Severity.WARNING,
        "batches of {size} of model {model} take {taken} ms in the accelerator alone, the objective is {objective} ms",
        "raise spec.tuning.objective.latency.max, or use a faster model (FP16 or INT8 engine, smaller input)",
        objective_too_low,
    ),
    Code(
        "ED0604",
        "Cameras ask for more than the box serves",
        Severity.WARNING,
        "{demand} frames/s are asked for, {frames} are served, limited by {limit}",
        "lower spec.cameras[].frameRate.target, or cure the limit: {said}",
        too_much_demand,
    ),
    Code(
        "ED0605",
        "The accelerator's memory is nearly full",
        Severity.WARNING,
        "{used} of {total} GB are in use: a reload, which needs old and new at once, may find no room",
        "lower spec.tuning.bounds.instances.max or the models' maxBatchSize, or give some models to another card",
        memory_full,
    ),
    Code(
        "ED0606",
        "The accelerator is hot",
        Severity.WARNING,
        "it has {degrees} degrees Celsius, and may slow down or switch itself off",
        "see to its cooling: fan, airflow, dust, the box's place",
        hot,
    ),
    Code(
        "ED0607",
        "Frames are skipped",
        Severity.WARNING,
        "{share} of the frames for model {model} came too late or were superseded",
        "see status.capacity for what limits the box; lower frame rates or use sub-streams until then",
        skipped,
    ),
    Code(
        "ED0608",
        "Inferences fail",
        Severity.ERROR,
        "{count} of {offered} frames sent to model {model} came to nothing",
        "kubectl -n {namespace} logs -l edgedetector.dev/detector={name} -c detector, and -c triton, name the error",
        failed,
    ),
)
