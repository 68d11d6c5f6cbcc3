"""What `top` tells: rates between two looks, as a document and as a screen. Pure.

A figure that is not known is null: of a pod whose counters began anew meanwhile there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table
from rich.text import Text

from edgedetector.api.observation import ModelCounters, Observation, percentile, shrunk
from edgedetector.cli import summary
from edgedetector.cli.render import not_seen, table
from edgedetector.cli.snapshot import Snapshot, Subject

Json = dict[str, Any]

_FRAMES: Final = "edgedetector_camera_frames_total"
_TARGET: Final = "edgedetector_camera_target_frame_rate"
_RESULTS: Final = ("read", "inferred", "skipped", "failed")
_WORDS: Final = frozenset({"POD", "NODE", "MODEL", "CAMERA", "STATE", "WHY"})
"""Columns that hold no figures."""
_MODEL: Final = ("rate", "offered", "skipped", "failed", "batch", "queue", "executing", "p50", "p99")
Samples = Mapping[tuple[str, ...], float]


def top(before: Snapshot, after: Snapshot, seconds: float) -> Json:
    """Return the document of `top`.

    Parameters
    ----------
    seconds
        Between the two looks, by the clock of whoever looked.
    """
    earlier = {(one.namespace, one.name): one for one in before.subjects}
    found = [_detector(earlier.get((one.namespace, one.name)), one, seconds) for one in after.subjects]
    return summary.document("Top", after, seconds=round(seconds, 3), detectors=found)


def _detector(before: Subject | None, after: Subject, seconds: float) -> Json:
    told = summary.detector(after)
    observed = before.observations if before is not None else {}
    pairs = {pod: (observed.get(pod), now) for pod, now in sorted(after.observations.items())}
    return {
        **{key: told[key] for key in ("namespace", "name", "state", "reason", "message", "tuning")},
        "devices": [_device(pod, told["serving"]["pods"], *pair) for pod, pair in pairs.items()],
        "models": [one for pod, pair in pairs.items() for one in _models(pod, *pair)],
        "cameras": list(_cameras(before, after, told["cameras"]["list"], seconds)),
    }


def _device(pod: str, pods: Iterable[Json], before: Observation | None, after: Observation) -> Json:
    node = next((one["node"] for one in pods if one["name"] == pod), "")
    gauges = after.gauges
    return {
        "pod": pod,
        "node": node,
        "utilization": _mean_utilization(before, after),
        "memoryUsed": gauges.get("memoryUsed"),
        "memoryTotal": gauges.get("memoryTotal"),
        "temperature": gauges.get("temperature"),
        "host": _host(before, after),
    }


def _mean_utilization(before: Observation | None, after: Observation) -> float | None:
    """Return the mean between two looks, or what was told last if nothing new was."""
    if before is not None and _comparable(before, after) and after.looks > before.looks:
        return round((after.utilizations - before.utilizations) / (after.looks - before.looks), 4)
    return after.gauges.get("utilization")


def _host(before: Observation | None, after: Observation) -> float | None:
    """Return the share of the node's processors that was busy."""
    if before is None or not _comparable(before, after):
        return None
    figures = (before.host_busy, before.host_total, after.host_busy, after.host_total)
    busy, total, busy_now, total_now = (figure if figure is not None else 0.0 for figure in figures)
    return round((busy_now - busy) / (total_now - total), 4) if None not in figures and total_now > total else None


def _comparable(before: Observation, after: Observation) -> bool:
    return before.epoch == after.epoch and after.at > before.at and not shrunk(before, after)


def _models(pod: str, before: Observation | None, after: Observation) -> Iterator[Json]:
    known = {one.name: one for one in before.models} if before is not None and _comparable(before, after) else {}
    for model in after.models:
        first = known.get(model.name)
        lasted = after.at - before.at if before is not None else 0.0
        figures = _figures(first, model, lasted) if first is not None else dict.fromkeys(_MODEL)
        yield {"pod": pod, "name": model.name, "demand": model.demand, **figures}


def _figures(before: ModelCounters, after: ModelCounters, seconds: float) -> Json:
    images, executions, requests = (
        getattr(after, name) - getattr(before, name) for name in ("images", "executions", "requests")
    )
    spent = _executed(after) - _executed(before)
    ages = {int(bucket): count - before.ages.get(bucket, 0) for bucket, count in after.ages.items()}
    return {
        "rate": _rate(images, seconds),
        "offered": _rate(after.offered - before.offered, seconds),
        "skipped": _rate(after.skipped - before.skipped, seconds),
        "failed": _rate(after.failures - before.failures, seconds),
        "batch": round(images / executions, 2) if executions else None,
        "queue": round((after.queue - before.queue) / requests / 1e9, 6) if requests else None,
        "executing": round(spent / 1e9 / seconds, 3),
        "p50": _seconds(percentile(ages, 50)),
        "p99": _seconds(percentile(ages, 99)),
    }


def _executed(model: ModelCounters) -> int:
    return sum(one.compute_input + one.compute_infer + one.compute_output for one in model.batches)


def _rate(count: float, seconds: float) -> float:
    return round(count / seconds, 2)


def _seconds(found: float | None) -> float | None:
    return round(found, 6) if found is not None else None


def _cameras(before: Subject | None, after: Subject, told: Iterable[Json], seconds: float) -> Iterator[Json]:
    now = {pod: samples(text) for pod, text in after.metrics.items()}
    then = {pod: samples(text) for pod, text in before.metrics.items()} if before is not None else {}
    for one in told:
        pod = one["replica"]
        new, old = now.get(pod, {}), then.get(pod, {})
        rates = {result: _between(old, new, (one["name"], result), seconds) for result in _RESULTS}
        heads = ("name", "state", "detecting", "reason", "replica", "degraded")
        yield {**{key: one[key] for key in heads}, "target": new.get((one["name"],)), **rates}


def _between(old: Samples, new: Samples, key: tuple[str, ...], seconds: float) -> float | None:
    if key not in old or key not in new or new[key] < old[key] or seconds <= 0:
        return None
    return _rate(new[key] - old[key], seconds)


def samples(text: str) -> Samples:
    """Return what a detector tells Prometheus of cameras: (camera, result) -> frames, (camera,) -> target rate."""
    wanted = "".join(line for line in text.splitlines(keepends=True) if line.startswith((_FRAMES, _TARGET)))
    try:
        found = [one for family in text_string_to_metric_families(wanted) for one in family.samples]
    except ValueError:
        return {}
    return {tuple(one.labels[name] for name in ("camera", "result") if name in one.labels): one.value for one in found}


def screen(found: Json) -> list[Any]:
    """Return what `top` shows."""
    lines: list[Any] = []
    for one in found["detectors"]:
        lines += [*_head(one), "", _devices(one["devices"]), "", _models_table(one["models"]), "",
                  _cameras_table(one["cameras"]), ""]  # fmt: skip
    return [*(lines or ["no EdgeDetectors here; look in all namespaces with -A"]), *not_seen(found)]


def _head(one: Json) -> list[Any]:
    tuning = one["tuning"]
    phase = f"{tuning['mode']}: {tuning['phase'] or 'not begun'}"
    lines: list[Any] = [
        Text.assemble(
            (f"{one['namespace']}/{one['name']}", "bold"), f"  {one['state']}  {one['reason']}   tuning {phase}"
        )
    ]
    return [*lines, *([f"  {tuning['message']}"] if tuning["message"] else [])]


def _figures_right(*columns: str) -> Table:
    """Return an empty table whose figures stand below each other."""
    shown = table(*columns)
    for column in shown.columns:
        if column.header not in _WORDS:
            column.justify = "right"
    return shown


def _devices(devices: Iterable[Json]) -> Table:
    shown = _figures_right("POD", "NODE", "DEVICE", "MEMORY", "TEMP", "HOST CPU")
    for one in devices:
        used = f"{one['memoryUsed'] / 1e9:.1f} GB" if one["memoryUsed"] is not None else "?"
        heat = f"{one['temperature']:.0f} C" if one["temperature"] is not None else "?"
        shown.add_row(one["pod"], one["node"], _share(one["utilization"]), used, heat, _share(one["host"]))
    return shown


def _models_table(models: Iterable[Json]) -> Table:
    shown = _figures_right(
        "MODEL", "DEMAND", "RATE", "SKIPPED", "FAILED", "BATCH", "QUEUE", "EXECUTING", "P50", "P99", "POD"
    )
    for one in models:
        times = (_milliseconds(one[key]) for key in ("p50", "p99"))
        counts = (_number(one[key]) for key in ("demand", "rate", "skipped", "failed", "batch"))
        shown.add_row(
            one["name"], *counts, _milliseconds(one["queue"]), _number(one["executing"], 2), *times, one["pod"]
        )
    return shown


def _cameras_table(cameras: Iterable[Json]) -> Table:
    shown = _figures_right("CAMERA", "STATE", "TARGET", "READ", "INFERRED", "SKIPPED", "FAILED", "WHY")
    for one in cameras:
        counts = (_number(one[key]) for key in ("target", *_RESULTS))
        state = Text(
            one["state"], style="green" if one["state"] == summary.LIVE and one["detecting"] else "bold yellow"
        )
        shown.add_row(one["name"], state, *counts, one["degraded"] or one["reason"])
    return shown


def _number(value: float | None, digits: int = 1) -> str:
    return "?" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}"


def _milliseconds(value: float | None) -> str:
    return "?" if value is None else f"{value * 1000:.1f} ms"
