"""What frames pass through fails on the real cluster, under load: go2rtc, Triton, its configuration, shared memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

import cluster as driver
import onnode
import sites
from edgedetector.api import conditions, names
from edgedetector.go2rtc.container import MINIMUM_UPTIME_SECONDS
from forward import serving_pod
from frames import watch
from harness import Kubectl, poll
from held import Held
from promises import promises

NAMESPACE: Final = "serverfaults"
NAME: Final = "yard"
PROFILE: Final = "serverfaults"
BACK_SECONDS: Final = 5.0
"""In which every camera gives results again."""
RELOADED_SECONDS: Final = 1.0
"""For which a reload may hold up a camera."""
CAMERAS: Final = ("gate", "dock", "yard", "ramp")
FILLER: Final = "/dev/shm/filler"
# Takes what there is and whatever becomes free, until somebody removes the file.
FILL: Final = (
    f": >{FILLER}; (while [ -e {FILLER} ]; do cat /dev/zero >>{FILLER} 2>/dev/null; sleep 0.05; done) >/dev/null 2>&1 &"
)
SLOW: Final = "        import time; time.sleep(0.1)\n        count = len(images)\n"
"""What a batch takes: with four cameras there is always one on its way."""

Object = dict[str, Any]


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A detector of one replica that is busy all the time, with little shared memory. Module, since a start is slow."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    profile = json.loads(driver.kubectl("get", "acceleratorprofile", "cpu", "-o", "json"))
    profile["spec"]["triton"]["sharedMemory"] = "32Mi"
    own = {**profile, "metadata": {"name": PROFILE}, "status": None}
    driver.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(own))
    model = sites.model()
    model["data"]["model.py"] = model["data"]["model.py"].replace("        count = len(images)\n", SLOW)
    kubectl.apply(model, *sites.camera(images["camera"]))
    cameras = [
        {"name": name, "url": f"rtsp://camera:8554/{video}", "frameRate": {"target": 5, "minimum": 5}}
        for name, video in zip(CAMERAS, ("vtest", "mirrored") * 2, strict=True)
    ]
    one = {"minReplicas": 1, "maxReplicas": 1}
    kubectl.apply(sites.detector(NAME, *cameras, profile=PROFILE, scaling=one))
    sites.wait_ready(NAMESPACE, NAME)
    yield kubectl
    kubectl("delete", "edgedetector", NAME, "--wait=true")
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    driver.kubectl("delete", "acceleratorprofile", PROFILE)


def pod(component: str) -> Object:
    """Return the only pod of a component."""
    (found,) = sites.pods(NAMESPACE, NAME, component)
    return found


def age(found: Object) -> float:
    """Return for how many seconds at least the first container of a pod runs."""
    started = datetime.fromisoformat(found["status"]["containerStatuses"][0]["state"]["running"]["startedAt"])
    return (datetime.now(UTC) - started).total_seconds() - 1.0


def restarts(component: str, container: str) -> int:
    """Return how often the kubelet has started a container again."""
    statuses = pod(component)["status"]["containerStatuses"]
    return int(next(status["restartCount"] for status in statuses if status["name"] == container))


def shared_memory() -> tuple[str, str]:
    """Return status and reason of the condition."""
    found: tuple[str, str, str] = sites.conditions(NAMESPACE, NAME).get(conditions.SHARED_MEMORY_READY, ("", "", ""))
    return found[:2]


def test_a_reload_under_load_holds_up_no_camera(site: Kubectl) -> None:
    before = sites.marks(NAMESPACE, NAME)
    with watch(NAMESPACE, NAME, "gate") as frames:
        mark = frames.mark()
        for serving in ({"instances": 2}, {"preferredBatchSizes": [2], "maxQueueDelay": "2ms"}, {"instances": 1}):
            sites.change(NAMESPACE, NAME, serving=serving)
            sites.wait_ready(NAMESPACE, NAME)
            for camera in CAMERAS:
                frames.wait(camera, frames.mark(), 5)
        gap = max(frames.longest_gap(camera, mark) for camera in CAMERAS)
    promises.note("the camera that was longest without frames while the model was reloaded", gap, RELOADED_SECONDS)
    assert sites.touched(before, sites.marks(NAMESPACE, NAME)) == {}
    assert shared_memory()[0] == conditions.TRUE


def test_with_dev_shm_full_frames_go_on_in_messages_until_there_is_room(site: Kubectl) -> None:
    replica = serving_pod(NAMESPACE, NAME, "gate")
    inside = ("exec", replica, "-c", names.CONTAINER_TRITON, "--", "sh", "-c")
    triton = restarts(names.COMPONENT_TRITON, names.CONTAINER_TRITON)
    site(*inside, FILL)
    try:
        # One that runs has all the memory that it needs; one that starts has not.
        onnode.kill(pod(names.COMPONENT_TRITON), "edgedetector.detector run")
        blocked = poll("it says so", shared_memory, lambda found: found[0] == conditions.FALSE)
        assert blocked[1] == conditions.REASON_SHARED_MEMORY_UNAVAILABLE
        with watch(NAMESPACE, NAME, "gate") as frames:
            for camera in CAMERAS:
                frames.wait(camera, {}, 5)
    finally:
        site(*inside, f"rm -f {FILLER}")
    poll("memory is shared again", shared_memory, lambda found: found[0] == conditions.TRUE)
    assert Held.by(site, replica).regions > 0
    assert restarts(names.COMPONENT_TRITON, names.CONTAINER_TRITON) == triton


def test_every_camera_is_back_after_triton_was_killed_in_the_middle_of_a_batch(site: Kubectl) -> None:
    replica = serving_pod(NAMESPACE, NAME, "gate")
    detector, triton = (
        restarts(names.COMPONENT_TRITON, container) for container in (names.CONTAINER_DETECTOR, names.CONTAINER_TRITON)
    )
    with watch(NAMESPACE, NAME, "gate") as frames:
        for camera in CAMERAS:
            frames.wait(camera, {}, 5)
        mark, held = frames.mark(), Held.by(site, replica)
        onnode.kill(pod(names.COMPONENT_TRITON), "tritonserver")
        poll(
            "another Triton", lambda: restarts(names.COMPONENT_TRITON, names.CONTAINER_TRITON), lambda now: now > triton
        )
        back = frames.mark()
        for camera in CAMERAS:
            frames.wait(camera, back, 10)
        gap = max(frames.longest_gap(camera, mark) for camera in CAMERAS)
        after = poll(f"no more than {held}", lambda: Held.by(site, replica), lambda now: not now.exceeds(held))
    promises.note("the camera that was longest without results after Triton was killed", gap, BACK_SECONDS)
    assert after.regions > 0
    assert restarts(names.COMPONENT_TRITON, names.CONTAINER_DETECTOR) == detector
    poll("memory is shared", shared_memory, lambda found: found[0] == conditions.TRUE)


def test_every_camera_is_back_after_go2rtc_was_killed(site: Kubectl) -> None:
    media = pod(names.COMPONENT_MEDIA)
    # One that ends sooner after its start is the kubelet's to start again, with a pause.
    poll("it has run for a while", lambda: age(media), lambda seconds: seconds > MINIMUM_UPTIME_SECONDS)
    with watch(NAMESPACE, NAME, "gate") as frames:
        mark = frames.mark()
        onnode.kill(media, "^[^ ]*go2rtc -config")
        for camera in CAMERAS:
            frames.wait(camera, mark, 25)
        gap = max(frames.longest_gap(camera, mark) for camera in CAMERAS)
    promises.note("the camera that was longest without frames after go2rtc was killed", gap, BACK_SECONDS)
    assert gap > 1.0 / 5, "it was killed"
    assert restarts(names.COMPONENT_MEDIA, names.CONTAINER_GO2RTC) == 0, "within its container"
