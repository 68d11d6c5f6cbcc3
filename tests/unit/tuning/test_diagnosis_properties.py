"""Whatever figures come in, there is an answer, and none is surer than they are."""

import math
from dataclasses import replace

import pytest
from bench.tuner.diagnosis.__main__ import LABELS
from bench.tuner.diagnosis.cases import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.boxes import SITUATION, window

from edgedetector.api import names
from edgedetector.tuning import remedies
from edgedetector.tuning.diagnosis import LONGEST, diagnose
from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.findings import Bottleneck, Confidence
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, StepWindow, Window


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
