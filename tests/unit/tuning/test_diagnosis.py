"""What limits a box: provoked cases in virtual time, the reference's ladder, and figures that are missing or absurd."""

from collections import Counter
from dataclasses import replace

import pytest
from bench.tuner.diagnosis.__main__ import LABELS, matrix, said
from bench.tuner.diagnosis.cases import cases, mixed_cases
from tests.unit.tuning.boxes import KS20, PATCHED, SITUATION, X1, ks20, visit, window

from edgedetector.tuning import remedies
from edgedetector.tuning.diagnosis import LONGEST, diagnose
from edgedetector.tuning.findings import Bottleneck, Confidence
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.window import BatchTime, Knobs, StepWindow


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


def test_the_configuration_that_is_asked_for_is_judged_and_not_the_one_on_trial():
    trial = window(knobs=Knobs(4, 8), pod="b", utilization=0.95)

    found = diagnose([window(), trial], SITUATION, configuration={"people": Knobs(2, 8)})

    assert found == diagnose([window()], SITUATION)
    assert found != diagnose([window(), trial], SITUATION)


def test_of_a_configuration_that_was_not_seen_nothing_is_said():
    found = diagnose([window()], SITUATION, configuration={"people": Knobs(3)})

    assert found.bottleneck.bottleneck is Bottleneck.UNKNOWN


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


def test_every_class_has_its_word_and_its_sentence():
    assert set(remedies.LIMITS) == set(remedies.HEADLINES) == set(Bottleneck)
    assert len(set(remedies.LIMITS.values())) == len(Bottleneck)
