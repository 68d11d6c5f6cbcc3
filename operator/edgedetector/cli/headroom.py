"""What `bench` tells: throughput and percentiles of each step, why it ended, and what limits the box then. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rich.text import Text

from edgedetector.api.bench import Bench, Served, Step
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.cli.render import table
from edgedetector.cli.snapshot import Subject
from edgedetector.observe.windows import MEASURED, window
from edgedetector.plan import shared_memory
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.known import known
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs, ModelWindow, Window

Json = dict[str, Any]

UNKNOWN: Final = "Unknown"


def stated(subject: Subject) -> tuple[float | None, int]:
    """Return the latency objective in seconds, None where it is left to its default, and its percentile."""
    detector = subject.parsed()
    if detector is None:
        return None, 99
    objective = detector.spec.tuning.objective.latency
    written = subject.spec
    for key in ("tuning", "objective", "latency"):
        written = written.get(key) or {}
    return objective.max.total_seconds() if written.get("max") else None, objective.percentile


def described(found: Bench, subject: Subject, pod: str) -> Json:
    """Return what a bench says, as the fields of a document."""
    best = max((one for one in found.steps if _kept(one, found)), key=lambda one: one.rate + one.cameras, default=None)
    return {
        "pod": pod,
        "began": found.began,
        "ended": found.ended,
        "by": found.by,
        "percentile": found.percentile,
        "limit": _rounded(found.limit),
        "stopped": found.stopped,
        "throughput": round(best.rate + best.cameras, 1) if best else None,
        "steps": [_step(one) for one in found.steps],
        "bottleneck": _bottleneck(found, subject),
    }


def _kept(step: Step, found: Bench) -> bool:
    """Tell whether a step kept the limit, by the percentile of it that is told and is nearest."""
    told = step.p50 if found.percentile <= 50 else step.p90 if found.percentile <= 90 else step.p99  # noqa: PLR2004
    return told is None or found.limit is None or told <= found.limit


def _step(one: Step) -> Json:
    return {
        "concurrency": one.frames,
        "seconds": round(one.seconds, 1),
        "requests": one.requests,
        "throughput": round(one.rate, 1),
        "cameras": round(one.cameras, 1),
        "p50": _rounded(one.p50),
        "p90": _rounded(one.p90),
        "p99": _rounded(one.p99),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _bottleneck(found: Bench, subject: Subject) -> Json:
    """Return what limits the box under the last step's load, or why that cannot be told."""
    detector = subject.parsed()
    if detector is None or found.before is None or found.after is None or not found.steps:
        return _unknown("no step lasted long enough")
    seen = loaded(found)
    if seen.disturbed or not seen.models:
        return _unknown(seen.disturbed or "Triton did not answer")
    profile = subject.profile_parsed()
    spec = detector.spec
    told = diagnose(
        [seen], situation(detector, found.limit), known(spec.models, spec.cameras, profile.spec if profile else None)
    )
    first = told.bottleneck
    return {
        "class": str(first.bottleneck),
        "confidence": str(first.confidence),
        "message": told.message,
        "remedy": first.remedy,
        "unknown": list(told.unknown),
    }


def _unknown(why: str) -> Json:
    return {"class": UNKNOWN, "confidence": "Possible", "message": why, "remedy": "", "unknown": []}


def loaded(found: Bench) -> Window:
    """Return the window of the last step, in which the load counts as demand, and its latency as theirs.

    Raises
    ------
    ValueError
        If there was none.
    """
    if found.before is None or found.after is None:
        raise ValueError("no step")
    knobs = {name: _knobs(one) for name, one in found.models.items()}
    ids = {model.serving_id for one in (found.before, found.after) for model in one.models}
    made = window(
        found.before, found.after, pod="", knobs=dict.fromkeys(ids, knobs), percentile=found.percentile,
        now=found.after.at, start=found.before.at,
    )  # fmt: skip
    last = found.steps[-1]
    models = {name: _demanded(model, last) for name, model in made.models.items()}
    return replace(made, models=models, disturbed="" if made.disturbed == MEASURED else made.disturbed)


def _demanded(model: ModelWindow, last: Step) -> ModelWindow:
    """Return a model's window as if cameras had sent the load."""
    latency = max((one for one in (model.latency, last.p99) if one is not None), default=None)
    return replace(
        model,
        demand=max(model.demand, model.rate),
        offered=max(model.offered, model.rate),
        latency=latency,
        median=model.median if model.median is not None else last.p50,
    )


def _knobs(one: Served) -> Knobs:
    return Knobs(
        one.instances, one.max_batch_size, one.preferred_batch_sizes, one.max_queue_delay_microseconds,
        one.post_processing,
    )  # fmt: skip


def situation(detector: EdgeDetector, limit: float | None) -> Situation:
    """Return what a diagnosis needs of the specification, and the latency at which the bench was to end."""
    tuning = detector.spec.tuning
    latency = tuning.objective.latency
    return Situation(
        start={},
        engines={
            model.name: Engine(
                largest_batch=model.max_batch_size,
                region=float(shared_memory.row(model)),
                tensors=float(shared_memory.row(model)),
            )
            for model in detector.spec.models
        },
        goal=Goal(tuning.objective.goal),
        limits=Limits(
            latency=latency.max.total_seconds() if limit is None else limit,
            percentile=latency.percentile,
            accelerator=1.0 - tuning.headroom.accelerator,
            host=1.0 - tuning.headroom.cpu,
            min_instances=tuning.bounds.instances.min,
            max_instances=tuning.bounds.instances.max,
        ),
    )


def picture(found: Json) -> list[Any]:
    """Return what `bench` shows."""
    head = f"{found['namespace']}/{found['name']}  pod {found['pod']}"
    if found["throughput"] is not None:
        head += f", {found['throughput']:.0f} frames/s in all"
        head += f" with p{found['percentile']} within {_ms(found['limit'])}" if found["limit"] is not None else ""
    steps = table("AT ONCE", "FRAMES/S", "CAMERAS/S", "P50", "P90", "P99", "REQUESTS")
    for one in found["steps"]:
        steps.add_row(
            str(one["concurrency"] or "none"), f"{one['throughput']:.1f}", f"{one['cameras']:.1f}",
            *(_ms(one[name]) for name in ("p50", "p90", "p99")), str(one["requests"]),
        )  # fmt: skip
    limit: Mapping[str, Any] = found["bottleneck"]
    return [
        head, "", steps, "", f"ended: {found['stopped']}",
        Text.assemble("bottleneck: ", (limit["class"], "bold"), f", {limit['message']}"),
    ]  # fmt: skip


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"
