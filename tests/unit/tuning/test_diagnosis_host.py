"""What is said of processors, streams and frames that do not come."""

from dataclasses import replace

import pytest
from tests.unit.tuning.boxes import SITUATION, window

from edgedetector.tuning import remedies
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.findings import Bottleneck, Confidence
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.window import BatchTime


@pytest.mark.parametrize(
    ("stages", "bottleneck", "remedy"),
    [
        ({"boxes": 2.5, "decode": 0.8, "request": 0.2}, Bottleneck.POST_PROCESSING, "NMS"),
        ({"decode": 2.6, "read": 0.4, "boxes": 0.2}, Bottleneck.STREAMING, "sub-stream"),
        ({"decode": 1.0, "prepare": 1.0, "boxes": 0.6, "request": 0.6}, Bottleneck.HOST_CPU, "processors"),
    ],
)
def test_what_takes_the_processors_decides_the_class(stages, bottleneck, remedy):
    full = window(
        host=0.95, processors=4.0, stages=stages, busy=0.4, queue=0.0, request=0.03, exchange=0.2, skipped=0.0,
        rate=100.0,
    )  # fmt: skip

    found = diagnose([full], SITUATION, Known(models={"people": KnownModel("FP16", raw=True)}))

    assert found.bottleneck.bottleneck is bottleneck
    assert remedy in found.bottleneck.remedy


def test_a_node_that_others_fill_is_said_to_be_filled_by_others():
    full = window(host=0.95, processors=8.0, stages={"decode": 0.3, "boxes": 0.1}, busy=0.4, rate=100.0, skipped=0.0)

    found = diagnose([full], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.HOST_CPU
    assert "Triton or other processes have the rest" in found.bottleneck.evidence


@pytest.mark.parametrize(("cores", "said"), [(0.01, "the detector has next to nothing of that"), (0.4, "has 5 % of")])
def test_a_detector_that_hardly_works_is_not_said_to_have_0_percent(cores, said):
    full = window(host=0.95, processors=8.0, stages={"decode": cores}, busy=0.4, rate=100.0, skipped=0.0)

    assert said in diagnose([full], SITUATION).bottleneck.evidence


def test_frames_that_never_come_are_a_matter_of_streaming_unless_nothing_moved():
    quiet = window(
        offered=40.0, rate=40.0, skipped=0.0, busy=0.2, queue=0.0, request=0.03, exchange=0.031, latency=0.04
    )

    assert diagnose([quiet], SITUATION).bottleneck.bottleneck is Bottleneck.STREAMING
    assert diagnose([quiet], SITUATION, Known(motion_gated=True)).bottleneck.bottleneck is Bottleneck.IDLE


def test_what_the_ladder_keeps_down_is_judged_at_the_demand():
    calm = window(
        utilization=0.75, busy=0.7, rate=50.0, offered=50.0, skipped=0.0, queue=0.001, latency=0.045, median=0.02,
        request=0.02, exchange=0.021, degraded=4,
    )  # fmt: skip

    found = diagnose([calm], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE


def test_a_node_that_would_be_full_at_the_demand_is_said_to_be_so_at_the_present_frames():
    calm = window(
        host=0.25, processors=8.0, utilization=0.1, busy=0.15, rate=25.0, offered=25.0, skipped=0.0, queue=0.0,
        latency=0.03, median=0.02, request=0.02, exchange=0.021, batches={1: BatchTime(750, 0.02)}, degraded=4,
    )  # fmt: skip

    found = diagnose([calm], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.HOST_CPU
    assert "with 25 of the 100 frames a second that are wanted" in found.bottleneck.evidence
    assert found.bottleneck.confidence is Confidence.LIKELY
    assert found.bottleneck.share > 0


def test_decoding_that_goes_on_anyway_is_not_drawn_out_to_the_demand():
    decoding = window(
        host=0.4, processors=4.0, stages={"decode": 1.5, "boxes": 0.1}, utilization=0.1, busy=0.15, rate=25.0,
        offered=25.0, skipped=0.0, queue=0.0, latency=0.03, median=0.02, request=0.02, exchange=0.021,
        batches={1: BatchTime(750, 0.02)}, degraded=4,
    )  # fmt: skip

    found = diagnose([decoding], SITUATION)

    assert found.limit != "cpu"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Known(idle_substreams=1), "the camera that has one unused"),
        (Known(idle_substreams=3), "the 3 cameras that have one unused"),
        (Known(hardware_decoding=False), "let the accelerator decode"),
    ],
)
def test_the_remedy_for_streams_fits_the_cameras_and_the_profile(facts, said):
    assert said in remedies.streaming(facts)
    assert "accelerator" not in remedies.streaming(replace(facts, hardware_decoding=None))
