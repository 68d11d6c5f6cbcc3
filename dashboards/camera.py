"""Cameras of an EdgeDetector: what they send, and what is found in it."""

from __future__ import annotations

from typing import Final

from dashboards.model import (
    CAMERA,
    CAMERA_VARIABLE,
    DETECTOR_VARIABLE,
    NAMESPACE_VARIABLE,
    Board,
    Panel,
    Query,
    Row,
    quantile,
    rate,
)

NAME: Final = "{{camera}}"
AGE: Final = "edgedetector_camera_frame_age_seconds"

DETECTION: Final = (
    Panel(
        "State",
        "Where each camera stands.",
        (Query(f"max by (camera, state) (edgedetector_camera_state{{{CAMERA}}}) == 1", "{{camera}} {{state}}"),),
        kind="states",
        width=24,
    ),
    Panel(
        "Frames inferred",
        "Frames a second with a result.",
        (Query(rate("edgedetector_camera_frames_total", f'{CAMERA},result="inferred"', "camera"), NAME),),
        unit="fps",
    ),
    Panel(
        "Target",
        "Frames a second that are asked for now; overload lowers it, activity raises it where that is allowed.",
        (Query(f"max by (camera) (edgedetector_camera_target_frame_rate{{{CAMERA}}})", NAME),),
        unit="fps",
    ),
    Panel(
        "Age of results, 50th percentile",
        "From a frame's decoding to its result.",
        (Query(quantile(0.5, AGE, CAMERA, "camera"), NAME),),
        unit="s",
        width=8,
    ),
    Panel(
        "Age of results, 95th percentile",
        "From a frame's decoding to its result.",
        (Query(quantile(0.95, AGE, CAMERA, "camera"), NAME),),
        unit="s",
        width=8,
    ),
    Panel(
        "Age of results, 99th percentile",
        "From a frame's decoding to its result.",
        (Query(quantile(0.99, AGE, CAMERA, "camera"), NAME),),
        unit="s",
        width=8,
    ),
    Panel(
        "Skipped and failed",
        "Frames a second that were read and have no result; most cameras send more than the target asks for.",
        (
            Query(
                rate("edgedetector_camera_frames_total", f'{CAMERA},result=~"skipped|failed"', "camera", "result"),
                "{{camera}} {{result}}",
            ),
        ),
        unit="fps",
    ),
    Panel(
        "Left out",
        "Frames a second without a result, by why: given up under overload (ladder), nothing moved (motion), a newer"
        " one came first (late).",
        (
            Query(
                rate("edgedetector_camera_frames_left_out_total", CAMERA, "camera", "reason"),
                "{{camera}} {{reason}}",
            ),
        ),
        unit="fps",
    ),
    Panel(
        "Objects",
        "Objects found a second, by label; nothing while nobody is to be seen.",
        (
            Query(
                rate("edgedetector_camera_detections_total", CAMERA, "camera", "label"),
                "{{camera}} {{label}}",
                sparse=True,
            ),
        ),
        unit="ops",
    ),
)

STREAM: Final = (
    Panel(
        "Received",
        "What the media server receives from the camera, whatever detection reads of it.",
        (Query(rate("go2rtc_producer_receive_bytes_total", CAMERA, "camera"), NAME),),
        unit="Bps",
        width=8,
    ),
    Panel(
        "Since the camera last sent",
        "Seconds since the media server last saw something come; it grows while a camera is silent.",
        (Query(f"max by (camera) (go2rtc_producer_receive_age_seconds{{{CAMERA}}})", NAME),),
        unit="s",
        width=8,
    ),
    Panel(
        "Attempts to open the stream",
        "In an hour. A steady stream is opened once.",
        (Query(f"sum by (camera) (increase(edgedetector_camera_opens_total{{{CAMERA}}}[1h]))", NAME),),
        width=8,
    ),
    Panel(
        "Decoder",
        "What decodes the stream.",
        (
            Query(
                f"max by (camera, codec, decoder) (edgedetector_camera_decoder_info{{{CAMERA}}})",
                "{{camera}} {{codec}} {{decoder}}",
            ),
        ),
        kind="states",
        width=12,
    ),
    Panel(
        "Steps down the ladder",
        "0: the camera gives up nothing.",
        (Query(f"max by (camera) (edgedetector_camera_degradation_rungs{{{CAMERA}}})", NAME),),
        width=12,
    ),
)

BOARD: Final = Board(
    "camera",
    "EdgeDetector / Camera",
    "Cameras of an EdgeDetector: what they send, and what is found in it.",
    (NAMESPACE_VARIABLE, DETECTOR_VARIABLE, CAMERA_VARIABLE),
    (Row("Detection", DETECTION), Row("Stream", STREAM)),
)
