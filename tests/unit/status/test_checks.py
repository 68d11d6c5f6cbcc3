"""One thing goes wrong at a time: which condition says so, why, and whether somebody has to act."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.status.views import (
    JUST_NOW,
    LONG_AGO,
    camera,
    healthy,
    media,
    pod,
    profile,
    resource,
    said,
    seen,
    state,
    workload,
)

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState, ModelState
from edgedetector.api.edgedetector import ScalingFigure, ScalingMetric
from edgedetector.api.quantities import Quantity
from edgedetector.go2rtc.state import StreamState
from edgedetector.observe.snapshot import Problem, Scaler, ScalerCondition
from edgedetector.status import compose, remedies, scaling
from edgedetector.status.view import View
from edgedetector.tuning.ledger import Capacity, Ledger


def judged(view: View) -> dict[str, c.Condition]:
    return {condition.type: condition for condition in compose.judge(view)}


def with_workload(view: View, component: str, **changes: Any) -> View:
    name = f"yard-{component}"
    return seen(view, workloads={**view.snapshot.workloads, name: workload(component, **changes)})


def held(view: View, component: str, reason: str, words: str, *, lacking: tuple[str, ...] = (), **changes: Any) -> View:
    """A pod of the component is held, so its Deployment is not available."""
    view = with_workload(view, component, available=0)
    stuck = pod(component, ready=False, problem=Problem(reason, words, lacking), **changes)
    others = tuple(other for other in view.snapshot.pods if other.component != component)
    return seen(view, pods=(*others, stuck))


def accepted_state(view: View, **changes: Any) -> View:
    return said(view, state(view.accepted.id, **changes))


def with_camera(view: View, **changes: Any) -> View:
    return said(view, state(view.accepted.id, camera("gate"), camera("dock", **changes)))


def with_scaler(view: View, maximum: int | None = None, **found: ScalerCondition) -> View:
    return seen(view, scaler=Scaler(found, maximum))


def unread(view: View, *figures: str, since: str = LONG_AGO) -> View:
    """The autoscaler goes by the CPU alone and does not get the rest."""
    return seen(
        view, scaler=Scaler({"ScalingActive": ScalerCondition("True", "ValidMetricFound", "", since)}, unread=figures)
    )


def missed(view: View, seconds: int) -> View:
    """A figure that the autoscaler had has been missing for so long."""
    return dataclasses.replace(view, missed=view.now - timedelta(seconds=seconds))


def measured(view: View, *, at: str = LONG_AGO, pods: int = 1, first: float = 40.0) -> View:
    """What one replica serves is known, and was at first; with 0 pods it is of a release that did not say."""
    capacity = Capacity(40.0, 40.0, at=datetime.fromisoformat(at).timestamp(), pods=pods)
    return dataclasses.replace(view, ledger=Ledger("", 0.0, capacity=capacity, baseline=first))


def following(view: View, *names_: ScalingFigure) -> View:
    """The autoscaler is to follow figures of ours."""
    spec = view.detector.spec
    scaling = dataclasses.replace(spec.scaling, metrics=tuple(map(ScalingMetric, names_)))
    detector = dataclasses.replace(view.detector, spec=dataclasses.replace(spec, scaling=scaling))
    return dataclasses.replace(view, detector=detector)


def on_accelerator(view: View) -> View:
    return dataclasses.replace(view, profile=profile("denglin-ks20"))


def with_shared_memory(view: View, size: str) -> View:
    server = dataclasses.replace(view.profile.spec.triton, shared_memory=Quantity(size))
    spec = dataclasses.replace(view.profile.spec, triton=server)
    return dataclasses.replace(view, profile=dataclasses.replace(view.profile, spec=spec))


def leaving_pod(view: View) -> View:
    return seen(view, pods=(*view.snapshot.pods, pod("triton", "yard-triton-0", leaving=True)))


def failed(message: str, reason: str = "") -> ModelState:
    return ModelState("people", "Failed", message, reason=reason)


DEMAND, WAIT = "edgedetector_demand_ratio", "edgedetector_queue_time_seconds"
GPU = ("denglin.com/gpu",)
NO = "False"
WAITING, BLOCKED = "waiting", "blocked"
Break = Callable[[View], View]

# What is broken -> condition, reason, words in the message, waiting or blocked.
GATING: list[tuple[str, Break, str, str, str, str]] = [
    (
        "no Deployment yet",
        lambda v: seen(v, workloads={}),
        c.SERVER_READY, c.REASON_PROGRESSING, "being created", WAITING,
    ),
    (
        "the Deployment has not seen its generation",
        lambda v: with_workload(v, "triton", current=False),
        c.SERVER_READY, c.REASON_ROLLING_OUT, "starting", WAITING,
    ),
    (
        "an older pod is left",
        lambda v: with_workload(v, "triton", total=2),
        c.SERVER_READY, c.REASON_ROLLING_OUT, "starting", WAITING,
    ),
    (
        "no pod may be made",
        lambda v: with_workload(v, "triton", available=0, failure="exceeded quota"),
        c.SERVER_READY, c.REASON_UNAVAILABLE, "exceeded quota", BLOCKED,
    ),
    (
        "an image cannot be pulled",
        lambda v: held(v, "triton", c.REASON_IMAGE_PULL_FAILED, 'cannot pull image "x:1"'),
        c.SERVER_READY, c.REASON_IMAGE_PULL_FAILED, "x:1", BLOCKED,
    ),
    (
        "a device is not free yet",
        lambda v: held(v, "triton", c.REASON_UNSCHEDULABLE, "0/1 nodes", unschedulable_since=JUST_NOW),
        c.SERVER_READY, c.REASON_UNSCHEDULABLE, "waiting for a node: 0/1 nodes", WAITING,
    ),
    (
        "no node has the device",
        lambda v: held(on_accelerator(v), "triton", c.REASON_UNSCHEDULABLE, "0/1 nodes", unschedulable_since=LONG_AGO),
        c.SERVER_READY, c.REASON_UNSCHEDULABLE, "1 denglin.com/gpu", BLOCKED,
    ),
    (
        "another detector has the device",
        lambda v: seen(
            held(on_accelerator(v), "triton", c.REASON_UNSCHEDULABLE, "0/1 nodes", lacking=GPU,
                 unschedulable_since=JUST_NOW),
            holders={"denglin.com/gpu": ("site-b/dock",)},
        ),
        c.SERVER_READY, c.REASON_ACCELERATOR_TAKEN, "denglin.com/gpu is taken by EdgeDetector site-b/dock", BLOCKED,
    ),
    (
        "another detector has a device, and the own pod that has one leaves",
        lambda v: seen(
            leaving_pod(held(on_accelerator(v), "triton", c.REASON_UNSCHEDULABLE, "0/1 nodes", lacking=GPU,
                             unschedulable_since=JUST_NOW)),
            holders={"denglin.com/gpu": ("site-b/dock",)},
        ),
        c.SERVER_READY, c.REASON_UNSCHEDULABLE, "waiting for a node", WAITING,
    ),
    (
        "nobody of ours has the device",
        lambda v: held(on_accelerator(v), "triton", c.REASON_UNSCHEDULABLE, "0/1 nodes", lacking=GPU,
                       unschedulable_since=LONG_AGO),
        c.SERVER_READY, c.REASON_ACCELERATOR_MISSING, "no node offers a free denglin.com/gpu", BLOCKED,
    ),
    (
        "a claim does not exist",
        lambda v: held(v, "triton", c.REASON_VOLUME_CLAIM_MISSING, "PersistentVolumeClaim models does not exist",
                       unschedulable_since=JUST_NOW),
        c.SERVER_READY, c.REASON_VOLUME_CLAIM_MISSING, "models does not exist", BLOCKED,
    ),
    (
        "memory is short",
        lambda v: held(v, "triton", c.REASON_OUT_OF_MEMORY, "for want of memory"),
        c.SERVER_READY, c.REASON_OUT_OF_MEMORY, "AcceleratorProfile cpu", BLOCKED,
    ),
    (
        "the media server crashes",
        lambda v: held(v, "media", c.REASON_CRASH_LOOPING, "exit code 1"),
        c.MEDIA_READY, c.REASON_CRASH_LOOPING, "exit code 1", BLOCKED,
    ),
    (
        "the media server runs the cameras of yesterday",
        lambda v: seen(v, media=media(generation=2)),
        c.MEDIA_READY, c.REASON_PROGRESSING, "not taken the new cameras", WAITING,
    ),
    (
        "the media server does not answer",
        lambda v: seen(v, media=None),
        c.MEDIA_READY, c.REASON_UNKNOWN, "not answered", WAITING,
    ),
    (
        "the media server is not ready",
        lambda v: seen(v, media=media(ready=False, message="go2rtc is starting")),
        c.MEDIA_READY, c.REASON_PROGRESSING, "go2rtc is starting", WAITING,
    ),
    (
        "go2rtc runs one stream of two",
        lambda v: seen(v, media=media(streams=media().streams[:1])),
        c.MEDIA_READY, c.REASON_PROGRESSING, "go2rtc does not run the streams of dock yet", WAITING,
    ),
    (
        "go2rtc does not have a stream that it was given",
        lambda v: seen(v, media=media(streams=(media().streams[0], StreamState(names.stream("dock"), "Pending")))),
        c.MEDIA_READY, c.REASON_PROGRESSING, "go2rtc does not run the streams of dock yet", WAITING,
    ),
    (
        "no inference pod answers",
        lambda v: seen(v, states={}),
        c.MODEL_READY, c.REASON_UNKNOWN, "no inference pod has answered", WAITING,
    ),
    (
        "a model is loading",
        lambda v: accepted_state(v, models=(ModelState("people", "Loading"),)),
        c.MODEL_READY, c.REASON_MODEL_LOADING, "people is loading", WAITING,
    ),
    (
        "a model is unknown to the pod",
        lambda v: accepted_state(v, models=()),
        c.MODEL_READY, c.REASON_MODEL_LOADING, "people is loading", WAITING,
    ),
    (
        "Triton refuses a model",
        lambda v: accepted_state(v, models=(ModelState("people", "Failed", "unexpected platform"),)),
        c.MODEL_READY, c.REASON_MODEL_LOAD_FAILED, "unexpected platform", BLOCKED,
    ),
    (
        "a model's file is missing",
        lambda v: accepted_state(v, models=(failed("model people: no people.plan", c.REASON_MODEL_FILE_MISSING),)),
        c.MODEL_READY, c.REASON_MODEL_FILE_MISSING, "model people: no people.plan", BLOCKED,
    ),
    (
        "a model's file is too large",
        lambda v: accepted_state(v, models=(failed("600 MB", c.REASON_MODEL_TOO_LARGE),)),
        c.MODEL_READY, c.REASON_MODEL_TOO_LARGE, "spec.triton.modelSizeLimit of AcceleratorProfile cpu", BLOCKED,
    ),
    (
        "Triton may not open the device",
        lambda v: accepted_state(v, models=(failed("Permission denied: '/dev/denglin0'"),)),
        c.MODEL_READY, c.REASON_DEVICE_NOT_ACCESSIBLE, "supplementalGroups of AcceleratorProfile cpu", BLOCKED,
    ),
    (
        "Triton has too little shared memory",
        lambda v: accepted_state(v, models=(failed("use '--shm-size' flag. Error: No space left on device"),)),
        c.MODEL_READY, c.REASON_SHARED_MEMORY_TOO_SMALL, "spec.triton.sharedMemory of AcceleratorProfile cpu", BLOCKED,
    ),
    (
        "Triton runs another number of instances than was published",
        lambda v: accepted_state(v, models=(ModelState("people", "Ready", serving_id=v.accepted.id, instances=2),)),
        c.MODEL_READY, c.REASON_SERVING_CONFIG_DIFFERS, "runs in 2 instances and not yet in 1", WAITING,
    ),
    (
        "a pod serves the configuration of yesterday",
        lambda v: said(v, state("old")),
        c.MODEL_READY, c.REASON_SERVING_CONFIG_DIFFERS, "people", WAITING,
    ),
    (
        "of two replicas the one that has a camera is not there yet",
        lambda v: said(v, state(v.accepted.id, camera("gate")), state("", camera("dock", detecting=False), models=())),
        c.MODEL_READY, c.REASON_MODEL_LOADING, "people is loading", WAITING,
    ),
    (
        "a camera is dark",
        lambda v: with_camera(v, state="Stalled", message="no frame for 5 s", detecting=False),
        c.STREAMS_READY, c.REASON_CAMERAS_FAILING, "1 of 2 cameras without detections: dock: no frame for 5 s", BLOCKED,
    ),
    (
        "a camera is being reconnected",
        lambda v: with_camera(v, state="Failing", message="the stream ended", detecting=False, since=JUST_NOW),
        c.STREAMS_READY, c.REASON_STREAMS_CONNECTING, "dock: the stream ended", WAITING,
    ),
    (
        "a camera refuses the password",
        lambda v: with_camera(v, state="Unauthorized", message="401", detecting=False, since=JUST_NOW),
        c.STREAMS_READY, c.REASON_CAMERA_UNAUTHORIZED, "dock: 401", BLOCKED,
    ),
    (
        "a camera is live and nothing is inferred",
        lambda v: with_camera(v, detecting=False),
        c.STREAMS_READY, c.REASON_STREAMS_CONNECTING, "dock: live, no frame inferred yet", WAITING,
    ),
    (
        "no replica has a camera",
        lambda v: said(v, state(v.accepted.id, camera("gate"))),
        c.STREAMS_READY, c.REASON_STREAMS_CONNECTING, "dock: no inference pod has taken", WAITING,
    ),
    (
        "a Secret is missing",
        lambda v: seen(
            with_camera(v, state="Connecting", detecting=False),
            media=media(streams=(StreamState(names.stream("dock"), "MissingSecret", "Secret dock does not exist"),)),
        ),
        c.STREAMS_READY, c.REASON_SECRET_MISSING, "Secret dock does not exist", BLOCKED,
    ),
    (
        "the Secret of a sub-stream is missing",
        lambda v: seen(
            with_camera(v, state="Connecting", detecting=False),
            media=media(streams=(StreamState(names.stream("dock/sub"), "MissingSecret", "Secret sub"),)),
        ),
        c.STREAMS_READY, c.REASON_SECRET_MISSING, "Secret sub", BLOCKED,
    ),
    (
        "the pod works with the cameras of yesterday",
        lambda v: accepted_state(v, generation=2),
        c.STREAMS_READY, c.REASON_PROGRESSING, "taking the new configuration", WAITING,
    ),
]  # fmt: skip


def test_when_nothing_is_wrong_every_condition_holds_and_nothing_is_under_way() -> None:
    found = judged(healthy())
    absent = {c.RECONCILING, c.STALLED, c.DEGRADED, c.TUNING_ACTIVE}
    assert {name: entry.status for name, entry in found.items()} == {
        name: "False" if name in absent else "True" for name in found
    }
    assert found[c.READY] == c.Condition(c.READY, "True", c.REASON_DETECTING, "2 cameras are live and detecting")


@pytest.mark.parametrize(
    ("break_it", "condition", "reason", "words", "kind"),
    [case[1:] for case in GATING],
    ids=[case[0] for case in GATING],
)
def test_one_thing_wrong(break_it: Break, condition: str, reason: str, words: str, kind: str) -> None:
    found = judged(break_it(healthy()))
    assert found[condition].status != "True"
    assert found[condition].reason == reason
    assert words in found[condition].message
    assert (found[c.READY].status, found[c.READY].reason) == ("False", reason)
    assert found[c.READY].message == found[condition].message
    assert found[c.RECONCILING].is_true is (kind == WAITING)
    assert found[c.STALLED].is_true is (kind == BLOCKED)


INFORMING: list[tuple[str, Break, str, str, str]] = [
    (
        "the autoscaler has no metric",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io")),
        c.SCALING_READY, c.REASON_METRICS_UNAVAILABLE, "no metrics.k8s.io",
    ),
    (
        "the autoscaler has no metric of late",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", JUST_NOW)),
        c.SCALING_READY, c.REASON_PROGRESSING, "first figures",
    ),
    (
        "the autoscaler has no metric for long, and a replica is new",
        lambda v: seen(
            with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", LONG_AGO)),
            pods=(pod("triton", ready_since=JUST_NOW), pod("media")),
        ),
        c.SCALING_READY, c.REASON_PROGRESSING, "first figures",
    ),
    (
        "the autoscaler has had no metric for long",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", LONG_AGO)),
        c.SCALING_READY, c.REASON_METRICS_UNAVAILABLE, "install or mend metrics-server",
    ),
    (
        "no adapter serves what the autoscaler asks for",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetExternalMetric", "no such API", LONG_AGO)),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "no such API; install or mend an adapter",
    ),
    (
        "no adapter serves what the autoscaler asks for of each pod",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetPodsMetric", "no such API", LONG_AGO)),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "no such API; install or mend an adapter",
    ),
    (
        "the CPU suffices for the autoscaler, and another figure is missing",
        lambda v: unread(measured(v), DEMAND),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "does not get edgedetector_demand_ratio; install",
    ),
    (
        "the autoscaler has not got a figure any more, for several looks",
        lambda v: missed(unread(measured(v), DEMAND), 61),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "does not get edgedetector_demand_ratio; install",
    ),
    (
        "the autoscaler has had no metric any more, for several looks",
        lambda v: missed(
            with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", LONG_AGO)), 61),
        c.SCALING_READY, c.REASON_METRICS_UNAVAILABLE, "install or mend metrics-server",
    ),
    (
        "the CPU suffices for the autoscaler, which has begun just now",
        lambda v: unread(v, WAIT, since=JUST_NOW),
        c.SCALING_READY, c.REASON_PROGRESSING, "first figures",
    ),
    (
        "the CPU suffices for the autoscaler, and a replica is new",
        lambda v: seen(unread(v, WAIT), pods=(pod("triton", ready_since=JUST_NOW), pod("media"))),
        c.SCALING_READY, c.REASON_PROGRESSING, "first figures",
    ),
    (
        "the capacity is known since a moment ago",
        lambda v: unread(measured(v, at=JUST_NOW), DEMAND),
        c.SCALING_READY, c.REASON_PROGRESSING, "first figures",
    ),
    (
        "another capacity is known since a moment ago",
        lambda v: unread(measured(v, at=JUST_NOW, first=20.0), DEMAND),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "does not get edgedetector_demand_ratio; install",
    ),
    (
        "the capacity is not known yet",
        lambda v: unread(v, DEMAND),
        c.SCALING_READY, c.REASON_PROGRESSING, "capacity of a replica",
    ),
    (
        "the capacity is of a release that did not say of how many replicas",
        lambda v: unread(measured(v, pods=0), DEMAND),
        c.SCALING_READY, c.REASON_PROGRESSING, "capacity of a replica",
    ),
    (
        "the capacity is not known yet, and an adapter is missing, too",
        lambda v: unread(v, DEMAND, WAIT),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, "does not get edgedetector_queue_time_seconds; install",
    ),
    (
        "a replica would be taken away but for a capacity that is not known yet",
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(
            NO, "FailedGetExternalMetric", f"unable to get external metric site-a/{DEMAND}", LONG_AGO)),
        c.SCALING_READY, c.REASON_PROGRESSING, "capacity of a replica",
    ),
    (
        "a replica would be taken away but for a demand that nobody serves",
        lambda v: with_scaler(measured(v), ScalingActive=ScalerCondition(
            NO, "FailedGetExternalMetric", f"unable to get external metric site-a/{DEMAND}", LONG_AGO)),
        c.SCALING_READY, c.REASON_CUSTOM_METRICS_UNAVAILABLE, f"{DEMAND}; install",
    ),
    (
        "the autoscaler has neither CPU nor a demand, whose capacity is not known yet",
        lambda v: seen(v, scaler=Scaler(
            {"ScalingActive": ScalerCondition(NO, "FailedGetContainerResourceMetric", "no cpu", LONG_AGO)},
            unread=(DEMAND,))),
        c.SCALING_READY, c.REASON_METRICS_UNAVAILABLE, "no cpu; install or mend metrics-server",
    ),
    (
        "a figure is wanted that no exporter tells",
        lambda v: following(with_scaler(v, ScalingActive=ScalerCondition("True", "ValidMetricFound", "")),
                            "AcceleratorUtilization"),
        c.SCALING_READY, c.REASON_FIGURE_UNKNOWN, "AcceleratorProfile cpu tells the figure AcceleratorUtilization",
    ),
    (
        "the autoscaler cannot read the Deployment",
        lambda v: with_scaler(v, AbleToScale=ScalerCondition(NO, "FailedGetScale", "no such thing")),
        c.SCALING_READY, c.REASON_SCALING_FAILED, "no such thing",
    ),
    (
        "the autoscaler was told to go no further",
        lambda v: with_scaler(v, 1),
        c.SCALING_READY, c.REASON_REPLICAS_CAPPED, "held at 1 of 2 replicas",
    ),
    (
        "the autoscaler has not looked yet",
        with_scaler,
        c.SCALING_READY, c.REASON_UNKNOWN, "not looked",
    ),
    (
        "there is no autoscaler yet",
        lambda v: seen(v, scaler=None),
        c.SCALING_READY, c.REASON_PROGRESSING, "created",
    ),
    (
        "a second replica finds no accelerator",
        lambda v: seen(
            with_workload(v, "triton", desired=2, updated=2, total=2),
            pods=(*v.snapshot.pods, pod("triton", "yard-triton-2", ready=False, unschedulable_since=LONG_AGO,
                                        problem=Problem(c.REASON_UNSCHEDULABLE, "Insufficient denglin.com/gpu"))),
        ),
        c.SCALING_READY, c.REASON_REPLICAS_CAPPED, "Insufficient denglin.com/gpu",
    ),
    (
        "the Prometheus Operator is not installed",
        lambda v: seen(v, served=frozenset()),
        c.MONITORING_READY, c.REASON_MONITORING_NOT_INSTALLED, "install the Prometheus Operator",
    ),
    (
        "the tmpfs is full",
        lambda v: accepted_state(v, transport="no room for 40 MB in /dev/shm"),
        c.SHARED_MEMORY_READY, c.REASON_SHARED_MEMORY_UNAVAILABLE,
        "no room for 40 MB in /dev/shm; raise spec.triton.sharedMemory of AcceleratorProfile cpu",
    ),
    (
        "what is planned does not fit into shared memory",
        lambda v: with_shared_memory(v, "4Ki"),
        c.SHARED_MEMORY_READY, c.REASON_SHARED_MEMORY_TOO_SMALL,
        "need 1Mi of shared memory, and 4Ki are there; raise spec.triton.sharedMemory of AcceleratorProfile cpu",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("break_it", "condition", "reason", "words"), [case[1:] for case in INFORMING], ids=[case[0] for case in INFORMING]
)
def test_what_detections_do_not_need_is_said_and_holds_nothing_up(
    break_it: Break, condition: str, reason: str, words: str
) -> None:
    found = judged(break_it(healthy()))
    assert found[condition].status != "True"
    assert found[condition].reason == reason
    assert words in found[condition].message
    assert found[c.READY].is_true


def test_every_verdict_that_somebody_has_to_act_upon_says_what_helps() -> None:
    for break_it, condition, reason, _, kind in (case[1:] for case in GATING):
        message = judged(break_it(healthy()))[condition].message
        remedy = remedies.REMEDIES.get(reason, "").split("$")[0]
        assert bool(remedy) is (kind == BLOCKED) or reason == c.REASON_UNSCHEDULABLE
        assert kind != BLOCKED or remedy in message


def test_what_the_autoscaler_goes_by_is_told() -> None:
    view = with_scaler(healthy(), ScalingActive=ScalerCondition("True", "ValidMetricFound", ""))
    found = judged(following(view, "Demand"))[c.SCALING_READY]
    assert found.is_true
    assert found.message == "the autoscaler reads the CPU use of the replicas, Demand"


@pytest.mark.parametrize(
    "broken",
    [
        lambda v: unread(measured(v), DEMAND),
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", JUST_NOW)),
    ],
    ids=["one of several figures", "the only one"],
)
def test_a_look_of_the_autoscaler_that_got_nothing_is_no_missing_figure(broken: Break) -> None:
    view = missed(broken(healthy()), 15)
    assert judged(view)[c.SCALING_READY].is_true
    assert scaling.due(view) == ("2026-11-22T11:59:45+00:00", scaling.MISSED_LOOKS)


def test_while_no_replica_runs_the_autoscaler_is_not_blamed() -> None:
    view = held(healthy(), "triton", c.REASON_IMAGE_PULL_FAILED, "x")
    view = with_scaler(view, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no pods", LONG_AGO))
    assert judged(view)[c.SCALING_READY].reason == c.REASON_PROGRESSING


def test_a_second_replica_whose_device_somebody_else_has_takes_nothing_from_readiness() -> None:
    problem = Problem(c.REASON_UNSCHEDULABLE, "0/1 nodes", GPU)
    waiting = pod("triton", "yard-triton-2", ready=False, unschedulable_since=LONG_AGO, problem=problem)
    view = with_workload(on_accelerator(healthy()), "triton", desired=2, updated=2, total=2)
    view = seen(view, pods=(*view.snapshot.pods, waiting), holders={GPU[0]: ("site/dock",)})
    assert judged(view)[c.READY].is_true


def test_a_remedy_is_no_template_for_words_of_others() -> None:
    told = remedies.told(c.REASON_SHARED_MEMORY_TOO_SMALL, "cost: $profile ${x} $", profile="cpu$profile")
    assert told == "cost: $profile ${x} $; raise spec.triton.sharedMemory of AcceleratorProfile cpu$profile"


def test_what_needs_somebody_explains_more_than_what_merely_waits_for_it() -> None:
    view = seen(healthy(), media=None)
    view = said(view, state(view.accepted.id, models=(ModelState("people", "Failed", "no file"),)))
    assert judged(view)[c.READY].reason == c.REASON_MODEL_LOAD_FAILED


def test_a_suspended_detector_is_neither_ready_nor_on_its_way_nor_stuck() -> None:
    found = judged(seen(healthy(suspend=True), workloads={}, pods=(), states={}, media=None))
    assert found[c.READY].reason == c.REASON_SUSPENDED
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["False"] * 3


def test_without_cameras_a_detector_is_ready_and_says_so() -> None:
    found = judged(healthy(cameras=[]))
    assert found[c.READY].is_true
    assert found[c.STREAMS_READY].reason == c.REASON_NO_CAMERAS


def test_a_replica_that_has_the_picture_knows_better_than_one_that_lost_the_camera() -> None:
    view = healthy()
    lost = camera("dock", state="Failing", detecting=False)
    found = said(view, state(view.accepted.id, lost), state(view.accepted.id))
    assert judged(found)[c.READY].is_true
    assert {entry.name: entry.replica for entry in found.cameras} == {
        "gate": "yard-triton-2",
        "dock": "yard-triton-2",
    }


def test_a_replica_more_on_its_way_does_not_take_readiness_away() -> None:
    view = with_workload(healthy(), "triton", desired=2, updated=2, total=2)
    starting = DetectorState(0, "")
    assert judged(said(view, state(view.accepted.id), starting))[c.READY].is_true


def test_a_replica_more_that_cannot_load_a_model_does() -> None:
    view = healthy()
    broken = state("", camera("gate", state="Connecting", detecting=False), models=(ModelState("people", "Failed"),))
    assert judged(said(view, state(view.accepted.id), broken))[c.READY].reason == c.REASON_MODEL_LOAD_FAILED


@pytest.mark.parametrize("found", ["Ready", "Failed"])
def test_while_tuning_changes_it_a_model_may_serve_what_it_did_before_or_what_is_on_trial(found: str) -> None:
    """Also where what is tried does not load: all the while Triton serves what it did."""
    view = healthy()
    models = (ModelState("people", found, serving_id="trial"),)
    changing = said(view, state("another", models=models, probe_id="p1", probe_outcome="Running"))
    assert judged(dataclasses.replace(changing, passing=frozenset({"trial"})))[c.MODEL_READY].is_true
    assert not judged(changing)[c.MODEL_READY].is_true


def gives_way(sentence: str, *, state: str = "Live") -> dict[str, c.Condition]:
    base = healthy()
    cameras = tuple(
        dataclasses.replace(camera, degraded=sentence, state=state, detecting=state == "Live")
        for camera in base.cameras
    )
    return judged(dataclasses.replace(base, cameras=cameras))


def test_what_cameras_give_up_is_told_in_a_sentence_and_holds_up_nothing() -> None:
    found = gives_way("at most 3 frames/s because the host CPU was 96 % busy")
    assert found[c.DEGRADED].is_true
    assert found[c.DEGRADED].message.endswith(": at most 3 frames/s because the host CPU was 96 % busy")
    assert found[c.READY].is_true


def test_a_camera_that_the_ladder_suspended_is_no_fault_of_anybody_but_all_of_them_are_no_service() -> None:
    why = "suspended because 40 % of the frames were skipped"
    every = gives_way(why, state="Suspended")
    assert (every[c.READY].status, every[c.READY].reason) == ("False", c.REASON_GIVING_WAY)
    assert not every[c.STALLED].is_true
    base = healthy()
    assert len(base.cameras) == 2
    one = dataclasses.replace(base.cameras[0], degraded=why, state="Suspended", detecting=False)
    found = judged(dataclasses.replace(base, cameras=(one, *base.cameras[1:])))
    assert found[c.READY].is_true
    assert found[c.READY].message == "1 camera is live and detecting; 1 camera is suspended under overload"


def test_each_step_of_the_ladder_is_an_event_and_its_end_too() -> None:
    one = gives_way("at most 3 frames/s because the host CPU was 96 % busy")
    two = gives_way("at most 1 frames/s because the host CPU was 96 % busy")
    none = judged(healthy())
    assert [kind for kind, _ in steps(none, none)] == []
    assert steps(none, one) == [(one[c.DEGRADED], True)]
    assert steps(one, one) == []
    assert steps(one, two) == [(two[c.DEGRADED], True)]
    assert steps(two, none) == [(none[c.DEGRADED], False)]


def steps(before: dict[str, c.Condition], now: dict[str, c.Condition]) -> list[tuple[c.Condition, bool]]:
    standing = compose.timed(before.values(), (), 1, "2026-01-01T00:00:00Z")
    return [(condition, warning) for condition, warning in compose.told(now.values(), standing)]


def test_what_nobody_says_is_not_taken_for_well() -> None:
    former = accepted_state(healthy(), transport=None)
    assert judged(former)[c.SHARED_MEMORY_READY].status == "Unknown"
    silent = judged(dataclasses.replace(healthy(), snapshot=dataclasses.replace(healthy().snapshot, states={})))
    assert silent[c.SHARED_MEMORY_READY].status == silent[c.DEGRADED].status == "Unknown"
    told = steps(gives_way("at most 3 frames/s because x"), silent)
    assert [condition.type for condition, _ in told if condition.type == c.DEGRADED] == []


def test_memory_that_is_just_enough_is_enough() -> None:
    assert judged(with_shared_memory(healthy(), "8Ki"))[c.SHARED_MEMORY_READY].is_true


def test_a_suspended_detector_needs_no_shared_memory() -> None:
    found = judged(with_shared_memory(healthy(suspend=True), "1Ki"))
    assert found[c.SHARED_MEMORY_READY].reason == c.REASON_SUSPENDED


def test_frames_that_go_in_messages_are_worth_an_event_once() -> None:
    before = [{"type": x.type, "status": x.status, "reason": x.reason} for x in compose.judge(healthy())]
    now = compose.judge(accepted_state(healthy(), transport="no room"))
    told = [(condition.type, warning) for condition, warning in compose.told(now, before)]
    assert told == [(c.SHARED_MEMORY_READY, True)]
    after = [{"type": x.type, "status": x.status, "reason": x.reason} for x in now]
    assert compose.told(now, after) == ()


def test_what_is_wrong_with_post_processing_is_said_of_its_field() -> None:
    spec = resource()["spec"]["models"][0]
    post = {"source": {"configMap": {"name": "p"}}, "outputs": [{"name": "y", "dims": [4], "dataType": "FP32"}]}
    view = healthy(models=[{**spec, "postProcessing": post}])

    def message(what: ModelState) -> str:
        good = (ModelState(name, "Ready", serving_id=view.accepted.id) for name in ("people", "people+pipeline"))
        return judged(said(view, state(view.accepted.id, models=(*good, what))))[c.MODEL_READY].message

    failed = message(ModelState("people+postprocessing", "Failed", "load people+postprocessing: unexpected platform x"))
    assert "model people+postprocessing: spec.models[people].postProcessing.backend: unexpected platform" in failed
    ready = message(ModelState("people+postprocessing", "Ready", serving_id=view.accepted.id, instances=1))
    assert ready == "people, people+postprocessing loaded"
