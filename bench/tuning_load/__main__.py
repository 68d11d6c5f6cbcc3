"""What tuning costs the operator: processor, requests and writes a second, at rest and while all detectors converge.

The loop, the search, what makes windows of the pods' answers and what renders the record are the operator's own; pods
and API server are stand-ins in this process, and of a detector's pass only what tuning has to do with it is done. What
the stand-ins take is told apart. Prints a line a phase, and ends with one line of JSON. Nothing is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.reconcile import rig
from bench.tuning_load.standins import Pod, Writes

from edgedetector import plan, profiles
from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.observation import Observation
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import from_json, to_json
from edgedetector.controller import keys, shell, terms, tuning
from edgedetector.controller.charge import Charge
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.options import Options
from edgedetector.observe.load import Samples
from edgedetector.observe.scrape import Target
from edgedetector.tuning import tuner
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.ledger import begun
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Mode, Situation

LAG = 0.05
"""Seconds between two looks at how late the event loop is."""

WARM = {"rest": 15.0, "converging": 60.0}
"""Seconds that are not measured."""


@dataclass
class Measured:
    """What a phase came to."""

    asked: int = 0
    stepped: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Processor seconds of steps: "quick", "choice", "trial"; "standins"."""
    woken: int = 0
    late: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    """Seconds between two renewals of a trial."""
    attended: dict[str, float] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    """Seconds between two steps of a trial."""
    decisions: Counter[str] = field(default_factory=Counter)
    most: int = 0
    """Trials at once."""


class Fleet:
    """Many detectors, each with one pod, and the operator's tuner."""

    def __init__(self, count: int, state: State | None = None, ledger: str = "") -> None:
        self.measured, self.client = Measured(), Writes()
        body = next(body for body in profiles.load() if body["metadata"]["name"] == rig.PROFILE)
        self.profile = AcceleratorProfile.parse(body)
        options = Options("system", "detector:1")
        self.shell = shell.Shell(
            client=self.client,  # type: ignore[arg-type]
            discovery=None,  # type: ignore[arg-type]
            settings=plan.Settings("system", "detector:1"),
            options=options,
            metrics=Metrics(),
            rng=random.Random(1),
        )
        self.pools = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.tuner = tuning.Tuner(
            self.shell, self._ask, self._step, self._wake, clock=time.monotonic, pool=self.pools[0],
            choices=self.pools[1],
        )  # fmt: skip
        self.pods: dict[keys.Key, Pod] = {}
        self.records: dict[keys.Key, Any] = {}
        self.detectors: dict[keys.Key, EdgeDetector] = {}
        for number in range(count):
            self._add(number, state, ledger)

    def _add(self, number: int, state: State | None, ledger: str) -> None:
        obj = rig.detector(number)
        obj["metadata"] |= {"uid": f"uid-{number}", "generation": 1}
        detector = EdgeDetector.parse(obj)
        key = keys.detector(detector.namespace, detector.name)
        self.detectors[key] = detector
        if state is not None:
            body = plan.tuning_map(detector, ledger, to_json(state))
            self.records[key] = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
        self._pass(key)

    def _pass(self, key: keys.Key) -> None:
        """Do of a pass what tuning has to do with: read the record, have the pod serve it, hand it over."""
        detector, record = self.detectors[key], self.records.get(key)
        asof = time.monotonic()
        wanted = terms.served(detector, self.profile, (), record, time.time())
        serving = wanted.probe.serving if wanted.probe is not None else wanted.accepted
        knobs = wanted.known[serving.id]["people"]
        pod = self.pods.setdefault(key, Pod(serving.id, knobs, at=time.monotonic()))
        pod.serve(serving.id, knobs)
        pod.probe = (wanted.probe.id, "Running") if wanted.probe is not None else ("", "")
        target = Target(f"{key.name}-1", f"{key.namespace}/{key.name}", names.COMPONENT_TRITON, "10.0.0.1")
        charge = Charge(detector, self.profile, wanted, record, frozenset({target}), ready=True, asof=asof)
        self.tuner.watch(key, charge)

    def _wake(self, key: keys.Key) -> None:
        self.measured.woken += 1
        begin = time.thread_time()
        self.records[key] = self.client.objects.get((key.namespace, names.tuning(key.name)), self.records.get(key))
        asyncio.get_running_loop().call_soon(self._pass, key)
        self.measured.seconds["standins"] += time.thread_time() - begin

    async def _ask(self, target: Target) -> Observation | None:
        namespace, _, name = target.uid.partition("/")
        begin = time.thread_time()
        text = self.pods[keys.detector(namespace, name)].text(time.monotonic())
        self.measured.seconds["standins"] += time.thread_time() - begin
        self.measured.asked += 1
        return from_json(Observation, text)

    def _step(self, state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
        kind = "trial" if state.trial is not None else "choice" if situation.may_choose else "quick"
        begin = time.thread_time()
        found = tuner.step(state, report, situation, now)
        measured = self.measured
        measured.seconds[kind] += time.thread_time() - begin
        measured.stepped[kind] += 1
        if state.trial is not None:
            name = report.pods[0] + state.trial.id
            if name in measured.attended:
                measured.waits.append(now - measured.attended[name])
            measured.attended[name] = now
            if found[1].kind is Kind.RENEW:
                measured.apart.append(now - state.trial.renewed)
        if found[1].kind is not Kind.WAIT:
            measured.decisions[str(found[1].kind)] += 1
        return found

    async def run(self, seconds: float) -> dict[str, Any]:
        """Let it work for so many seconds, and return what that took."""
        self.measured, self.client.counted = Measured(), Counter()
        loop = asyncio.create_task(self.tuner.run())
        began, spent = time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            at = time.monotonic()
            await asyncio.sleep(LAG)
            self.measured.late.append(time.monotonic() - at - LAG)
            trials = self.shell.metrics.registry.get_sample_value("edgedetector_tuning_probes")
            self.measured.most = max(self.measured.most, int(trials or 0))
        wall, processor = time.monotonic() - began, time.process_time() - spent
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        return self._told(wall, processor)

    def _told(self, wall: float, processor: float) -> dict[str, Any]:
        measured = self.measured
        late, waits = sorted(measured.late), sorted(measured.waits)
        each = {kind: 1000 * measured.seconds[kind] / count for kind, count in measured.stepped.items()}
        return {
            "detectors": len(self.pods),
            "seconds": round(wall, 1),
            "cpu": round((processor - measured.seconds["standins"]) / wall, 3),
            "standinsCpu": round(measured.seconds["standins"] / wall, 3),
            "requests": round(measured.asked / wall, 1),
            "writes": {kind: round(number / wall, 2) for kind, number in self.client.counted.items()},
            "passes": round(measured.woken / wall, 2),
            "steps": {kind: round(count / wall, 2) for kind, count in measured.stepped.items()},
            "stepMilliseconds": {kind: round(value, 2) for kind, value in each.items()},
            "trials": measured.most,
            "decisions": dict(measured.decisions),
            "secondsBetweenRenewals": round(max(measured.apart, default=0.0), 1),
            "secondsBetweenSteps": [round(waits[len(waits) // 2], 1), round(waits[-1], 1)] if waits else [],
            "lag": [round(late[len(late) * 99 // 100], 3), round(late[-1], 3)],
            "rssMiB": round(resident(), 0),
            "load": round(os.getloadavg()[0], 1),
        }


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def settled() -> tuple[State, str]:
    """Return what is on record of a detector that has seen enough and has converged."""
    fleet = Fleet(1)
    ((key, pod),) = fleet.pods.items()
    detector, now = fleet.detectors[key], time.time() - 600.0
    told = replace(terms.situation(detector, fleet.profile, Mode.AUTO, None), may_choose=False)
    samples, configurations = Samples(lambda: now), {pod.serving_id: {"people": pod.knobs}}
    pod.at, state = now, State()
    for _ in range(30):
        now += 10.0
        answer = from_json(Observation, pod.text(now))
        window = samples.add("u", "p", answer, knobs=configurations, percentile=99)
        report = Report(("p",), (window,) if window is not None else ())
        state, _ = tuner.step(state, report, told, now)
    state = replace(state, converged=True)
    first = begun(terms.start_of(detector, fleet.profile), terms.specified(detector), now, "tuning begins")
    return state, to_json(replace(first, accepted=dict(state.accepted), converged=True, settled=now))


async def phase_of(phase: str, count: int, seconds: float) -> dict[str, Any]:
    """Measure so many detectors, once all were looked at, or once trials are under way."""
    fleet = Fleet(count, *settled()) if phase == "rest" else Fleet(count)
    await fleet.run(WARM[phase])
    found = await fleet.run(seconds)
    for pool in fleet.pools:
        pool.shutdown(cancel_futures=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tuning_load", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="*", default=[100, 1000], help="detectors")
    parser.add_argument("--phases", nargs="*", default=list(WARM), choices=list(WARM))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    options = parser.parse_args()
    print(rig.machine(), flush=True)
    rows = []
    for count in options.counts:
        for phase in options.phases:
            rows.append({"phase": phase, **asyncio.run(phase_of(phase, count, options.seconds))})
            print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"benchmark": "tuning-load", "machine": rig.machine(), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
