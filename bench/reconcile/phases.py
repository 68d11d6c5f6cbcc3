"""What is measured. All times come from the API server's audit log: looking costs next to nothing."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench.reconcile import rig
from tests import apiserver
from tests.e2e import audit

OPERATOR = audit.service_account(rig.SYSTEM, "edgedetector")
DETECTORS = "edgedetectors"
CREATED = 201

Json = dict[str, Any]


@dataclass
class Ledger:
    """What the audit log has said so far."""

    log: audit.Log
    children: int
    """Of one resource."""
    applied: dict[str, datetime] = field(default_factory=dict)
    """Resource -> when the API server received it."""
    made: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """Resource -> when each of its children was there."""
    calls: Counter[str] = field(default_factory=Counter)
    """Requests of the operator by verb and kind."""
    writes: list[audit.Entry] = field(default_factory=list)

    def read(self) -> None:
        for entry in self.log.new():
            resource, _, _ = entry.name.partition("-")
            if entry.user == OPERATOR:
                self.calls[f"{entry.verb} {entry.resource}"] += 1
                if entry.is_write:
                    self.writes.append(entry)
                if entry.code == CREATED and resource in self.applied:
                    self.made[resource].append(entry.answered)
            elif entry.resource == DETECTORS and entry.code == CREATED:
                self.applied[entry.name] = entry.received

    @property
    def complete(self) -> int:
        """Resources of which all children exist."""
        return sum(1 for found in self.made.values() if len(found) >= self.children)

    def latencies(self) -> list[float]:
        """Seconds from apply to the last child, sorted."""
        done = {name: found for name, found in self.made.items() if len(found) >= self.children}
        return sorted(
            (sorted(found)[self.children - 1] - self.applied[name]).total_seconds() for name, found in done.items()
        )

    def total(self) -> float:
        """Seconds from the first apply to the last child of all."""
        return (max(max(found) for found in self.made.values()) - min(self.applied.values())).total_seconds()

    def per_resource(self) -> dict[str, float]:
        count = len(self.applied)
        return {what: round(number / count, 2) for what, number in self.calls.most_common() if number >= count / 100}


@dataclass
class Bed:
    """An API server with the operator's permissions; one a phase, since nothing deletes children here."""

    server: apiserver.Server
    ledger: Ledger


@contextmanager
def bed() -> Iterator[Bed]:
    with apiserver.start(audit=True) as server:
        rig.install(server)
        yield Bed(server, Ledger(audit.Log(server.audit_log), len(rig.children())))


def steady(count: int, interval: float = 1.0) -> Json:
    """One resource after another, as people and deployment tools bring them."""
    with bed() as place, rig.operator(place.server) as operator:
        rig.await_profiles(place.server)
        begun = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begun + number * interval - time.monotonic()))  # the pace is what is measured
            rig.create(place.server, rig.detector(number))
        settle(place.ledger, count, 60)
        quiet(place.ledger)
        return report(place, operator, "one a second", count)


def burst(count: int, *, restart: bool = False, seconds: float = 600.0, wrapper: tuple[str, ...] = ()) -> list[Json]:
    """All at once, and what a restart of the operator does to them."""
    with bed() as place:
        with rig.operator(place.server, wrapper=wrapper) as operator:
            rig.await_profiles(place.server)
            for number in range(count):
                rig.create(place.server, rig.detector(number))
            settle(place.ledger, count, seconds)
            quiet(place.ledger)
            rows = [report(place, operator, "burst", count)]
        if restart:
            rows.append(restarted(place, count))
        return rows


def restarted(place: Bed, count: int) -> Json:
    """Start the operator beside resources that are as they should be, and watch it do nothing."""
    place.ledger.read()
    place.ledger.writes.clear()
    place.ledger.calls.clear()
    begun = time.monotonic()
    with rig.operator(place.server) as operator:
        passes = 'edgedetector_operator_reconciles_total{result="ok",subject="EdgeDetector"}'
        apiserver.until(
            "every resource was looked at", lambda: operator.figures().get(passes, 0) >= count, 300, every=0.5
        )
        first = time.monotonic() - begun
        time.sleep(max(0.0, 15.0 - first))  # the span over which writes are counted
        place.ledger.read()
        early = len(place.ledger.writes)
        time.sleep(30.0)
        return {
            **report(place, operator, "restart", count),
            "firstPassSeconds": round(first, 1),
            "writesIn15s": early,
            "writesIn45s": len(place.ledger.writes),
            "written": [str(entry) for entry in place.ledger.writes[:5]],
        }


def settle(ledger: Ledger, count: int, seconds: float) -> None:
    """Wait until all children of all resources exist."""

    def complete() -> bool:
        ledger.read()
        return ledger.complete >= count

    apiserver.until(f"all children of {count} resources exist", complete, seconds, every=0.5)


def quiet(ledger: Ledger, still: float = 3.0, seconds: float = 300.0) -> None:
    """Wait until nothing has been written for a moment: statuses follow the children."""
    last, since = -1, time.monotonic()

    def silent() -> bool:
        nonlocal last, since
        ledger.read()
        if len(ledger.writes) != last:
            last, since = len(ledger.writes), time.monotonic()
        return time.monotonic() - since > still

    apiserver.until("the operator writes no more", silent, seconds, every=0.5)


def report(place: Bed, operator: rig.Operator, what: str, count: int) -> Json:
    ledger = place.ledger
    found = ledger.latencies()
    spent = {name: round(rig.cpu_seconds(program.pid), 1) for name, program in place.server.programs.items()}
    spent["operator"] = round(rig.cpu_seconds(operator.process.pid), 1)
    times: Json = {}
    if what != "restart":
        times = {
            "p50": round(found[len(found) // 2], 3),
            "p99": round(found[len(found) * 99 // 100], 3),
            "max": round(found[-1], 3),
            "totalSeconds": round(ledger.total(), 1),
        }
    return {
        "phase": what,
        "resources": count,
        "children": ledger.children,
        **times,
        "callsPerResource": ledger.per_resource(),
        "callsPerResourceInAll": round(sum(ledger.calls.values()) / count, 1),
        **operator.memory(),
        "cpuSeconds": spent,
        "load": round(os.getloadavg()[0], 1),
    }
