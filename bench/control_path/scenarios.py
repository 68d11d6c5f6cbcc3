"""What is done to the pod, a function each: change something, wait for the effect, return what the clients saw.

There is no operator anywhere: everything here works with it dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.control_path import manifests
from bench.control_path.rig import NotReachedError, Rig, Window, is_ready, poll, serves

from edgedetector.api import names
from edgedetector.api.dataplane import Probe, ServingConfig

TTL = 12.0
"""Seconds; long against the time that a busy host takes to start kubectl and to load a model."""
_SETTLE = 1.0  # seconds of load before and after a change, so that the window shows the pod at rest on both sides


@dataclass
class Row:
    """One line of the result."""

    triton: str
    case: str
    effect: float | None = None
    """Seconds from the write of the ConfigMap, or from what is said in `note`, to the effect in the pod."""
    window: Window | None = None
    note: str = ""
    passed: bool = True
    busy: float = field(default_factory=lambda: os.getloadavg()[0])
    """Load average of the machine over the last minute: on 2 cores anything above 2 lengthens every time here."""


def restricted(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    answers = json.loads(rig.exec(pod, "clients", "python", "/clients/clients.py", "attack"))
    refused = [name for name, answer in answers.items() if answer == "refused"]
    others = {name: answer for name, answer in answers.items() if answer != "refused"}
    yield Row(
        triton,
        "control calls without the key",
        note=f"{len(refused)} of {len(answers)} refused{f'; {others}' if others else ''}",
        passed=not others,
    )


def rest(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    with rig.load(pod) as window:
        time.sleep(8)
    yield Row(triton, "at rest, 8 s", window=window)


def changes(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    steps = [
        ("instances 1 -> 2", {"instances": 2}),
        ("instances 2 -> 4", {"instances": 4}),
        ("instances 4 -> 2 (scale-down)", {"instances": 2}),
        ("queue delay 100 -> 2000 us", {"instances": 2, "delay": 2000}),
        ("preferred batch sizes none -> 2,4", {"instances": 2, "delay": 2000, "preferred": (2, 4)}),
        ("all at once, back to the start", {}),
    ]
    for number, (case, knobs) in enumerate(steps):
        config = manifests.serving_config(f"step-{number}", **knobs)
        before = _processes(rig, pod)
        row = _change(rig, pod, triton, case, config)
        kept = before & _settled(rig, pod, config.models[0].instances)
        row.note = f"{len(kept)} of {len(before)} instance processes kept"
        yield row


def _settled(rig: Rig, pod: str, instances: int) -> set[str]:
    """Return the instances' processes once those of the old copy have ended, which Triton does in the background."""
    with contextlib.suppress(NotReachedError):
        poll("as many processes as instances", lambda: _processes(rig, pod), lambda now: len(now) <= instances, 30)
    return _processes(rig, pod)


def _processes(rig: Rig, pod: str) -> set[str]:
    """Return the ids of the processes that are instances: what survives was not loaded anew."""
    script = "grep -l triton_python_b /proc/[0-9]*/comm"
    return set(rig.exec(pod, "triton", "sh", "-c", script, check=False).split())


def broken(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    """A backend that does not exist: the one before goes on serving, and the state says why."""
    good = manifests.serving_config("before")
    _change(rig, pod, triton, "", good)
    bad = manifests.serving_config("broken", backend="nosuch")

    def reported(state: dict[str, Any]) -> bool:
        return any(m["state"] == "Failed" and m["servingId"] == good.id for m in state.get("models", []))

    row = _change(rig, pod, triton, "a configuration that does not load", bad, good=reported)
    message = rig.state(pod)["models"][0]["message"]
    row.note = message
    yield row
    yield _change(rig, pod, triton, "... mended", manifests.serving_config("mended"))


def probes(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    accepted = manifests.serving_config("accepted")
    _change(rig, pod, triton, "", accepted)
    with rig.load(pod) as window:
        probe = _probe(pod, "ttl")
        begun = _write(rig, pod, accepted, probe)
        _wait(rig, pod, _outcome("Expired", accepted))
        time.sleep(3)
    yield Row(triton, "probe in force", window.when(serves(probe.serving.id), begun), window)
    seen = begun + window.when(_running(probe), begun)
    after = window.when(_outcome("Expired", accepted), seen)
    stayed = not any(
        serves(probe.serving.id)(entry["state"]) for entry in window.timeline if entry["at"] > seen + after
    )
    yield Row(
        triton,
        f"probe not renewed, ttl {TTL:g} s",
        after,
        note="from first sight to the accepted config in force; stays undone while the document remains",
        passed=stayed and after >= TTL,
    )
    yield from _renewed(rig, pod, triton, accepted)
    yield from _withdrawn(rig, pod, triton, accepted)
    yield from _restarted(rig, pod, triton, accepted)
    yield from _broken_probe(rig, pod, triton, accepted)


def _renewed(rig: Rig, pod: str, triton: str, accepted: ServingConfig) -> Iterator[Row]:
    with rig.load(pod) as window:
        probe = _probe(pod, "renewed")
        begun = _write(rig, pod, accepted, probe)
        _wait(rig, pod, serves(probe.serving.id))
        renewed = _write(rig, pod, accepted, _probe(pod, "renewed", renewal=1))
        _wait(rig, pod, _outcome("Expired", accepted))
    total = window.when(_outcome("Expired", accepted), renewed)
    whole = renewed - begun + total
    note = f"from the renewal's write; {whole:.1f} s in all, ttl {TTL:g} s"
    yield Row(triton, "probe renewed once", total, window, note=note, passed=total >= TTL)


def _withdrawn(rig: Rig, pod: str, triton: str, accepted: ServingConfig) -> Iterator[Row]:
    with rig.load(pod) as window:
        probe = _probe(pod, "withdrawn")
        _write(rig, pod, accepted, probe)
        _wait(rig, pod, serves(probe.serving.id))
        begun = _write(rig, pod, accepted, None)
        _wait(rig, pod, serves(accepted.id))
    yield Row(triton, "probe withdrawn", window.when(serves(accepted.id), begun), window)


def _restarted(rig: Rig, pod: str, triton: str, accepted: ServingConfig) -> Iterator[Row]:
    """The detector dies in the middle of a probe: its restart must neither extend nor repeat it."""
    with rig.load(pod) as window:
        probe = _probe(pod, "restarted", ttl=2 * TTL)
        begun = _write(rig, pod, accepted, probe)
        _wait(rig, pod, serves(probe.serving.id))
        before = _deadline(rig, pod)
        rig.exec(pod, "detector", "sh", "-c", "kill 1", check=False)
        _wait(rig, pod, _outcome("Expired", accepted))
        time.sleep(2)
    seen = begun + window.when(_running(probe), begun)
    gone = any("unreachable" in entry["state"] for entry in window.timeline)
    total = window.when(_outcome("Expired", accepted), seen)
    yield Row(
        triton,
        f"detector killed during a probe, ttl {2 * TTL:g} s",
        total,
        window,
        note="from first sight to its end; the deadline on disk is the same before and after",
        passed=gone and total >= 2 * TTL and before == _deadline(rig, pod),
    )


def _deadline(rig: Rig, pod: str) -> float:
    return float(json.loads(rig.exec(pod, "detector", "cat", f"{names.DIR_RUN}/trial.json"))["deadline"])


def _broken_probe(rig: Rig, pod: str, triton: str, accepted: ServingConfig) -> Iterator[Row]:
    with rig.load(pod) as window:
        serving = manifests.serving_config("probe-broken", backend="nosuch")
        begun = _write(rig, pod, accepted, Probe("broken", pod, TTL, 0, serving))
        _wait(rig, pod, _outcome("Failed", accepted))
        time.sleep(_SETTLE)
    effect = window.when(_outcome("Failed", accepted), begun)
    yield Row(triton, "probe that does not load", effect, window, note="to Failed, accepted config in force")
    rig.write(accepted)


def restarts(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    """Triton alone dies, then the pod: both come back with the accepted configuration."""
    accepted = manifests.serving_config("tuned", instances=3, delay=500)
    _change(rig, pod, triton, "", accepted)
    with rig.load(pod) as window:
        time.sleep(_SETTLE)
        count, begun = rig.restarts(pod, "triton"), time.time()
        # A container's first process cannot be killed with 9 from inside it.
        rig.exec(pod, "triton", "sh", "-c", "kill -TERM 1", check=False)
        poll("Triton's restart", lambda: rig.restarts(pod, "triton"), lambda now: now > count, 60)
        _wait(rig, pod, serves(accepted.id))
        time.sleep(_SETTLE)
    gone = begun + window.when(lambda state: not serves(accepted.id)(state), begun)
    back = gone - begun + window.when(_instances(3), gone)
    yield Row(triton, "Triton restarted alone", back, window, note="from SIGTERM; errors are those of its absence")
    begun = time.time()
    rig.kubectl("delete", "pod", pod, "--wait=false")
    poll("another pod", rig.pods, lambda pods: any(is_ready(p) and p["metadata"]["name"] != pod for p in pods), 120)
    successor = rig.pod()
    _wait(rig, successor, _instances(3), seconds=60)
    yield Row(triton, "pod deleted", time.time() - begun, note="successor serves 3 instances, delay 500 us")


def unannotated(rig: Rig, pod: str, triton: str) -> Iterator[Row]:
    config = manifests.serving_config("unannotated", instances=2)
    begun = time.time()
    rig.write(config)
    poll("the volume's refresh", lambda: rig.state(pod), serves(config.id), 150)
    yield Row(triton, "instances 1 -> 2 without the annotation", time.time() - begun, note="the kubelet's own period")


def rollouts(rig: Rig, triton: str, images: dict[str, str]) -> Iterator[Row]:
    """One slot, two replicas: the second is Pending for good. Does a new template reach the first?"""
    for unavailable, expected in ((1, False), (2, True)):
        first = _deployment(images, triton, unavailable=unavailable)
        rig.apply(first)
        poll("one Ready and one Pending pod", rig.pods, _one_of_two, 120)
        before = rig.pod()
        template = _deployment(images, triton, unavailable=unavailable)
        template["spec"]["template"]["metadata"]["annotations"] = {"roll": f"{time.time()}"}
        begun = time.time()
        rig.apply(template)
        done = _replaced(rig, before)
        yield Row(
            triton,
            f"rollout with a Pending replica, maxUnavailable {unavailable}",
            time.time() - begun if done else None,
            note="the running pod was replaced" if done else "no progress in 40 s",
            passed=done is expected,
        )


def _replaced(rig: Rig, before: str) -> bool:
    try:
        poll(
            "a successor",
            rig.pods,
            lambda pods: any(is_ready(p) and p["metadata"]["name"] != before for p in pods),
            40,
        )
    except NotReachedError:
        return False
    return True


def _deployment(images: dict[str, str], triton: str, *, unavailable: int) -> dict[str, Any]:
    return manifests.deployment(images, triton, replicas=2, unavailable=unavailable)


def _one_of_two(pods: list[dict[str, Any]]) -> bool:
    phases = sorted(pod["status"]["phase"] for pod in pods)
    return phases == ["Pending", "Running"] and any(map(is_ready, pods))


def _change(
    rig: Rig,
    pod: str,
    triton: str,
    case: str,
    config: ServingConfig,
    *,
    good: Callable[[dict[str, Any]], bool] | None = None,
) -> Row:
    good = good or serves(config.id)
    with rig.load(pod) as window:
        time.sleep(_SETTLE)
        begun = _write(rig, pod, config, None)
        _wait(rig, pod, good)
        time.sleep(_SETTLE)
    return Row(triton, case, window.when(good, begun), window)


def _write(rig: Rig, pod: str, accepted: ServingConfig, probe: Probe | None) -> float:
    begun = time.time()
    rig.write(accepted, probe)
    rig.refresh(pod)
    return begun


def _wait(rig: Rig, pod: str, good: Callable[[dict[str, Any]], bool], seconds: float = 120) -> None:
    poll("the detector's state", lambda: rig.state(pod), good, seconds)


def _probe(pod: str, name: str, *, renewal: int = 0, ttl: float = TTL) -> Probe:
    serving = manifests.serving_config(f"probe-{name}", instances=2, delay=300)
    return Probe(name, pod, ttl, renewal, serving)


def _running(probe: Probe) -> Callable[[dict[str, Any]], bool]:
    return lambda state: state.get("probeId") == probe.id and state.get("probeOutcome") == "Running"


def _outcome(outcome: str, accepted: ServingConfig) -> Callable[[dict[str, Any]], bool]:
    return lambda state: state.get("probeOutcome") == outcome and serves(accepted.id)(state)


def _instances(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda state: any(m["instances"] == count and m["state"] == "Ready" for m in state.get("models", []))
