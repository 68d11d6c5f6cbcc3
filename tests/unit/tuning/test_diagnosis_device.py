"""What is said of a link, a device, its batches and its engine."""

from dataclasses import replace

import pytest
from tests.unit.tuning.boxes import SITUATION, visit, window

from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.findings import Bottleneck, Confidence
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.situation import Goal
from edgedetector.tuning.window import BatchTime, Knobs


@pytest.mark.parametrize(("lanes", "said"), [(1.0, "its link has 1 lane,"), (2.0, "its link has 2 lanes,")])
def test_a_narrow_link_that_the_exporter_tells_is_said_with_its_lanes(lanes, said):
    found = diagnose([window(pcie_width=lanes)], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.LINK
    assert said in f"{found.bottleneck.evidence},"


def test_a_device_that_computes_all_the_time_does_not_suffer_from_its_narrow_link():
    found = diagnose([window(utilization=0.95, pcie_width=1.0)], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE


def test_copies_that_take_longer_than_inference_are_the_link_s():
    seen = window(batches={8: BatchTime(300, 0.1, share_of_copies=0.7)})

    found = diagnose([seen], SITUATION, Known(models={"people": KnownModel("FP32", raw=True)}))

    assert found.bottleneck.bottleneck is Bottleneck.LINK
    assert "copying in and out takes 70 %" in found.bottleneck.evidence
    assert "FP16 or UINT8 inputs" in found.bottleneck.remedy


@pytest.mark.parametrize(("data_type", "remedy"), [("FP32", "FP16 or INT8"), ("FP16", "for INT8"), ("INT8", "smaller")])
def test_the_remedy_for_a_full_device_fits_its_engine(data_type, remedy):
    facts = Known(models={"people": KnownModel(data_type)})

    found = diagnose([window(utilization=0.95)], SITUATION, facts)

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE
    assert remedy in found.bottleneck.remedy
    assert ("INT8" in found.bottleneck.remedy) == (data_type != "INT8")


def test_batches_that_end_at_a_cap_are_the_tuner_s_to_raise():
    visits = [visit(Knobs(2, 8), rate=100.0, batches={8: BatchTime(100, 0.03)})]
    capped = window(knobs=Knobs(2, 2), batches={2: BatchTime(300, 0.02), 1: BatchTime(20, 0.018)}, utilization=0.9)

    found = diagnose([capped], SITUATION, visits=visits)

    assert found.bottleneck.bottleneck is Bottleneck.SCHEDULING
    assert "batches end at 2 images, the engine takes 32, and 4 frames wait in Triton" in found.bottleneck.evidence
    assert found.bottleneck.confidence is Confidence.LIKELY


def test_batches_that_are_no_cheaper_are_not_promised_anything():
    flat = {1: BatchTime(300, 0.02), 2: BatchTime(300, 0.04), 4: BatchTime(100, 0.08)}
    capped = window(knobs=Knobs(2, 2), batches={2: BatchTime(300, 0.04), 1: BatchTime(20, 0.02)}, utilization=0.95)

    found = diagnose([capped], SITUATION, visits=[visit(Knobs(2, 4), rate=70.0, batches=flat)])

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE


def test_preferred_sizes_cap_batches_only_without_a_delay():
    batches = {2: BatchTime(300, 0.02)}

    def findings(delay):
        knobs = Knobs(2, 32, (2,), delay)
        found = diagnose([window(knobs=knobs, batches=batches, utilization=0.9)], SITUATION)
        return [finding for finding in found.findings if "batches end at" in finding.evidence]

    assert findings(0)
    assert not findings(100)


def test_a_slow_execution_is_the_evidence_where_it_is_the_execution_that_is_slow():
    slow = window(
        utilization=None, busy=0.2, rate=5.0, demand=5.0, offered=5.0, skipped=0.0, queue=0.0, latency=0.1,
        median=0.08, request=0.07, exchange=0.071, batches={1: BatchTime(150, 0.07)},
    )  # fmt: skip

    found = diagnose([slow], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE
    assert "an execution takes 70 ms of a frame's 80 ms" in found.bottleneck.evidence


@pytest.mark.parametrize(("goal", "curable"), [(Goal.THROUGHPUT, False), (Goal.EFFICIENCY, True)])
def test_capacity_that_idles_is_shown_and_given_back_where_that_is_the_goal(goal, curable):
    easy = window(utilization=0.1, host=0.1, busy=0.12, queue=0.0, rate=100.0, skipped=0.0, latency=0.03, request=0.02)

    found = diagnose([easy], replace(SITUATION, goal=goal))

    assert found.bottleneck.bottleneck is Bottleneck.IDLE
    assert found.bottleneck.share == pytest.approx(0.88)
    assert found.bottleneck.curable is curable
