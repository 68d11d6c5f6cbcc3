"""A detector's life: what each change disturbs, what it leaves alone, and how it ends.

Most of the time goes into waiting for the kubelet, the autoscaler and pods that start. So the stories are told side
by side, a detector each, and the tests look at what came out.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest
import tritonclient.grpc as triton

import api
import cluster as driver
import pause
import sites
from edgedetector.api import conditions, names
from edgedetector.cluster import kinds
from forward import forward
from frames import watch
from harness import Kubectl, poll
from promises import promises

NAMESPACE: Final = "lifecycle"
CARD: Final = "example.com/card"
CARD_PROFILE: Final = "lifecycle-card"
GONE_SECONDS: Final = 30.0
GAP_SECONDS: Final = 2.0 + sites.KEYFRAME_SECONDS
"""A camera may miss a restart of the media server in place, and then waits for a keyframe."""
SERVING_SECONDS: Final = 1.0
"""At 5 frames a second, over a load in the background (ADR 1: 0.3 s without answers at most)."""
STUCK_SECONDS: Final = 60.0
"""A camera that gives no frame for so long was not merely interrupted: twice the longest wait between two tries."""
ROLL_SECONDS: Final = 4.0 + sites.KEYFRAME_SECONDS
"""A camera's Secret stands in the pod, so another set of them replaces the media server's pod (ADR 2)."""

GATE: Final = {"name": "gate", "url": "rtsp://camera:8554/vtest", "frameRate": {"target": 5}}
DOCK: Final = {"name": "dock", "url": "rtsp://camera:8554/mirrored"}
DEPLOYMENT: Final = kinds.of("apps/v1", "Deployment")
SCALER: Final = kinds.of("autoscaling/v2", "HorizontalPodAutoscaler")
MONITOR: Final = kinds.of("monitoring.coreos.com/v1", "ServiceMonitor")

settled = functools.partial(sites.wait_ready, NAMESPACE)
change = functools.partial(sites.change, NAMESPACE)


@dataclass(frozen=True)
class Gap:
    """For how long the other camera gave no frame, and a camera of another detector meanwhile: what the machine did."""

    event: str
    due: float
    other: float
    elsewhere: float


@dataclass(frozen=True)
class Marks:
    """UIDs of pods and restarts of their containers, before and after."""

    before: dict[str, tuple[int, ...]]
    after: dict[str, tuple[int, ...]]

    @property
    def untouched(self) -> bool:
        """Whether no container was started again and the pods are the same, but for what an autoscaler does."""
        return not sites.touched(self.before, self.after)


@dataclass(frozen=True)
class CameraEdits:
    gaps: tuple[Gap, ...]
    triton: Marks
    media: Marks
    """The media server's pod over those edits that touch no Secret."""


def edit_cameras() -> CameraEdits:
    """Change, add and remove a camera beside another one, with and without Secrets."""
    moved = {**DOCK, "url": "rtsp://camera:8554/vtest"}
    ramp = {"name": "ramp", "url": "rtsp://camera:8554/mirrored"}
    secret = {"name": "attic", "url": "rtsp://camera:8554/vtest", "credentialsSecretRef": {"name": "nowhere"}}

    def held() -> bool:
        return sites.cameras(NAMESPACE, "yard").get("attic", {}).get("reason") == conditions.REASON_SECRET_MISSING

    steps: tuple[tuple[str, float, list[dict[str, Any]], Callable[[], object]], ...] = (
        ("another address", GAP_SECONDS, [GATE, moved], lambda: settled("yard")),
        ("a camera more", GAP_SECONDS, [GATE, moved, ramp], lambda: settled("yard")),
        ("a camera fewer", GAP_SECONDS, [GATE, moved], lambda: settled("yard")),
        ("a camera whose Secret is missing", ROLL_SECONDS, [GATE, moved, secret], lambda: poll("held", held, bool)),
        ("that camera gone again", ROLL_SECONDS, [GATE, DOCK], lambda: settled("yard")),
    )
    gaps = []
    before = sites.marks(NAMESPACE, "yard", names.COMPONENT_TRITON)
    media_before = media_after = sites.marks(NAMESPACE, "yard", names.COMPONENT_MEDIA)
    with watch(NAMESPACE, "yard", "gate") as here, watch(driver.DEMO_NAMESPACE, "yard", "gate") as there:
        for event, due, cameras, done in steps:
            mark, mark_there = here.mark(), there.mark()
            change("yard", cameras=cameras)
            done()
            here.wait("gate", here.mark())
            there.wait("gate", there.mark())
            if due == GAP_SECONDS:
                media_after = sites.marks(NAMESPACE, "yard", names.COMPONENT_MEDIA)
            gaps.append(Gap(event, due, here.longest_gap("gate", mark), there.longest_gap("gate", mark_there)))
    after = sites.marks(NAMESPACE, "yard", names.COMPONENT_TRITON)
    return CameraEdits(tuple(gaps), Marks(before, after), Marks(media_before, media_after))


@dataclass(frozen=True)
class Served:
    instances: int
    preferred: tuple[int, ...]
    delay: int


@dataclass(frozen=True)
class ServingEdit:
    before: Served
    after: Served
    pods: Marks
    gap: float


def change_serving() -> ServingEdit:
    """Serve the model with other knobs."""
    marks = sites.marks(NAMESPACE, "yard")
    with (
        forward(NAMESPACE, "service/yard-triton", names.PORT_TRITON_GRPC) as base,
        watch(NAMESPACE, "yard", "gate") as frames,
    ):
        client = triton.InferenceServerClient(base.removeprefix("http://"))
        before, mark = _served(client), frames.mark()
        change("yard", serving={"instances": 2, "preferredBatchSizes": [2, 4], "maxQueueDelay": "3ms"})
        settled("yard")
        frames.wait("gate", frames.mark())
        after = _served(client)
        client.close()
    return ServingEdit(before, after, Marks(marks, sites.marks(NAMESPACE, "yard")), frames.longest_gap("gate", mark))


def _served(client: triton.InferenceServerClient) -> Served:
    config = client.get_model_config("any").config
    batching = config.dynamic_batching
    return Served(
        sum(group.count for group in config.instance_group),
        tuple(batching.preferred_batch_size),
        batching.max_queue_delay_microseconds,
    )


def change_the_rest() -> Marks:
    """Change what concerns neither models nor cameras."""
    before = sites.marks(NAMESPACE, "yard")
    labelled = {"metadata": {"labels": {"team": "red"}, "annotations": {"note": "hello"}}}
    api.patch(kinds.EDGEDETECTOR, NAMESPACE, "yard", labelled)
    change(
        "yard",
        monitoring={"scrapeInterval": "30s", "labels": {"release": "other"}},
        scaling={"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilization": 90},
    )

    def followed() -> bool:
        monitor, scaler = api.get(MONITOR, NAMESPACE, "yard"), api.get(SCALER, NAMESPACE, "yard-triton")
        if monitor is None or scaler is None or scaler["spec"]["maxReplicas"] != 3:
            return False
        return {endpoint["interval"] for endpoint in monitor["spec"]["endpoints"]} == {"30s"}

    poll("the ServiceMonitor and the autoscaler", followed, bool)
    settled("yard")
    return Marks(before, sites.marks(NAMESPACE, "yard"))


@dataclass(frozen=True)
class Credentials:
    held: dict[str, dict[str, Any]]
    """The cameras while one Secret is missing."""
    ready: tuple[str, str, str]
    """The condition Ready meanwhile."""
    refused: str
    """State of the camera whose password changed at the camera alone."""
    pods: Marks
    gap: Gap
    seconds: float
    """From the new Secrets to frames of all cameras."""


def use_credentials(images: dict[str, str]) -> Credentials:
    """Bring a Secret that is missing, and rotate another one: first at the camera, then in the Secret."""

    def seen(good: Callable[[dict[str, dict[str, Any]]], bool], seconds: float) -> dict[str, dict[str, Any]]:
        return poll("cameras of vault", lambda: sites.cameras(NAMESPACE, "vault"), good, seconds)

    kubectl = Kubectl(NAMESPACE)
    held = seen(
        lambda c: _live(c, "open", "locked") and c["late"].get("reason") == conditions.REASON_SECRET_MISSING, 120
    )
    ready = sites.conditions(NAMESPACE, "vault")["Ready"]
    before = sites.marks(NAMESPACE, "vault")
    with watch(NAMESPACE, "vault", "open") as here, watch(driver.DEMO_NAMESPACE, "yard", "gate") as there:
        mark, mark_there = here.mark(), there.mark()
        kubectl.apply(*sites.camera(images["camera"], "guarded", user="viewer", password="second:/@word"))
        refused = seen(lambda c: c["locked"]["state"] not in {"Live", "Connecting"}, 60)["locked"]["state"]
        started = time.monotonic()
        for name in ("late", "locked"):
            kubectl.apply(sites.secret(name, username="viewer", password="second:/@word"))
        seen(lambda c: _live(c, "open", "locked", "late"), 180)
        seconds = time.monotonic() - started
        here.wait("open", here.mark())
        there.wait("gate", there.mark())
        gap = Gap("Secrets", GAP_SECONDS, here.longest_gap("open", mark), there.longest_gap("gate", mark_there))
    settled("vault")
    return Credentials(held, ready, refused, Marks(before, sites.marks(NAMESPACE, "vault")), gap, seconds)


def _live(cameras: dict[str, dict[str, Any]], *wanted: str) -> bool:
    return all(cameras.get(name, {}).get("detecting") and cameras[name]["state"] == "Live" for name in wanted)


@dataclass(frozen=True)
class Scaled:
    handover: Marks
    noted: str
    """What stands on the Deployment while it is suspended."""
    resumed: int
    """Replicas of the first moment in which there were any again."""
    ready_after: float


def hand_over_suspend_and_resume() -> Scaled:
    """Give two replicas to an autoscaler, suspend the detector, and resume it."""
    before = sites.marks(NAMESPACE, "pair", names.COMPONENT_TRITON)
    change("pair", scaling={"minReplicas": 2, "maxReplicas": 3})

    def active() -> str:
        return sites.conditions(NAMESPACE, "pair").get("ScalingReady", ("",))[0]

    poll("an autoscaler that reads its metric", active, lambda status: status == "True")
    handover = Marks(before, sites.marks(NAMESPACE, "pair", names.COMPONENT_TRITON))
    # Two are now more than the minimum; for five minutes an autoscaler takes none away.
    change("pair", scaling={"minReplicas": 1, "maxReplicas": 2})
    poll("1..2", lambda: (api.get(SCALER, NAMESPACE, "pair-triton") or {})["spec"]["minReplicas"], lambda n: n == 1)
    poll("two replicas", lambda: len(sites.pods(NAMESPACE, "pair", names.COMPONENT_TRITON)), lambda n: n == 2)
    change("pair", suspend=True)
    poll("no pods", lambda: sites.pods(NAMESPACE, "pair"), lambda pods: not pods)
    poll(
        "the reason", lambda: sites.conditions(NAMESPACE, "pair").get("Ready", ("", ""))[1], lambda r: r == "Suspended"
    )
    suspended = api.get(DEPLOYMENT, NAMESPACE, "pair-triton") or {}
    change("pair", suspend=False)
    resumed = poll("replicas", lambda: (api.get(DEPLOYMENT, NAMESPACE, "pair-triton") or {})["spec"]["replicas"], bool)
    noted = suspended["metadata"].get("annotations", {}).get(names.ANNOTATION_REPLICAS, "")
    return Scaled(handover, noted, resumed, settled("pair"))


@dataclass(frozen=True)
class Rolled:
    pending: int
    """Replicas without a device when the image was changed."""
    wanted: str
    images: frozenset[str]
    """Images of Triton in the pods that run."""
    seconds: float


def change_images(images: dict[str, str]) -> tuple[Rolled, Rolled]:
    """Change Triton's image with one device: first while a second replica waits for one, then without it."""
    poll("a replica without a device", _without_device, lambda pods: len(pods) == 1)
    beside = _roll(images["emulated-triton"])
    change("card", scaling={"minReplicas": 1, "maxReplicas": 1})
    settled("card")
    poll("one replica", _without_device, lambda pods: not pods)
    return beside, _roll(images["triton-cpu"])


def _without_device() -> list[str]:
    found = sites.pods(NAMESPACE, "card", names.COMPONENT_TRITON)
    return [pod["metadata"]["name"] for pod in found if not pod["spec"].get("nodeName")]


def _roll(image: str) -> Rolled:
    pending, started = len(_without_device()), time.monotonic()
    api.patch(kinds.ACCELERATOR_PROFILE, "", CARD_PROFILE, {"spec": {"triton": {"image": image}}})

    def running() -> frozenset[str]:
        found = sites.pods(NAMESPACE, "card", names.COMPONENT_TRITON)
        ready = [pod for pod in found if pod["spec"].get("nodeName")]
        containers = [c for pod in ready for c in pod["spec"]["containers"] if c["name"] == names.CONTAINER_TRITON]
        return frozenset(container["image"] for container in containers)

    seen = poll(f"pods with {image}", running, lambda found: found == {image})
    settled("card")
    return Rolled(pending, image, seen, time.monotonic() - started)


def _card_profile(images: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": CARD_PROFILE},
        "spec": {
            "resource": {"name": CARD, "count": 1},
            "triton": {
                "image": images["triton-cpu"],
                "version": "24.10",
                "backend": "python",
                "instanceKind": "KIND_CPU",
                "modelFile": "model.py",
                "sharedMemory": "64Mi",
            },
            "media": {"image": images["go2rtc"]},
        },
    }


def _set_up(images: dict[str, str]) -> None:
    sites.namespace(NAMESPACE)
    node = json.loads(driver.kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    one = {"status": {"capacity": {CARD: "1"}, "allocatable": {CARD: "1"}}}
    driver.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(one))
    driver.kubectl("delete", "acceleratorprofile", CARD_PROFILE, "--ignore-not-found")
    driver.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_card_profile(images)))
    guarded = "rtsp://guarded:8554"
    vault = (
        {"name": "open", "url": "rtsp://camera:8554/vtest", "frameRate": {"target": 5}},
        {"name": "locked", "url": f"{guarded}/vtest", "credentialsSecretRef": {"name": "locked"}},
        {"name": "late", "url": f"{guarded}/mirrored", "credentialsSecretRef": {"name": "late"}},
    )
    Kubectl(NAMESPACE).apply(
        sites.model(),
        *sites.camera(images["camera"]),
        *sites.camera(images["camera"], "guarded", user="viewer", password="first"),
        sites.secret("locked", username="viewer", password="first"),
        sites.detector("vault", *vault),
        sites.detector("yard", GATE, DOCK),
        sites.detector("pair", DOCK, scaling={"minReplicas": 2, "maxReplicas": 2}),
        sites.detector("card", DOCK, profile=CARD_PROFILE, scaling={"minReplicas": 2, "maxReplicas": 2}),
    )


@pytest.fixture(scope="module")
def stories(demo: Kubectl, images: dict[str, str]) -> Iterator[dict[str, Future[Any]]]:
    """Every story's outcome. Module: they run side by side, since each waits most of its time."""
    _set_up(images)
    with ThreadPoolExecutor(4) as pool:
        told: dict[str, Future[Any]] = {"credentials": pool.submit(use_credentials, images)}
        for name in ("yard", "pair", "card"):
            settled(name)
        told["images"] = pool.submit(change_images, images)
        # One after the other, and pods that start only afterwards: gaps are measured here.
        told["cameras"] = pool.submit(edit_cameras)
        concurrent.futures.wait([told["cameras"]])
        told["scaling"] = pool.submit(hand_over_suspend_and_resume)
        told["serving"] = pool.submit(change_serving)
        concurrent.futures.wait([told["serving"]])
        told["rest"] = pool.submit(change_the_rest)
        yield told
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    driver.kubectl("delete", "acceleratorprofile", CARD_PROFILE, "--wait=false")


def _within(gap: Gap) -> bool:
    """Whether the other camera went on by itself; how fast is a promise, since the machine may be slow."""
    promises.note(f"other camera's pause, {gap.event}", gap.other, gap.due + gap.elsewhere)
    return gap.other <= STUCK_SECONDS + gap.elsewhere


def test_a_camera_change_touches_no_triton_pod_and_no_other_camera(stories: dict[str, Future[Any]]) -> None:
    edits: CameraEdits = stories["cameras"].result()
    assert edits.triton.untouched
    assert edits.media.untouched
    assert len(edits.gaps) == 5
    assert not [gap for gap in edits.gaps if not _within(gap)]


def test_a_serving_change_goes_in_place(stories: dict[str, Future[Any]]) -> None:
    edit: ServingEdit = stories["serving"].result()
    promises.note("pause of detections over a serving change", edit.gap, SERVING_SECONDS)
    assert edit.before != edit.after
    assert edit.after == Served(instances=2, preferred=(2, 4), delay=3000)
    assert edit.pods.untouched


def test_labels_annotations_monitoring_and_scaling_restart_nothing(stories: dict[str, Future[Any]]) -> None:
    marks: Marks = stories["rest"].result()
    assert marks.untouched


def test_a_missing_secret_holds_its_camera_alone(stories: dict[str, Future[Any]]) -> None:
    told: Credentials = stories["credentials"].result()
    assert _live(told.held, "open", "locked")
    assert "late" in told.held["late"]["message"]
    assert told.ready[:2] == ("False", conditions.REASON_SECRET_MISSING)


def test_new_and_rotated_credentials_are_taken_up_for_their_cameras_alone(stories: dict[str, Future[Any]]) -> None:
    told: Credentials = stories["credentials"].result()
    print(f"{told.seconds:.0f} s from the Secrets to all cameras; the camera refused the old password: {told.refused}")
    assert told.pods.untouched
    assert _within(told.gap)


def test_replicas_survive_the_handover_to_an_autoscaler(stories: dict[str, Future[Any]]) -> None:
    told: Scaled = stories["scaling"].result()
    assert len(told.handover.before) == 2
    assert told.handover.before.items() <= told.handover.after.items()


def test_a_resumed_detector_has_as_many_replicas_as_before(stories: dict[str, Future[Any]]) -> None:
    told: Scaled = stories["scaling"].result()
    print(f"Ready {told.ready_after:.0f} s after it was resumed")
    assert told.noted == "2"
    assert told.resumed == 2


@pytest.mark.parametrize(("which", "pending"), [(0, 1), (1, 0)], ids=["a second replica waits", "one replica"])
def test_a_new_image_comes_with_one_device(stories: dict[str, Future[Any]], which: int, pending: int) -> None:
    rolled: Rolled = stories["images"].result()[which]
    print(f"detections with the new image after {rolled.seconds:.0f} s")
    assert rolled.pending == pending
    assert rolled.images == {rolled.wanted}


def test_without_the_operator_a_deleted_detector_is_gone(stories: dict[str, Future[Any]], operator: Kubectl) -> None:
    concurrent.futures.wait(stories.values())
    everything, selector = (*sites.STANDING_KINDS, ("v1", "Pod")), f"{names.LABEL_DETECTOR}=yard"

    def left() -> list[str]:
        found = [obj for kind in everything for obj in api.items(kinds.of(*kind), NAMESPACE, selector)]
        return [f"{obj['kind']}/{obj['metadata']['name']}" for obj in found]

    assert {entry.partition("/")[0] for entry in left()} >= {kind for _, kind in everything}
    with pause.stopped(operator):
        started = time.monotonic()
        api.delete(kinds.EDGEDETECTOR, NAMESPACE, "yard")
        poll("children of a deleted detector", left, lambda found: not found)
        promises.note("a deleted detector gone with the operator at 0", time.monotonic() - started, GONE_SECONDS)
