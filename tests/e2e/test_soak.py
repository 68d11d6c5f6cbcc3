"""Ten minutes of the demo at rest: it keeps its rate, its memory and its objects as they are."""

from __future__ import annotations

import re
import threading
import time

import pytest

from edgedetector.api import names
from events import events
from forward import forward, get, serving_pod
from harness import Kubectl

pytestmark = pytest.mark.soak

SECONDS = 600.0
WARM_SECONDS = 120.0  # caches and pools are full by then


def resident_bytes(base: str) -> float:
    """Resident memory of the detector process, as it reports it."""
    found = re.search(rb"^process_resident_memory_bytes (\S+)$", get(f"{base}/metrics"), re.MULTILINE)
    assert found is not None
    return float(found[1])


def versions(demo: Kubectl) -> dict[str, str]:
    """resourceVersion of the detector and of what is made of it."""
    kinds = "deployments,services,configmaps,servicemonitors,prometheusrules"
    everything = [*demo.items(kinds, "-l", f"{names.LABEL_DETECTOR}=yard"), demo.get("edgedetector", "yard")]
    return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in everything}


def test_ten_minutes_leave_no_mark(demo: Kubectl) -> None:
    target = demo.get("edgedetector", "yard")["spec"]["cameras"][0]["frameRate"]["target"]
    seen: list[float] = []
    memory: dict[str, float] = {}
    with (
        forward(demo.namespace, serving_pod(demo.namespace, "yard", "gate"), names.PORT_DETECTOR) as metrics,
        forward(demo.namespace, serving_pod(demo.namespace, "yard", "gate"), names.PORT_DETECTOR_EVENTS) as stream,
    ):

        def watch() -> None:
            seen.extend(float(event["frame"]["ageSeconds"]) for event in events(stream, SECONDS))

        watcher = threading.Thread(target=watch, name="events")
        start, before = time.monotonic(), versions(demo)
        watcher.start()
        watcher.join(WARM_SECONDS)
        memory["warm"] = resident_bytes(metrics)
        watcher.join()
        memory["end"] = resident_bytes(metrics)
    ages = sorted(seen)
    share = len(seen) / (target * (time.monotonic() - start))
    print(
        f"{len(seen)} frames in {SECONDS:.0f} s, {share:.1%} of the target rate; frame age p50 "
        f"{ages[len(ages) // 2] * 1000:.0f} ms, p99 {ages[len(ages) * 99 // 100] * 1000:.0f} ms; detector "
        f"{memory['warm'] / 2**20:.0f} MiB after {WARM_SECONDS:.0f} s, {memory['end'] / 2**20:.0f} MiB at the end"
    )
    assert versions(demo) == before
    assert share >= 0.95
    assert memory["end"] <= 1.1 * memory["warm"]
