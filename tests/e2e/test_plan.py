"""What is planned a real API server takes, strictly, and a second look at what it stored finds nothing to apply.

Children of every kind, with fields of every sort: else an operator at rest would write for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.apiserver import Server
from tests.unit.plan import scenarios

from edgedetector.api import names
from edgedetector.cluster import diff
from edgedetector.plan import (
    CHILD_KINDS,
    PROFILE_CHILD_KINDS,
    Cap,
    Facts,
    profile_children,
    verification_children,
)

Object = dict[str, Any]

OPTIONAL = frozenset({"ServiceMonitor", "PrometheusRule"})
CAPPED = Facts(optional_kinds=OPTIONAL, cap=Cap(2, datetime(2026, 11, 22, 12, 0, tzinfo=UTC)))

FULL = scenarios.minimal(
    cameras=[
        {"name": "gate", "url": "rtsp://10.1.2.3:7000/main"},
        {"name": "dock", "url": "rtsp://[2001:db8::9]/main", "substreamUrl": "rtsp://dock.cams/sub"},
        {"name": "roof", "urlSecretRef": {"name": "roof"}, "credentialsSecretRef": {"name": "roof"}},
        {"name": "hall", "url": "rtsps://hall.example.org/main"},
    ],
    networkPolicy={"cameras": {"cidrs": ["10.0.0.0/8", "0.0.0.0/0", "fd12::/16", "::/0"], "ports": [10554]}},
    outputs={"mqtt": {"url": "mqtts://broker.example.org"}, "webhook": {"url": "http://hook:9000/x"}},
    scaling={"minReplicas": 1, "maxReplicas": 4},
    resources={
        "triton": {"requests": {"cpu": "1.5", "memory": "1024Mi"}, "limits": {"memory": "2000M"}},
        "detector": {"requests": {"cpu": "0.25"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    },
    nodeSelector={"kubernetes.io/arch": "amd64"},
    tolerations=[{"key": "edge", "operator": "Exists"}],
    imagePullSecrets=[{"name": "registry"}],
    monitoring={"labels": {"release": "x"}},
)


def planned() -> dict[str, list[Object]]:
    """Children by scenario."""
    paths = [*scenarios.DATA.glob("*.yaml"), *scenarios.REPOSITORY.glob("manifests/samples/*.yaml")]
    found = {path.stem: scenarios.children(scenarios.load(path)) for path in sorted(paths)}
    found["full"] = scenarios.children(scenarios.detector("yard", FULL))
    found["capped"] = scenarios.children(scenarios.detector("yard", FULL), facts=CAPPED)
    wanted = scenarios.load(scenarios.REPOSITORY / "manifests" / "samples" / "denglin-ks20.yaml")
    profile = scenarios.PROFILES[wanted.spec.accelerator_profile]
    found["verification"] = list(verification_children(wanted, profile, scenarios.SETTINGS, "2026-11-23T07:00:00Z"))
    for name, profile in scenarios.PROFILES.items():
        if children := profile_children(profile, scenarios.SETTINGS, CAPPED):
            found[f"exporter-{name}"] = list(children)
    return found


PLANNED = planned()


def test_every_kind_of_child_is_among_them() -> None:
    made = {(obj["apiVersion"], obj["kind"]) for children in PLANNED.values() for obj in children}
    assert made == {*CHILD_KINDS, *PROFILE_CHILD_KINDS}


@pytest.mark.parametrize("name", PLANNED)
def test_what_was_applied_is_found_as_it_is_wanted(apiserver: Server, name: str) -> None:
    space = f"plan-{name}"
    apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    for obj in PLANNED[name]:
        wanted = obj | {"metadata": obj["metadata"] | {"namespace": space}}
        (live,) = apiserver.apply(wanted, manager=names.FIELD_MANAGER)
        assert diff.difference(wanted, live, names.FIELD_MANAGER) == "", f"{obj['kind']} {obj['metadata']['name']}"
