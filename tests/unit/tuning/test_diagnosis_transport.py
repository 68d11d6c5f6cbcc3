"""What is said of the way to Triton, and of steps behind the model."""

from dataclasses import replace

import pytest
from tests.unit.tuning.boxes import SITUATION, window

from edgedetector.api import names
from edgedetector.tuning import remedies
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.findings import Bottleneck
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.window import BatchTime, Knobs, StepWindow


def test_messages_instead_of_shared_memory_are_named_with_both_times():
    slow = window(
        transport="Grpc", busy=0.3, queue=0.0, request=0.025, exchange=0.052, median=0.055, latency=0.07, skipped=0.0,
        rate=100.0, batches={1: BatchTime(3000, 0.024)},
    )  # fmt: skip

    found = diagnose([slow], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.TRANSPORT
    assert "52 ms in the detector and 25 ms of it in Triton; tensors travel by gRPC" in found.bottleneck.evidence
    assert "shared memory" in found.bottleneck.remedy


def test_with_shared_memory_the_way_to_triton_is_never_blamed():
    odd = window(busy=0.3, queue=0.0, request=0.025, exchange=0.2, median=0.3, batches={1: BatchTime(3000, 0.024)})

    found = diagnose([odd], SITUATION)

    assert Bottleneck.TRANSPORT not in [finding.bottleneck for finding in found.findings]


def test_a_post_processing_step_is_no_transport():
    seen = window(
        transport="Grpc", busy=0.4, queue=0.0, request=0.025, exchange=0.128, median=0.13,
        batches={1: BatchTime(900, 0.024)},
    )  # fmt: skip
    served = names.post_processing("people")
    both = replace(seen, steps={served: StepWindow(1.98, request=0.1)})

    found = diagnose([both], SITUATION, Known(models={served: KnownModel(boxes_of="people", instances=2)}))

    assert [finding.bottleneck for finding in found.findings] == [Bottleneck.POST_PROCESSING]
    assert "executes 100 % of the time with 2 instances" in found.bottleneck.evidence
    assert found.bottleneck.remedy == remedies.OWN_STEPS
    assert not found.bottleneck.curable, "on the accelerator its instances are not tuned"


@pytest.mark.parametrize(
    ("most", "host", "curable", "remedy"),
    [
        (4, 0.3, True, remedies.MORE_STEPS),
        (2, 0.3, False, remedies.WIDER_STEPS),
        (4, 0.95, False, "a higher decoder.confidence leaves fewer boxes"),
    ],
)
def test_another_instance_of_the_post_processing_is_tried_where_bounds_and_processors_have_room(
    most, host, curable, remedy
):
    seen = window(
        knobs=Knobs(2, 8, post_processing=2), busy=0.4, queue=0.0, request=0.025, exchange=0.128, median=0.13,
        batches={1: BatchTime(900, 0.024)}, host=host,
    )  # fmt: skip
    both = replace(seen, steps={names.post_processing("people"): StepWindow(1.98, request=0.1)})
    situation = replace(SITUATION, limits=replace(SITUATION.limits, min_post_processing=1, max_post_processing=most))
    facts = Known(models={names.post_processing("people"): KnownModel(boxes_of="people", instances=1)})

    steps = [one for one in diagnose([both], situation, facts).findings if "step of people" in one.evidence]

    assert [(one.bottleneck, one.curable, one.remedy) for one in steps] == [
        (Bottleneck.POST_PROCESSING, curable, remedy)
    ]
    assert "with 2 instances" in steps[0].evidence, "those in force, not those specified"
