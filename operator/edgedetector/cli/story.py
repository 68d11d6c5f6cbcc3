"""What `tune` tells of an EdgeDetector: what serves, what is recommended, and how it came to be. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.quantities import format_duration
from edgedetector.cli.snapshot import Snapshot, Subject, document_of
from edgedetector.cli.summary import document
from edgedetector.tuning.ledger import Ledger, sound
from edgedetector.tuning.sentences import stated
from edgedetector.tuning.window import Knobs

Json = dict[str, Any]


def ledger_of(subject: Subject) -> Ledger | None:
    """Return what is on record of tuning, None if nothing is or it cannot be read."""
    found = document_of(subject.children, names.tuning(subject.name), names.FILE_RECORD, Ledger)
    return found if found is not None and sound(found) else None


def tuning(snapshot: Snapshot) -> Json:
    """Return the document of `tune --dry-run` and `tune --history`."""
    (subject,) = snapshot.subjects
    ledger, written = ledger_of(subject), subject.spec.get("tuning") or {}
    told = subject.status.get("tuning") or {}
    specified = _specified(subject)
    accepted = _knobs(ledger.accepted) if ledger else {}
    recommended = _knobs(ledger.recommended) if ledger and ledger.recommended else {}
    return document(
        "Tuning",
        snapshot,
        namespace=subject.namespace,
        name=subject.name,
        mode=written.get("mode", "Auto"),
        phase=told.get("phase", ""),
        converged=bool(ledger and ledger.converged),
        gain=round(ledger.gain, 2) if ledger and ledger.gain is not None else None,
        specified=specified,
        serving=accepted or specified,
        why=(ledger.why if ledger else "") or "as spec.serving asks",
        recommended=recommended,
        recommendation=told.get("recommendation", ""),
        diff=_diff(accepted or specified, recommended) if recommended else "",
        log=[_line(line.at, line.decision, line.message) for line in ledger.log]
        if ledger
        else list(told.get("log") or ()),
    )


def _specified(subject: Subject) -> Json:
    detector = subject.parsed()
    if detector is None:
        return {}
    usual = plan.specified(detector)
    return _knobs(
        {
            model.name: Knobs(
                instances=usual.instances,
                max_batch_size=model.max_batch_size,
                preferred_batch_sizes=usual.preferred_batch_sizes if model.max_batch_size > 0 else (),
                max_queue_delay_microseconds=usual.max_queue_delay_microseconds if model.max_batch_size > 0 else 0,
            )
            for model in detector.spec.models
        }
    )


def _knobs(found: Mapping[str, Knobs]) -> Json:
    return {
        name: {
            "instances": one.instances,
            "maxBatchSize": one.max_batch_size,
            "preferredBatchSizes": list(one.preferred_batch_sizes),
            "maxQueueDelay": format_duration(timedelta(microseconds=one.max_queue_delay_microseconds)),
            "said": stated(one),
        }
        for name, one in sorted(found.items())
    }


def _line(at: float, decision: str, message: str) -> Json:
    time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"time": time, "decision": decision, "message": message}


def _diff(before: Json, after: Json) -> str:
    """Return the change as a unified diff of YAML."""
    old, new = (_yaml(one).splitlines(keepends=True) for one in (before, after))
    return "".join(difflib.unified_diff(old, new, "serving", "recommended", n=1))


def _yaml(knobs: Json) -> str:
    plain = {name: {key: value for key, value in one.items() if key != "said"} for name, one in knobs.items()}
    return yaml.safe_dump(plain, sort_keys=False)


def dry_run(found: Json) -> list[Any]:
    """Return what `tune --dry-run` shows."""
    lines: list[Any] = [f"{found['namespace']}/{found['name']}  mode {found['mode']}, {found['phase'] or 'not begun'}"]
    for name, one in found["serving"].items():
        asked = found["specified"].get(name, {}).get("said", "")
        lines.append(f"  {name}: {one['said']}" + (f"  (spec.serving: {asked})" if asked != one["said"] else ""))
    lines += [f"  why: {found['why']}", ""]
    if found["recommended"]:
        return [*lines, found["recommendation"] or "recommended:", "", *found["diff"].splitlines()]
    if found["converged"]:
        return [*lines, "nothing that is safe promises more at this load"]
    if found["mode"] != "Recommend":
        ask = f"kubectl -n {found['namespace']} patch edgedetector {found['name']} --type merge -p"
        change = '\'{"spec": {"tuning": {"mode": "Recommend"}}}\''
        return [*lines, "nothing is recommended in this mode; to see what would be done, and have nothing done:",
                f"  {ask} {change}"]  # fmt: skip
    return [*lines, "nothing is recommended yet: tuning is still observing"]


def history(found: Json) -> list[Any]:
    """Return what `tune --history` shows, oldest first."""
    gain = f", {found['gain']:g} times the first capacity" if found["gain"] else ""
    head = f"{found['namespace']}/{found['name']}  mode {found['mode']}, {found['phase'] or 'not begun'}{gain}"
    lines = [f"{one.get('time', '')}  {one.get('decision', ''):<11}  {one.get('message', '')}" for one in found["log"]]
    return [head, *(lines or ["nothing was decided yet"])]
