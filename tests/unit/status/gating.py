"""What keeps a detector from being ready, one thing at a time, and which condition says so."""

from __future__ import annotations

from tests.unit.status.breaks import (
    BLOCKED,
    GPU,
    WAITING,
    Break,
    accepted_state,
    failed,
    held,
    leaving_pod,
    on_accelerator,
    with_camera,
    with_workload,
)
from tests.unit.status.views import (
    JUST_NOW,
    LONG_AGO,
    camera,
    media,
    said,
    seen,
    state,
)

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.dataplane import ModelState
from edgedetector.go2rtc.state import StreamState

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
