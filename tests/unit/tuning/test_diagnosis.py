"""What limits a box: provoked cases in virtual time, the reference's ladder, and figures that are missing or absurd."""

import math
from collections import Counter
from dataclasses import fields, replace

import pytest
from bench.tuner.diagnosis.__main__ import LABELS, matrix, said
from bench.tuner.diagnosis.box import Box, Work, windows
from bench.tuner.diagnosis.cases import cases, mixed_cases
from emulator.device import CALIBRATION
from emulator.profile import load, override
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.api import names
from edgedetector.api.edgedetector import CameraSpec
from edgedetector.api.models import DecoderSpec, ModelSource, ModelSpec, PostProcessingSpec, TensorSpec
from edgedetector.tuning import remedies
from edgedetector.tuning.diagnosis import LONGEST, diagnose
from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.findings import Bottleneck, Confidence
from edgedetector.tuning.known import Known, KnownModel, known
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, StepWindow, Window

KS20 = load(CALIBRATION)["ks20"]
X1 = override(KS20, {"link.generation": 3, "link.lanes": 1})
PATCHED = override(KS20, {"scheduler.patched": True})
ELEMENTS = 3 * 640 * 640 + 84 * 8400
SITUATION = Situation(start={"people": Knobs()}, engines={"people": Engine(largest_batch=32, region=4.0 * ELEMENTS)})


def ks20(profile, knobs, *, demand=175.0, precision="fp32"):
    """What the windows of the emulated KS20 show under cameras, its host the emulated one."""
    light = Work(read=0.03, decode=0.15, prepare=0.15, request=0.1, boxes=0.1, track=0.05)
    box = Box(profile, knobs, demand, precision, processors=8, others=0.02, work=light, emulated_host=True)
    return windows(box, seed=1)


def window(*, knobs=None, **changes):
    """A full box that shows nothing else: each test changes what it is about."""
    of_model = {field.name for field in fields(ModelWindow)}
    people = ModelWindow(
        knobs=knobs or Knobs(2, 8), demand=100.0, offered=100.0, rate=70.0, skipped=0.3, busy=0.97, queue=0.06,
        batches={8: BatchTime(300, 0.22)}, request=0.28, exchange=0.281, latency=0.4, median=0.3, samples=700,
    )  # fmt: skip
    models = {"people": replace(people, **{name: value for name, value in changes.items() if name in of_model})}
    rest = {name: value for name, value in changes.items() if name not in of_model}
    return replace(
        Window("a", 0.0, 30.0, models, utilization=0.4, host=0.3, stages={"decode": 0.3}, transport="SharedMemory"),
        **rest,
    )


# --- provoked cases


@pytest.mark.soak
def test_at_least_95_of_100_provoked_bottlenecks_are_named(capsys):
    counts = Counter((label, said(case)) for label in LABELS for case in cases(label, 25))

    with capsys.disabled():
        print(f"\n{matrix(counts)}")
    assert sum(counts.values()) == 225
    assert sum(counts[label, label] for label in LABELS) >= 0.95 * 225
    assert all(counts[label, label] >= 0.8 * 25 for label in LABELS), "no class pays for the others"


@pytest.mark.parametrize("label", LABELS)
def test_each_class_is_named_in_its_first_cases(label):
    found = [said(case) for case in cases(label, 3)]

    assert found == [label] * 3


@pytest.mark.soak
def test_of_two_causes_the_larger_one_comes_first(capsys):
    found = list(mixed_cases(20))
    right = [case for case in found if said(case) is case.label]

    with capsys.disabled():
        print(f"\ntwo causes: the larger one first in {len(right)} of {len(found)}")
    assert len(right) >= 0.8 * len(found)


# --- the reference's ladder on the emulated KS20


@pytest.mark.parametrize("knobs", [Knobs(), Knobs(2), Knobs(4), Knobs(1, 4), Knobs(2, 4)])
def test_on_x1_the_link_is_the_limit_whatever_the_knobs(knobs):
    found = diagnose(ks20(X1, knobs), SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.LINK
    assert found.limit == "link"
    assert "as if its link carried 0." in found.bottleneck.evidence
    assert "x4" in found.bottleneck.remedy
    assert not found.bottleneck.curable


def test_that_instances_did_not_help_is_evidence_for_the_link():
    visits = [visit(Knobs(1), rate=40.0), visit(Knobs(2), rate=40.5)]

    found = diagnose(ks20(X1, Knobs(2)), SITUATION, visits=visits)

    assert found.bottleneck.bottleneck is Bottleneck.LINK
    assert found.bottleneck.confidence is Confidence.MEASURED
    assert "more instances served no more" in found.bottleneck.evidence
    assert Bottleneck.SCHEDULING not in [finding.bottleneck for finding in found.findings if finding.share > 0]


def test_one_instance_on_x4_is_a_matter_of_scheduling_and_the_tuner_s():
    found = diagnose(ks20(KS20, Knobs()), SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.SCHEDULING
    assert found.bottleneck.curable


@pytest.mark.parametrize(("profile", "knobs", "precision"), [(KS20, Knobs(2, 4), "fp32"), (PATCHED, Knobs(4), "fp16")])
def test_once_it_is_tuned_the_host_is_the_limit(profile, knobs, precision):
    found = diagnose(ks20(profile, knobs, demand=190.0, precision=precision), SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.HOST_CPU
    assert found.limit == "cpu"
    assert "the node's processors are busy 95 %" in found.bottleneck.evidence


def test_a_delay_left_at_100_ms_is_named_first_at_a_light_load():
    found = diagnose(ks20(PATCHED, Knobs(2, 8, (), 100_000), demand=50.0, precision="fp16"), SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.SCHEDULING
    assert "queue delay of 100 ms" in found.bottleneck.evidence
    assert found.bottleneck.remedy == remedies.LESS_DELAY
    assert found.bottleneck.curable


# --- single signals


def visit(knobs, *, rate, busy=0.98, batches=None):
    return Visit({"people": ModelVisit(knobs, batches or {}, rate=rate, busy=busy)}, seconds=30.0, ended=0.0)


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


def test_the_configuration_that_is_asked_for_is_judged_and_not_the_one_on_trial():
    trial = window(knobs=Knobs(4, 8), pod="b", utilization=0.95)

    found = diagnose([window(), trial], SITUATION, configuration={"people": Knobs(2, 8)})

    assert found == diagnose([window()], SITUATION)
    assert found != diagnose([window(), trial], SITUATION)


def test_of_a_configuration_that_was_not_seen_nothing_is_said():
    found = diagnose([window()], SITUATION, configuration={"people": Knobs(3)})

    assert found.bottleneck.bottleneck is Bottleneck.UNKNOWN


def test_a_slow_execution_is_the_evidence_where_it_is_the_execution_that_is_slow():
    slow = window(
        utilization=None, busy=0.2, rate=5.0, demand=5.0, offered=5.0, skipped=0.0, queue=0.0, latency=0.1,
        median=0.08, request=0.07, exchange=0.071, batches={1: BatchTime(150, 0.07)},
    )  # fmt: skip

    found = diagnose([slow], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.MODEL_COMPUTE
    assert "an execution takes 70 ms of a frame's 80 ms" in found.bottleneck.evidence


def test_a_guess_keeps_the_capital_of_a_name():
    capped = window(knobs=Knobs(2, 2), batches={2: BatchTime(300, 0.02)}, utilization=0.9)

    found = diagnose([capped], SITUATION)

    assert found.bottleneck.confidence is Confidence.POSSIBLE
    assert found.message.startswith("Possibly Triton ")


def test_a_long_story_gives_way_to_the_remedy():
    name = "m" * 600
    seen = window(busy=0.4, queue=0.0, request=0.025, exchange=0.03, latency=0.04, batches={1: BatchTime(900, 0.024)})
    full = replace(seen, steps={"step": StepWindow(1.0)})

    found = diagnose([full], SITUATION, Known(models={"step": KnownModel(boxes_of=name)}))

    assert len(found.message) == LONGEST
    assert found.message.endswith(f"...; {remedies.OWN_STEPS}")


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


@pytest.mark.parametrize(("goal", "curable"), [(Goal.THROUGHPUT, False), (Goal.EFFICIENCY, True)])
def test_capacity_that_idles_is_shown_and_given_back_where_that_is_the_goal(goal, curable):
    easy = window(utilization=0.1, host=0.1, busy=0.12, queue=0.0, rate=100.0, skipped=0.0, latency=0.03, request=0.02)

    found = diagnose([easy], replace(SITUATION, goal=goal))

    assert found.bottleneck.bottleneck is Bottleneck.IDLE
    assert found.bottleneck.share == pytest.approx(0.88)
    assert found.bottleneck.curable is curable


def test_windows_of_another_configuration_and_disturbed_ones_are_passed_over():
    before = window(knobs=Knobs(1, 1), utilization=0.1)
    disturbed = window(utilization=0.1, disturbed="the degradation ladder moved")

    assert diagnose([before, window(utilization=0.95), replace(disturbed)], SITUATION) == diagnose(
        [window(utilization=0.95)], SITUATION
    )


def test_where_every_window_is_disturbed_that_is_what_is_said():
    found = diagnose([window(disturbed="the degradation ladder moved")], SITUATION)

    assert found.bottleneck.bottleneck is Bottleneck.UNKNOWN
    assert "the degradation ladder moved" in found.message


# --- what is not known


def test_without_the_device_s_utilisation_it_says_so_and_is_not_sure():
    found = diagnose(
        [window(utilization=None)], replace(SITUATION, engines={}), Known(exporter_tells_utilization=False)
    )

    assert "the accelerator's utilisation is not known, since no exporter of the profile tells it" in found.unknown
    assert found.unknown[0] in found.message
    assert all(finding.confidence is Confidence.POSSIBLE for finding in found.findings)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -1.0, 47.0])
def test_an_exporter_s_garbage_counts_as_not_known(garbage):
    assert diagnose([window(utilization=garbage)], SITUATION) == diagnose([window(utilization=None)], SITUATION)


def test_a_host_and_processors_whose_product_is_no_number_any_more_are_not_known():
    assert diagnose([window(host=4e-57, processors=2.2e-313)], SITUATION).findings


def without_utilisation(case):
    return tuple(replace(window, utilization=None) for window in case.windows)


@pytest.mark.soak
def test_a_missing_utilisation_never_leads_to_a_wrong_class_that_is_sure_of_itself():
    wrong = []
    for label in LABELS:
        for case in cases(label, 8, first=500):
            first = diagnose(without_utilisation(case), case.situation, case.known).bottleneck
            if first.bottleneck is not label and first.confidence is Confidence.MEASURED:
                wrong.append((label, case.name, first))

    assert not wrong


NUMBERS = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 2), st.just(0.0))
MAYBE = st.one_of(st.none(), NUMBERS)
KNOBS = st.builds(
    Knobs,
    st.integers(0, 5),
    st.integers(0, 32),
    st.sampled_from([(), (2,), (2, 4)]),
    st.sampled_from([0, 100, 100_000]),
)
BATCHES = st.dictionaries(st.integers(0, 33), st.builds(BatchTime, st.integers(0, 10**6), NUMBERS, NUMBERS), max_size=4)
MODELS = st.dictionaries(
    st.sampled_from(["people", "cars"]),
    st.builds(
        ModelWindow, knobs=KNOBS, demand=NUMBERS, offered=NUMBERS, rate=NUMBERS, skipped=NUMBERS, batches=BATCHES,
        busy=NUMBERS, queue=NUMBERS, request=NUMBERS, exchange=MAYBE, latency=MAYBE, median=MAYBE,
    ),
    max_size=3,
)  # fmt: skip
WINDOWS = st.lists(
    st.builds(
        Window, pod=st.just("a"), start=st.just(0.0), seconds=NUMBERS, models=MODELS,
        utilization=MAYBE, pcie_width=MAYBE, host=MAYBE, processors=MAYBE,
        steps=st.dictionaries(st.just(names.post_processing("people")), st.builds(StepWindow, NUMBERS, NUMBERS)),
        stages=st.dictionaries(st.sampled_from(["decode", "boxes"]), NUMBERS),
        transport=st.sampled_from(["", "Grpc", "SharedMemory"]), degraded=st.sampled_from([None, 0, 3]),
        disturbed=st.sampled_from(["", "", "reloaded"]),
    ),
    max_size=3,
)  # fmt: skip
VISITS = st.lists(
    st.builds(
        Visit,
        st.dictionaries(st.just("people"), st.builds(ModelVisit, KNOBS, BATCHES, rate=NUMBERS, busy=NUMBERS)),
        seconds=NUMBERS, ended=NUMBERS,
    ),
    max_size=3,
)  # fmt: skip
FACTS = st.builds(
    Known, models=st.just({names.post_processing("people"): KnownModel(boxes_of="people")}), motion_gated=st.booleans()
)
SITUATIONS = st.builds(
    Situation, start=st.just({}), engines=st.dictionaries(st.just("people"), st.builds(Engine, st.integers(0, 32))),
    goal=st.sampled_from(Goal), limits=st.builds(Limits, latency=st.floats(0, 1)),
)  # fmt: skip


@settings(max_examples=400)
@given(WINDOWS, SITUATIONS, FACTS, VISITS)
def test_whatever_comes_in_there_is_an_answer_and_the_same_one_again(seen, situation, facts, visits):
    found = diagnose(seen, situation, facts, visits)

    assert found.findings
    assert found.limit == remedies.LIMITS[found.bottleneck.bottleneck]
    assert 0 < len(found.message) <= LONGEST
    assert "\n" not in found.message
    assert "nan" not in found.message
    assert "inf" not in found.message.replace("inferred", "")
    assert found.message.endswith(found.bottleneck.remedy)
    assert all(0.0 <= finding.share <= 1.0 for finding in found.findings)
    assert all(finding.evidence and finding.remedy for finding in found.findings)
    assert repr(diagnose(seen, situation, facts, visits)) == repr(found)


@settings(max_examples=200)
@given(WINDOWS, SITUATIONS, FACTS)
def test_no_cause_in_the_device_is_called_measured_while_its_utilisation_is_not_known(seen, situation, facts):
    blind = [replace(window, utilization=None) for window in seen]

    found = diagnose(blind, situation, facts)

    device = {Bottleneck.LINK, Bottleneck.MODEL_COMPUTE}
    assert not [item for item in found.findings if item.bottleneck in device and item.confidence is Confidence.MEASURED]


# --- what specification and profile tell


def test_bytes_decoder_and_steps_come_from_the_specification():
    spec = ModelSpec(
        name="people", source=ModelSource(),
        inputs=(TensorSpec("images", (3, 640, 640), "FP16"),), outputs=(TensorSpec("output0", (84, 8400), "FP16"),),
        decoder=DecoderSpec(type="yolov8"),
    )  # fmt: skip
    inside = replace(spec, name="cars", post_processing=PostProcessingSpec(builtin="NMS", instances=3))

    models = known([spec, inside]).models

    assert models["people"] == KnownModel("FP16", 2 * 3 * 640 * 640, 2 * 84 * 8400, raw=True)
    assert not models["cars"].raw
    assert models[names.post_processing("cars")] == KnownModel(boxes_of="cars", instances=3)


def test_a_tensor_without_a_fixed_size_makes_the_bytes_unknown():
    spec = ModelSpec("m", ModelSource(), (TensorSpec("i", (3, -1, -1), "FP16"),), (TensorSpec("o", (1,), "STRING"),))

    assert known([spec]).models["m"] == KnownModel("FP16")


def test_sub_streams_that_lie_idle_are_counted():
    cameras = [
        CameraSpec("a", url="rtsp://a/1", substream_url="rtsp://a/2", detection_stream="Main"),
        CameraSpec("b", url="rtsp://b/1", substream_url="rtsp://b/2"),
        CameraSpec("c", url="rtsp://c/1"),
    ]

    facts = known([], cameras)

    assert (facts.idle_substreams, facts.no_substream) == (1, 1)


def test_every_class_has_its_word_and_its_sentence():
    assert set(remedies.LIMITS) == set(remedies.HEADLINES) == set(Bottleneck)
    assert len(set(remedies.LIMITS.values())) == len(Bottleneck)
