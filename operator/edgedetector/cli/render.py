"""Documents of the command line as text for people. Renderers get values alone, and never fetch anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import StringIO
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]

MOST_CAMERAS: Final = 8
"""Cameras that are not well and are named one by one: a screen has room for no more."""
_STYLES: Final = {
    "Broken": "bold red",
    "Error": "bold red",
    "Progressing": "yellow",
    "Degraded": "yellow",
    "Warning": "yellow",
    "Suspended": "dim",
    "Info": "cyan",
    "Ready": "green",
}


def machine(document: Json, form: str) -> str:
    """Return a document as JSON or YAML."""
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def text(lines: Iterable[Any], *, width: int | None = None, colour: bool = False) -> str:
    """Return lines and tables as text, in colour for a terminal."""
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=colour, highlight=False, no_color=not colour, emoji=False)
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str), markup=False)
    return out.getvalue()


def status(document: Json) -> list[Any]:
    """Return what `status` shows: one EdgeDetector in full, several as a table with what is wrong first."""
    found = document["detectors"]
    lines: list[Any] = _operator(document["operator"])
    if not found:
        lines.append("no EdgeDetectors here; look in all namespaces with -A")
    elif len(found) == 1:
        lines += _detector(found[0])
    else:
        lines += _several(found)
    return lines + not_seen(document)


def _operator(operator: Json) -> list[Any]:
    if not operator["known"] or operator["running"]:
        return []
    where = f" ({operator['namespace']}/{operator['name']})" if "name" in operator else ""
    return [_styled(f"The operator does not run{where}: what stands here may be old.", "Broken"), ""]


def _several(found: list[Json]) -> list[Any]:
    shown = table("", "NAMESPACE", "NAME", "REPLICAS", "STREAMS", "TUNING", "WHY")
    for one in found:
        replicas, cameras = one["serving"]["replicas"], one["cameras"]
        why = one["problems"][0]["message"] if one["problems"] else one["message"]
        shown.add_row(
            _styled(one["state"], one["state"]),
            one["namespace"],
            one["name"],
            f"{replicas['ready']}/{replicas['desired']}",
            f"{cameras['live']}/{cameras['wanted']}",
            one["tuning"]["phase"],
            why,
        )
    return [shown]


def _detector(one: Json) -> list[Any]:
    title = Text.assemble(
        (f"{one['namespace']}/{one['name']}", "bold"), "  ", _styled(one["state"], one["state"]), f"  {one['reason']}"
    )
    return [title, *_wrong(one), *_serving(one), *_cameras(one), *_tuning(one), *_capacity(one)]


def _wrong(one: Json) -> list[Any]:
    lines = [_styled(f"  ! {item['condition']}: {item['message']}", "Broken") for item in one["problems"]]
    if 0 < one["observedGeneration"] != one["generation"]:
        lines.append(_styled("  ! the operator has not acted on the last change of the specification yet", "Warning"))
    if not lines and one["message"]:
        return [f"  {one['message']}"]
    return lines


def _serving(one: Json) -> list[Any]:
    serving = one["serving"]
    replicas = serving["replicas"]
    waiting = f", {replicas['unschedulable']} without a node" if replicas["unschedulable"] else ""
    lines: list[Any] = [
        "",
        f"Serving   {replicas['ready']} of {replicas['desired']} replicas ready{waiting}, profile {serving['profile']}",
    ]
    for model in serving["models"]:
        batch = "/".join(map(str, model["preferredBatchSizes"])) or str(model["maxBatchSize"])
        knobs = f"instances {model['instances']}, batch {batch}, queue delay {model['maxQueueDelay'] or '0s'}"
        lines.append(
            f"  {model['name']}  {model['state']}  {knobs}" + (f"  {model['message']}" * bool(model["message"]))
        )
    for pod in serving["pods"]:
        told = [f"  {pod['name']} on {pod['node'] or 'no node'}", "ready" if pod["ready"] else "not ready"]
        told += [f"{pod['restarts']} restarts"] if pod["restarts"] else []
        lines.append(", ".join([*told, *_accelerator(pod["accelerator"])]))
    return lines


def _accelerator(gauges: Json) -> list[str]:
    told = []
    if "utilization" in gauges:
        told.append(f"accelerator {gauges['utilization']:.0%}")
    if "memoryUsed" in gauges:
        total = f" of {gauges['memoryTotal'] / 1e9:.1f}" if "memoryTotal" in gauges else ""
        told.append(f"memory {gauges['memoryUsed'] / 1e9:.1f}{total} GB")
    if "temperature" in gauges:
        told.append(f"{gauges['temperature']:.0f} C")
    return told


def _cameras(one: Json) -> list[Any]:
    cameras = one["cameras"]
    lines: list[Any] = ["", f"Cameras   {cameras['live']} of {cameras['wanted']} live and detecting"]
    bad = [camera for camera in cameras["list"] if not (camera["state"] == "Live" and camera["detecting"])]
    giving = [camera for camera in cameras["list"] if camera["degraded"] and camera not in bad]
    for camera in [*bad, *giving][:MOST_CAMERAS]:
        why = camera["degraded"] or camera["message"] or camera["reason"]
        lines.append(f"  {camera['name']}  {camera['state']}" + (f"  {why}" if why else ""))
    more = len(bad) + len(giving) - MOST_CAMERAS
    return [*lines, f"  and {more} more (-o json has all)"] if more > 0 else lines


def _tuning(one: Json) -> list[Any]:
    tuning = one["tuning"]
    frozen = ", frozen" if tuning["frozen"] and tuning["phase"] != "Frozen" else ""
    lines: list[Any] = ["", f"Tuning    {tuning['mode']}: {tuning['phase'] or 'not begun'}{frozen}"]
    if tuning["last"]:
        last = tuning["last"]
        lines.append(f"  {last.get('time', '')}  {last.get('decision', '')}  {last.get('message', '')}")
    if tuning["recommendation"]:
        lines.append(f"  recommended: {tuning['recommendation']}")
    return lines


def _capacity(one: Json) -> list[Any]:
    capacity = one["capacity"]
    if capacity is None:
        return ["", "Capacity  not known yet"]
    frames = f"{capacity['framesPerSecond']:.0f}" if capacity["framesPerSecond"] is not None else "?"
    demand = f"{capacity['demand']:g}" if capacity["demand"] is not None else "?"
    limit = f", limited by {capacity['limit']}" if capacity["limit"] not in {"", "none"} else ""
    lines: list[Any] = ["", f"Capacity  {frames} frames/s for a demand of {demand}{limit}"]
    return [*lines, f"  {capacity['message']}"] if capacity["message"] else lines


def not_seen(document: Json) -> list[Any]:
    """Return what could not be looked at."""
    gaps = document["notSeen"]
    return ["", "Not seen:", *(f"  {gap['what']}: {gap['why']}" for gap in gaps)] if gaps else []


def findings(document: Json) -> list[Any]:
    """Return what `diagnose` shows: a block a finding, and how many there are."""
    lines: list[Any] = []
    for one in document["findings"]:
        lines += [
            Text.assemble(_styled(f"{one['severity']:<7}", one["severity"]), f" {one['code']}  {one['title']}"),
            f"  {one['object']}",
            f"  seen:   {one['evidence']}",
            f"  remedy: {one['remedy']}",
            f"  page:   {one['page']}",
            "",
        ]
    count = document["summary"]
    told = f"{count['errors']} errors, {count['warnings']} warnings, {count['infos']} notes"
    if count["looked"]:
        looked = f"in {count['looked']} EdgeDetector" + ("s" if count["looked"] != 1 else "")
        lines.append(f"{told} {looked}" if document["findings"] else f"nothing found {looked}")
    else:
        lines.append(f"{told}; {_none(document)}" if document["findings"] else _none(document))
    return lines + not_seen(document)


def _none(document: Json) -> str:
    if document["namespace"]:
        return f"there is no EdgeDetector in namespace {document['namespace']}; --all-namespaces looks in all"
    return "there is no EdgeDetector in any namespace"


def _styled(words: str, kind: str) -> Text:
    return Text(words, style=_STYLES.get(kind, ""))


def table(*columns: str) -> Table:
    """Return an empty table without lines; a column WHY may break."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != "WHY", overflow="fold")
    return table
