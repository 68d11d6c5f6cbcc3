"""What detections do not need, one thing at a time, and which condition says so."""

from __future__ import annotations

from tests.unit.status.breaks import (
    DEMAND,
    NO,
    WAIT,
    Break,
    accepted_state,
    following,
    measured,
    missed,
    unread,
    with_scaler,
    with_shared_memory,
    with_workload,
)
from tests.unit.status.views import (
    JUST_NOW,
    LONG_AGO,
    pod,
    seen,
)

from edgedetector.api import conditions as c
from edgedetector.observe.snapshot import Problem, Scaler, ScalerCondition

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
