"""Rules whose time runs faster, by which tests on the cluster see alerts fire: nothing else of them is another."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.plan import scenarios
from tests.unit.plan.test_rules import rules

import hastened

CHART = scenarios.REPOSITORY / "charts" / "edgedetector" / "files" / "rules.yaml"


def rule(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "yard", "namespace": "site-a", "uid": "1", "ownerReferences": [{"uid": "2"}]}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": spec}


ALL = [rule(rules()), rule(yaml.safe_load(CHART.read_text()))]


def expressions(made: dict[str, Any]) -> dict[str, str]:
    found = [each for group in made["spec"]["groups"] for each in group["rules"]]
    return {each.get("alert") or each["record"]: " ".join(each["expr"].split()) for each in found}


@pytest.mark.parametrize("made", ALL, ids=["detector", "operator"])
def test_every_alert_is_there_and_what_is_told_of_it_is_the_same(made: dict[str, Any]) -> None:
    copy = hastened.alerts(hastened.copy(made, 10))
    assert copy.keys() == hastened.alerts(made).keys()
    for name, alert in hastened.alerts(made).items():
        assert copy[name]["annotations"] == alert["annotations"]
        assert copy[name]["labels"] == alert["labels"] | {hastened.LABEL: "10"}


@pytest.mark.parametrize("made", ALL, ids=["detector", "operator"])
def test_slowed_by_one_nothing_but_names_differs(made: dict[str, Any]) -> None:
    copy = {name.removeprefix("hastened:"): text for name, text in expressions(hastened.copy(made, 1)).items()}
    assert copy
    for name, text in copy.items():
        assert text.replace("hastened:", "") == expressions(made)[name].replace("[120s]", "[2m]")  # the same


def test_each_duration_is_a_tenth() -> None:
    copy = hastened.alerts(hastened.copy(ALL[0], 10))
    assert copy["EdgeDetectorHighCPU"]["for"] == "30s"
    assert "[30s]" in copy["EdgeDetectorHighCPU"]["expr"]
    assert "[5m]" not in copy["EdgeDetectorHighCPU"]["expr"]
    fast = copy["EdgeDetectorDetectionFastBurn"]
    assert fast["for"] == "0s"
    assert "sum_over_time(hastened:edgedetector:cameras_undetected:ratio{" in fast["expr"]
    for window, recordings in (("6m", 120), ("30s", 10), ("36m", 720), ("3m", 60)):
        assert f"[{window}]) / {recordings} >" in fast["expr"]
    stuck = hastened.alerts(hastened.copy(ALL[1], 10))["EdgeDetectorOperatorStuck"]
    assert stuck["expr"].endswith("> 180")
    assert stuck["for"] == "30s"


def test_groups_with_recordings_for_alerts_are_evaluated_ten_times_as_often_and_others_are_left_out() -> None:
    groups = hastened.copy(ALL[0], 10)["spec"]["groups"]
    assert [group.get("interval") for group in groups] == [None, "3s"]


def test_the_copy_belongs_to_nobody() -> None:
    assert hastened.copy(ALL[0], 10)["metadata"] == {"name": "yard-hastened", "namespace": "site-a"}
