"""The number of replicas between the specification and an autoscaler, pass by pass."""

from __future__ import annotations

from typing import Any

import pytest

from edgedetector.api import names
from edgedetector.controller.replicas import before_suspension, ours

ME = names.FIELD_MANAGER


def deployment(replicas: int, manager: str, subresource: str = "") -> dict[str, Any]:
    """A Deployment of ours whose number of replicas this manager wrote last."""
    mine: dict[str, Any] = {"f:template": {}}
    entries: list[dict[str, Any]] = [{"manager": ME, "operation": "Apply", "fieldsV1": {"f:spec": mine}}]
    if manager == ME:
        mine["f:replicas"] = {}
    else:
        fields = {"f:spec": {"f:replicas": {}}}
        entries.append({"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields})
    return {
        "kind": "Deployment",
        "metadata": {"name": "yard-triton", "managedFields": entries},
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ([], 0),
        ([deployment(2, ME)], 2),
        ([deployment(3, "kube-controller-manager", "scale")], None),
        ([deployment(0, ME)], 0),
        ([deployment(0, "kubectl", "scale")], 0),
    ],
    ids=["not there yet", "ours", "an autoscaler's", "suspended", "scaled to nothing by hand"],
)
def test_whose_business_the_number_is(live: list[dict[str, Any]], expected: int | None) -> None:
    other = {"kind": "Deployment", "metadata": {"name": "yard-media"}, "spec": {"replicas": 7}}
    assert ours([other, *live], "yard-triton", ME) == expected


@pytest.mark.parametrize(
    ("live", "note", "expected"),
    [(3, "", 3), (0, "3", 3), (2, "3", 3), (0, "", 0), (0, "many", 0), (1, "-2", 1), (0, "123456", 0)],
    ids=[
        "runs",
        "suspended",
        "scaled by hand while suspended",
        "never ran",
        "no number",
        "a negative one",
        "a mad one",
    ],
)
def test_how_many_come_back_after_a_suspension(live: int, note: str, expected: int) -> None:
    found = deployment(live, ME)
    if note:
        found["metadata"]["annotations"] = {names.ANNOTATION_REPLICAS: note}
    assert before_suspension([found], "yard-triton") == expected
    assert before_suspension([], "yard-triton") == 0
