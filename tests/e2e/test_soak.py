"""Ten minutes at rest: the demo keeps its rate and its memory, and nobody of ours writes anything.

A camera of a second detector fails all the time, since what fails is tried again for ever and must not be told for
ever.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import audit
import cluster as driver
import frames
import sites
from edgedetector.api import names
from forward import forward, get, serving_pod
from harness import Kubectl, poll

pytestmark = pytest.mark.soak

NAMESPACE = "soak"
SECONDS = 600.0
WARM_SECONDS = 120.0  # caches and pools are full by then
REST_SECONDS = 60.0
"""Without a write, before the ten minutes begin: starts and failures of others are over then."""
TARGET_SHARE = 0.95
MEMORY_GROWTH = 1.1

IDENTITIES = tuple(
    audit.service_account(namespace) for namespace in (driver.SYSTEM_NAMESPACE, driver.DEMO_NAMESPACE, NAMESPACE)
)
"""The operator, and the accounts of all our pods, which have no token and can therefore write nothing."""


@dataclass(frozen=True)
class TenMinutes:
    """What was seen of them."""

    ages: list[float]
    """Seconds from a frame's decoding to its result, sorted."""
    share: float
    """Frames inferred, as a share of the target rate."""
    warm: float
    """Resident bytes of the demo's detector process."""
    end: float
    versions: tuple[dict[str, str], dict[str, str]]
    """resourceVersion of the demo's objects, before and after."""
    writes: Counter[str]
    """Requests of our identities that ask for a change, Events included, also those that changed nothing."""
    reads: int
    """Other requests of theirs: proof that these are their names."""
    cameras: tuple[dict[str, object], dict[str, object]]
    """What the second detector's status says of its cameras, before and after."""


@pytest.fixture(scope="module")
def failing(demo: Kubectl, images: dict[str, str]) -> Iterator[None]:
    """A detector with two live cameras and one that nobody answers for, at rest. Module: its start takes a while."""
    sites.namespace(NAMESPACE)
    _, dark = sites.camera(images["camera"], "dark")  # a Service without a pod
    cameras = (
        {"name": "gate", "url": "rtsp://camera:8554/vtest"},
        {"name": "dock", "url": "rtsp://camera:8554/mirrored"},
        {"name": "dark", "url": "rtsp://dark:8554/vtest"},
    )
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(sites.model(), *sites.camera(images["camera"]), dark, sites.detector("yard", *cameras))

    def states() -> dict[str, object]:
        return {name: (c["state"], c.get("detecting")) for name, c in sites.cameras(NAMESPACE, "yard").items()}

    wanted = {"gate": ("Live", True), "dock": ("Live", True), "dark": ("Failing", False)}
    poll("two cameras Live, one Failing", states, lambda seen: seen == wanted)
    poll("Stalled", lambda: sites.conditions(NAMESPACE, "yard").get("Stalled", ("",))[0], lambda s: s == "True")
    yield
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def ten_minutes(demo: Kubectl, failing: None) -> TenMinutes:
    """Ten minutes, begun when nothing of ours has written for one. Module: all tests look at the same ones."""
    log = audit.Log(audit.node_log(), from_end=True)
    await_rest(log)
    target = demo.get("edgedetector", "yard")["spec"]["cameras"][0]["frameRate"]["target"]
    taken: list[dict[str, Any]] = []
    with (
        forward(demo.namespace, serving_pod(demo.namespace, "yard", "gate"), names.PORT_DETECTOR) as metrics,
        frames.follow(demo.namespace, "yard", taken.append),
    ):
        poll("a first event", lambda: len(taken), bool)
        list(log.new())
        before, cameras = versions(demo), sites.cameras(NAMESPACE, "yard")
        start, begin = time.monotonic(), len(taken)
        time.sleep(WARM_SECONDS)
        warm = resident_bytes(metrics)
        time.sleep(SECONDS - WARM_SECONDS)  # the point of it: this long, whatever happens
        seen, seconds = [float(event["frame"]["ageSeconds"]) for event in taken[begin:]], time.monotonic() - start
        end = resident_bytes(metrics)
    entries = list(log.new())
    return TenMinutes(
        ages=sorted(seen),
        share=len(seen) / (target * seconds),
        warm=warm,
        end=end,
        versions=(before, versions(demo)),
        writes=audit.writes(entries, *IDENTITIES),
        reads=sum(entry.user.startswith(IDENTITIES) and not entry.is_write for entry in entries),
        cameras=(cameras, sites.cameras(NAMESPACE, "yard")),
    )


def await_rest(log: audit.Log) -> None:
    """Wait until none of our identities has written for a while."""
    last = time.monotonic()

    def quiet_for() -> float:
        nonlocal last
        if audit.writes(log.new(), *IDENTITIES):
            last = time.monotonic()
        return time.monotonic() - last

    poll("no write", quiet_for, lambda seconds: seconds > REST_SECONDS, 300)


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


def test_the_demo_keeps_its_rate_its_memory_and_its_objects(ten_minutes: TenMinutes) -> None:
    ages = ten_minutes.ages
    print(
        f"{len(ages)} frames in {SECONDS:.0f} s, {ten_minutes.share:.1%} of the target rate; frame age p50 "
        f"{ages[len(ages) // 2] * 1000:.0f} ms, p99 {ages[len(ages) * 99 // 100] * 1000:.0f} ms; detector "
        f"{ten_minutes.warm / 2**20:.0f} MiB after {WARM_SECONDS:.0f} s, {ten_minutes.end / 2**20:.0f} MiB at the end"
    )
    before, after = ten_minutes.versions
    assert after == before
    assert ten_minutes.share >= TARGET_SHARE
    assert ten_minutes.end <= MEMORY_GROWTH * ten_minutes.warm


def test_nobody_of_ours_writes_while_cameras_are_live_and_one_fails(ten_minutes: TenMinutes) -> None:
    print(f"{ten_minutes.writes.total()} writes, {ten_minutes.reads} other requests of {', '.join(IDENTITIES)}")
    assert ten_minutes.reads > 0
    assert not ten_minutes.writes
    before, after = ten_minutes.cameras
    assert before.keys() == {"gate", "dock", "dark"}
    assert after == before
