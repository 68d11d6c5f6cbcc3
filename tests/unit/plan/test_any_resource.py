"""Whatever stands in a resource, planning gives objects or says which field is wrong; it never fails otherwise."""

from __future__ import annotations

import copy
import json
from typing import Any

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import detector, minimal
from tritonclient.grpc import model_config_pb2

from edgedetector.api import dataplane, wire
from edgedetector.api.errors import InvalidSpecError
from edgedetector.plan import detector_children, serving_config

FULL = minimal(
    cameras=[
        {"name": "gate", "url": "rtsp://gate/main", "substreamUrl": "rtsp://gate/sub", "priority": 5},
        {
            "name": "dock",
            "urlSecretRef": {"name": "dock"},
            "credentialsSecretRef": {"name": "dock"},
            "models": ["people"],
        },
    ],
    serving={"instances": 2, "preferredBatchSizes": [2, 4], "maxQueueDelay": "1ms"},
    scaling={"minReplicas": 1, "maxReplicas": 2},
    monitoring={"scrapeInterval": "10s", "labels": {"release": "x"}},
    resources={"triton": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
    tolerations=[{"key": "edge", "operator": "Exists"}],
)
FULL["models"][0] |= {
    "maxBatchSize": 8,
    "parameters": {"a": "b"},
    "decoder": {"labels": ["person"]},
    "modelFile": "a.py",
}

FULL["models"].append(
    {
        **FULL["models"][0],
        "name": "boxes",
        "outputs": [{"name": "output0", "dims": [84, 8400], "dataType": "FP16"}],
        "decoder": {"type": "yolov8"},
        "postProcessing": {"builtin": "NMS", "instances": 2},
    }
)
FULL["models"].append(
    {
        **FULL["models"][0],
        "name": "own",
        "postProcessing": {
            "source": {"configMap": {"name": "x", "items": [{"key": "a", "path": "b.py"}]}},
            "modelFile": "b.py",
            "outputs": [{"name": "found", "dims": [4], "dataType": "FP32"}],
        },
    }
)

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 1 << 40), st.floats(allow_nan=False), st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=8), below, max_size=3)),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value below `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, below in items for place in places(below, (*path, key)))]


PLACES = places(FULL)


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(FULL)
    at: Any = spec
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return spec


@given(st.sampled_from(PLACES), JSON)
def test_one_field_that_may_hold_anything(place: tuple[Any, ...], value: Any) -> None:
    try:
        wanted = detector("yard", changed(place, value))
        profile = scenarios.PROFILES["denglin-ks20"]
        accepted = serving_config(wanted, profile)
        objects = detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, accepted)
    except InvalidSpecError:
        return  # says which field: the tests of parsing look at the words
    again = json.loads(json.dumps(objects))
    assert [o["kind"] for o in again] == [o["kind"] for o in objects]
    for model in accepted.models:
        assert text_format.Parse(model.config, model_config_pb2.ModelConfig()).name == model.name
    for obj in again:
        if obj["metadata"]["name"] == "yard-serving":
            assert wire.from_json(dataplane.ServingConfig, obj["data"]["accepted.json"]) == accepted
