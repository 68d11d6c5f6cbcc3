"""The control path on a real cluster: change a live Triton through ConfigMap, annotation and plain load.

Prints a line a case as it goes, and ends with one line of JSON. Its namespace is deleted at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench.control_path import manifests, scenarios
from bench.control_path.rig import Rig, Window, is_ready, poll
from bench.control_path.scenarios import Row
from hack import cluster as driver

NAMESPACE = "control-path"
TRITONS = {"24.10": "triton-cpu", "23.07": "triton-cpu-2307"}
_HEAD = f"{'Triton':7}{'case':46}{'effect s':>9}{'requests':>10}{'errors':>8}{'wrong':>7}{'gap ms':>8}{'load':>6}  note"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.control_path", description=__doc__)
    parser.add_argument("--triton", action="append", choices=TRITONS, help="only this version")
    parser.add_argument("--keep", action="store_true", help="leave the namespace for a look")
    parser.add_argument("--image", action="append", default=[], metavar="TARGET=IMAGE", help="do not build this one")
    options = parser.parse_args()
    driver.create()
    images = dict(image.split("=", 1) for image in options.image)
    missing = {"detector", *(TRITONS[version] for version in options.triton or TRITONS)} - images.keys()
    if missing:
        images |= driver.load_images(*sorted(missing))
    rig = Rig(NAMESPACE)
    rows: list[Row] = []
    machine = _machine()
    print(machine, f"load average {os.getloadavg()[0]:.1f} at the start", _HEAD, sep="\n")
    try:
        for version in options.triton or TRITONS:
            for row in _run(rig, version, images):
                rows.append(row)
                print(_line(row), flush=True)
    finally:
        if not options.keep:
            rig.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
            _slots(rig, None)
    print(json.dumps({"benchmark": "control-path", "machine": machine, "rows": [_json(row) for row in rows]}))
    return 0 if all(row.passed for row in rows) else 1


def _run(rig: Rig, version: str, images: dict[str, str]) -> Iterator[Row]:
    triton = TRITONS[version]
    rig.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    _slots(rig, "1")
    rig.apply(manifests.namespace(NAMESPACE))
    begun = time.time()
    rig.apply(*manifests.config_maps(manifests.serving_config("start")))
    rig.apply(manifests.deployment(images, triton))
    pod = rig.pod()
    poll("the model", lambda: rig.state(pod), lambda state: "Ready" in str(state.get("models")), 60)
    yield Row(version, "pod created", time.time() - begun, note="from apply to the model served")
    for scenario in (scenarios.restricted, scenarios.rest, scenarios.changes, scenarios.broken, scenarios.probes):
        yield from scenario(rig, pod, version)
    yield from scenarios.restarts(rig, pod, version)
    if version == next(iter(TRITONS)):  # the kubelet's own period is no matter of Triton's
        yield from scenarios.unannotated(rig, rig.pod(), version)
    yield from _renamed(scenarios.rollouts(rig, triton, images), version)
    rig.kubectl("scale", "deployment", manifests.NAME, "--replicas=0")
    poll("no pod", lambda: rig.get("pods")["items"], lambda pods: not any(map(is_ready, pods)), 60)


def _renamed(rows: Iterator[Row], version: str) -> Iterator[Row]:
    for row in rows:
        yield dataclasses.replace(row, triton=version)


def _slots(rig: Rig, count: str | None) -> None:
    """Give every node this many slots, or take them away."""
    path = "/status/capacity/" + manifests.SLOT.replace("/", "~1")
    patch = [{"op": "add", "path": path, "value": count} if count else {"op": "remove", "path": path}]
    for node in json.loads(rig.kubectl("get", "nodes", "-o", "json"))["items"]:
        name = node["metadata"]["name"]
        arguments = ("patch", "node", name, "--subresource=status", "--type=json", "-p", json.dumps(patch))
        rig.kubectl(*arguments, check=count is not None)


def _line(row: Row) -> str:
    window = row.window or Window()
    effect = f"{row.effect:.2f}" if row.effect is not None else "-"
    numbers = (str(window.requests), str(window.errors), str(window.wrong), f"{window.gap * 1000:.0f}")
    shown = numbers if row.window else ("-",) * 4
    mark = "" if row.passed else "  NOT AS EXPECTED"
    left = f"{row.triton:7}{row.case:46}{effect:>9}{shown[0]:>10}{shown[1]:>8}{shown[2]:>7}{shown[3]:>8}"
    return f"{left}{row.busy:>6.1f}  {row.note}{mark}"


def _json(row: Row) -> dict[str, Any]:
    window = row.window
    seen = (
        {"requests": window.requests, "errors": window.errors, "wrong": window.wrong, "gapSeconds": window.gap}
        if window
        else {}
    )
    found = {
        "triton": row.triton,
        "case": row.case,
        "effectSeconds": row.effect,
        "asExpected": row.passed,
        "load": row.busy,
    }
    return {**found, **seen, "note": row.note}


def _machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = dt.datetime.now(dt.UTC).date()
    cores = len(os.sched_getaffinity(0))
    return f"{today}, commit {commit.stdout.strip()}, {platform.machine()}, {cores} cores, {memory:.0f} GiB"


if __name__ == "__main__":
    sys.exit(main())
