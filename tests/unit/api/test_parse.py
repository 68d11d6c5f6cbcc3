"""From objects of the API server to values."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.unit.api.crds import ROOT, root, structural

from edgedetector import __version__, profiles
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError, MissingProfileError, PermanentError, RetryError, UserError
from edgedetector.api.pods import Resources
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import Fraction, Quantity

SAMPLES = sorted(ROOT.glob("manifests/samples/*.yaml"))
MINIMAL: dict[str, Any] = {
    "apiVersion": "edgedetector.dev/v1alpha1",
    "kind": "EdgeDetector",
    "metadata": {"name": "yard", "namespace": "site-a", "uid": "u1", "generation": 3},
    "spec": {
        "acceleratorProfile": "cpu",
        "models": [
            {
                "name": "people",
                "source": {"configMap": {"name": "people-model"}},
                "inputs": [{"name": "image", "dims": [3, 64, 64], "dataType": "UINT8"}],
                "outputs": [{"name": "boxes", "dims": [-1, 4], "dataType": "FP32"}],
            }
        ],
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the minimal object with `value` at a dotted path below spec; None removes."""
    obj = copy.deepcopy(MINIMAL)
    at: Any = obj["spec"]
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return obj


def test_identity_comes_from_the_metadata() -> None:
    found = EdgeDetector.parse(MINIMAL)
    assert (found.name, found.namespace, found.uid, found.generation) == ("yard", "site-a", "u1", 3)
    assert (found.deleting, found.suspend) == (False, False)


def test_a_deleted_object_is_known_as_such() -> None:
    obj = copy.deepcopy(MINIMAL)
    obj["metadata"]["deletionTimestamp"] = "2026-11-22T15:00:00Z"
    assert EdgeDetector.parse(obj).deleting


def test_durations_and_percentages_are_values() -> None:
    spec = EdgeDetector.parse(
        changed("tuning", {"headroom": {"cpu": "10%"}, "bounds": {"maxQueueDelay": "500us"}})
    ).spec
    assert spec.tuning.headroom.cpu == Fraction(0.1)
    assert spec.tuning.bounds.max_queue_delay == timedelta(microseconds=500)


def test_a_null_is_an_absent_field() -> None:
    obj = copy.deepcopy(MINIMAL)
    obj["spec"]["scaling"] = None
    assert EdgeDetector.parse(obj).spec.scaling.max_replicas == 1


def test_fields_of_a_newer_schema_are_passed_over() -> None:
    assert EdgeDetector.parse(changed("tiers", [{"name": "cloud"}])) == EdgeDetector.parse(MINIMAL)


CAMERA = {"name": "gate", "url": "rtsp://gate/main"}
CONTRADICTIONS: list[tuple[str, Any, str]] = [
    ("models", None, r"^spec\.models: is required"),
    ("models", [], r"^spec\.models: is empty"),
    ("models.0.name", 5, r"^spec\.models\[0\]\.name: must be text$"),
    ("models.0.source", {}, r"^spec\.models\[people\]\.source: needs exactly one of"),
    ("models.0.source.http", {"url": "https://x/y", "sha256": "0"}, r"source: needs exactly one of"),
    ("models.0.inputs", [], r"at least one input and one output"),
    ("models.0.inputs.0.dims", [True], r"dims\[0\]: must be an integer"),
    ("serving.maxQueueDelay", "1 fortnight", r"^spec\.serving\.maxQueueDelay: not a duration"),
    ("serving.instances", "2", r"^spec\.serving\.instances: must be an integer"),
    ("tuning.headroom.cpu", "120%", r"^spec\.tuning\.headroom\.cpu: not a percentage"),
    ("scaling", {"minReplicas": 3, "maxReplicas": 2}, r"^spec\.scaling\.maxReplicas: is below minReplicas; raise it"),
    (
        "scaling",
        {"maxReplicas": 2, "metrics": [{"name": "QueueTime", "target": {"averageValue": "0.9m"}}]},
        (
            r"^spec\.scaling\.metrics\[QueueTime\]\.target: averageValue of QueueTime must be seconds of at least 1m "
            r"and at most 10, e\.g\. 10m for 10 ms; correct it$"
        ),
    ),
    (
        "scaling",
        {"maxReplicas": 2, "metrics": [{"name": "Demand", "target": {"averageValue": "0.9m"}}]},
        (
            r"^spec\.scaling\.metrics\[Demand\]\.target: averageValue must be a share of at least 1m and at most 1, "
            r"e\.g\. 800m for four fifths of what one replica serves; correct it$"
        ),
    ),
    ("cameras", [{"name": "gate"}], r"^spec\.cameras\[gate\]: needs exactly one of url and urlSecretRef"),
    ("cameras", [CAMERA | {"urlSecretRef": {"name": "s"}}], r"exactly one of url and urlSecretRef"),
    (
        "cameras",
        [CAMERA | {"substreamUrl": "rtsp://x", "substreamUrlSecretRef": {"name": "s"}}],
        r"substreamUrl and substreamUrlSecretRef",
    ),
    ("cameras", [CAMERA | {"models": ["cars"]}], r"^spec\.cameras\[gate\]\.models: names a model"),
    (
        "cameras",
        [CAMERA | {"zones": [{"name": "x", "polygon": [[0, 0], [1, 1], [0.5, 0.5]]}]}],
        r"^spec\.cameras\[gate\]\.zones\[x\]\.polygon: has no area",
    ),
    (
        "cameras",
        [CAMERA | {"zones": [{"name": "x", "polygon": [[0, 0], [1, 0], [1]]}]}],
        r"^spec\.cameras\[gate\]\.zones\[x\]\.polygon: has a corner outside of the picture",
    ),
    ("cameras", {"gate": CAMERA}, r"^spec\.cameras: must be a list"),
    (
        "resources",
        {"triton": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}},
        r"^spec\.resources\.triton\.requests\.cpu: is above the limit",
    ),
    ("suspend", "yes", r"^spec\.suspend: must be true or false"),
    ("tuning.mode", "Manual", r"^spec\.tuning\.mode: is unknown; known are Auto, Recommend, Off$"),
    ("models.0.inputs.0.dataType", "FP17", r"^spec\.models\[0\]\.inputs\[0\]\.dataType: is unknown; known are BOOL, "),
    (
        "tolerations",
        [{"operator": "Perhaps"}],
        r"^spec\.tolerations\[0\]\.operator: is unknown; known are Exists, Equal$",
    ),
    (
        "models.0.source",
        {"http": {"url": "https://[::1]/x", "sha256": "0"}},
        r"^spec\.models\[people\]\.source\.http\.url: must not point to loopback.*; name the server$",
    ),
    (
        "outputs",
        {"mqtt": {"url": "mqtt://u:canary-password@broker"}},
        r"^spec\.outputs\.mqtt\.url: must be mqtt.*; put user name and password into credentialsSecretRef$",
    ),
    ("outputs", {"webhook": {"url": "http://0x7f.1/"}}, r"^spec\.outputs\.webhook\.url: must not point to loopback"),
]


@pytest.mark.parametrize(("path", "value", "message"), CONTRADICTIONS)
def test_a_wrong_field_is_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        EdgeDetector.parse(changed(path, value))


REFUSED_URLS = ("rtsp://viewer:canary-password@gate/main", "rtsp://127.0.0.1/canary-password", "canary-password")


@pytest.mark.parametrize("url", REFUSED_URLS)
@pytest.mark.parametrize("field", ["url", "substreamUrl"])
def test_no_text_of_a_refused_url_gets_into_the_error(field: str, url: str) -> None:
    """An older CRD may have let it in."""
    with pytest.raises(InvalidSpecError) as caught:
        EdgeDetector.parse(changed("cameras", [CAMERA | {field: url}]))
    assert f"spec.cameras[gate].{field}: must " in str(caught.value)
    assert "canary" not in str(caught.value)


def test_no_text_of_an_url_gets_into_a_representation() -> None:
    canary = "rtsp://gate/canary-password"
    spec = EdgeDetector.parse(changed("cameras", [{"name": "gate", "url": canary, "substreamUrl": canary}]))
    assert "canary" not in repr(spec)


def test_a_class_that_no_model_of_the_camera_has_is_named_if_the_models_say_what_they_have() -> None:
    obj = changed("cameras", [CAMERA | {"classes": ["person"]}])
    EdgeDetector.parse(obj)
    obj["spec"]["models"][0]["decoder"] = {"type": "none", "labels": ["Person"]}
    with pytest.raises(InvalidSpecError, match=r"cameras\[gate\]\.classes: names a class that is no label"):
        EdgeDetector.parse(obj)


@pytest.mark.parametrize(
    ("variants", "problem"),
    [
        (
            {"people": "tiny"},
            r"models\[people\]\.smallerVariant: names a model that spec\.models lacks; correct the name",
        ),
        ({"people": "people"}, r"models\[people\]\.smallerVariant: names a model that has a smallerVariant itself"),
        (
            {"people": "small", "small": "people"},
            r"names a model that has a smallerVariant itself; name one that has none",
        ),
        (
            {"people": "other"},
            r"names a model with other labels; give both the same decoder\.labels, in the same order",
        ),
    ],
)
def test_a_variant_that_cannot_take_a_models_place_is_refused(variants: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidSpecError, match=problem):
        EdgeDetector.parse(_with_variants(variants))


def test_a_variant_with_the_same_labels_is_taken_and_no_cameras_usual_model() -> None:
    spec = EdgeDetector.parse(_with_variants({"people": "small"})).spec
    assert spec.usual_models == ("people", "other")


def _with_variants(variants: dict[str, str]) -> dict[str, Any]:
    obj = copy.deepcopy(MINIMAL)
    (model,) = obj["spec"]["models"]
    labels = {"people": ["person", "dog"], "small": ["person", "dog"], "other": ["dog", "person"]}
    obj["spec"]["models"] = [
        {**model, "name": name, "decoder": {"labels": names}}
        | ({"smallerVariant": variants[name]} if name in variants else {})
        for name, names in labels.items()
    ]
    return obj


def test_the_type_of_an_error_tells_who_can_help() -> None:
    assert issubclass(InvalidSpecError, UserError)
    assert issubclass(MissingProfileError, UserError)
    assert not issubclass(RetryError, UserError)
    assert not issubclass(PermanentError, UserError)
    reasons = {kind.reason for kind in (InvalidSpecError, MissingProfileError, RetryError, PermanentError)}
    assert len(reasons) == 4
    message = str(MissingProfileError("ks30", ("nvidia", "cpu")))
    assert message == "spec.acceleratorProfile: there is no AcceleratorProfile 'ks30'; choose one of: cpu, nvidia"


def test_a_default_gives_way_to_what_somebody_wrote() -> None:
    def resources(kind: str, **values: str) -> Resources:
        return Resources(**{kind: {name: Quantity(value) for name, value in values.items()}})

    low_limit = resources("limits", memory="128Mi").over(resources("requests", memory="1Gi", cpu="500m"))
    assert low_limit.requests == {"memory": "128Mi", "cpu": "500m"}
    high_request = resources("requests", memory="2Gi").over(resources("limits", memory="1Gi"))
    assert high_request.limits == {"memory": "2Gi"}


def validator(plural: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(structural(root(plural)["properties"]["spec"]))


@pytest.mark.parametrize("path", [*SAMPLES, ROOT / "demo" / "edgedetector.yaml"], ids=lambda path: path.stem)
def test_samples_fit_the_schema_and_are_understood(path: Path) -> None:
    obj = yaml.safe_load(path.read_text())
    assert list(validator("edgedetectors").iter_errors(obj["spec"])) == []
    found = EdgeDetector.parse(obj)
    assert found.spec.accelerator_profile in SHIPPED


SHIPPED = {obj["metadata"]["name"]: obj for obj in profiles.load()}


def test_the_shipped_profiles_are_these() -> None:
    assert set(SHIPPED) == {"denglin-ks20", "nvidia", "cpu"}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_fit_the_schema_and_are_understood(name: str) -> None:
    obj = SHIPPED[name]
    assert list(validator("acceleratorprofiles").iter_errors(obj["spec"])) == []
    profile = AcceleratorProfile.parse(obj)
    assert profile.name == name
    exporter = profile.spec.exporter
    for mapping in exporter.metrics if exporter else ():
        assert mapping.factor > 0


def test_nothing_of_an_accelerator_that_nobody_had_is_called_verified() -> None:
    profile = AcceleratorProfile.parse(SHIPPED["denglin-ks20"])
    assert profile.spec.capabilities
    assert not any(item.verified for item in profile.spec.capabilities)
    assert profile.spec.exporter is not None
    assert not any(item.verified for item in profile.spec.exporter.metrics)
    assert not profile.spec.can("instanceChangeInPlace"), "supported, but nobody has seen it"
    assert AcceleratorProfile.parse(SHIPPED["cpu"]).spec.can("instanceChangeInPlace")


def test_our_own_images_have_the_version_of_this_release() -> None:
    text = [
        line.split(":", 1)[1].strip()
        for path in (ROOT / "operator" / "edgedetector" / "profiles").glob("*.yaml")
        for line in path.read_text().splitlines()
        if line.strip().startswith("image: edgedetector/")
    ]
    assert len(text) == 4
    assert {image.rpartition(":")[2] for image in text} == {__version__}
