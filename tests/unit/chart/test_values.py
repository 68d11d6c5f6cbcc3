"""Every value is described, checked and used."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from tests.unit.chart import reference
from tests.unit.chart.rendered import CHART, ROOT, of, render, template
from tests.unit.chart.values import EVERYTHING, SCHEMA, VALUES, environment

from edgedetector.api import names
from edgedetector.controller import options


def test_every_option_of_the_operator_has_a_value_that_sets_it_or_a_reason_not_to() -> None:
    constant = {"scrape_busy", "port", "tuning_probe", "tuning_rest"}
    fields = {field.name for field in dataclasses.fields(options.Options)} - constant
    variables = {name.removeprefix(options.PREFIX).lower() for name in environment(render(values=EVERYTHING))}
    assert variables == fields


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"image": {"repository": ""}},
        {"image": {"repository": "x", "tag": "a b"}},
        {"image": {"digest": "sha256:short"}},
        {"imageReplacements": {"a": 1}},
        {"imageDigests": {"a:1": "sha256:short"}},
        {"imageDigests": {"a": "sha256:" + "0" * 64}},
        {"imageDigests": {"host:5000/a": "sha256:" + "0" * 64}},
        {"imageDigests": {"a@sha256:0": "sha256:" + "0" * 64}},
        {"watchNamespaces": ["Site A"]},
        {"watchNamespaces": "site-a"},
        {"resyncSeconds": 0},
        {"log": {"level": "LOUD"}},
        {"serviceMonitor": {"enabled": "maybe"}},
        {"serviceMonitor": {"interval": "soon"}},
        {"serviceMonitor": {"labels": {"release": "prometheus"}}},
        {"monitoring": {"labels": {"release": 1}}},
        {"monitoring": {"runbooks": ""}},
        {"monitoring": {"rules": {"enabled": "maybe"}}},
        {"monitoring": {"dashboards": {"namespace": "Monitoring"}}},
        {"unknown": 1},
        {"global": {"imageRegistry": "https://registry.example.com"}},
        {"profiles": {"mine": {"triton": {}}}},
        {"serviceAccount": {"create": False}},
        {"serviceAccount": {"create": False, "name": ""}},
        {"modelSources": {"allowedHosts": ["https://example.com"]}},
        {"modelSources": {"allowedHosts": ["*"]}},
        {"networkPolicy": {"dnsCidrs": ["10.0.0.1"]}},
        {"networkPolicy": {"apiServer": {"ports": []}}},
        {"workloads": {"upgradePolicy": "Never"}},
        {"rbac": {"aggregate": "no"}},
        {"nodeExporter": {"image": {"repository": "x", "tag": "a b"}}},
        {"imagePullSecrets": ["registry"]},
        {"crds": {"instal": True}},
    ],
)
def test_a_mistake_in_the_values_is_refused(values: dict[str, Any]) -> None:
    done = template(values=values)
    assert done.returncode != 0
    assert "values" in done.stderr


def test_an_account_that_nobody_creates_has_to_be_named() -> None:
    done = template(values={"serviceAccount": {"create": False}})
    assert "serviceAccount.name" in done.stderr
    objects = render(values={"serviceAccount": {"create": False, "name": "mine"}})
    assert of(objects, "ServiceAccount") == []
    assert of(objects, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    bindings = of(objects, "ClusterRoleBinding") + of(objects, "RoleBinding")
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {"mine"}


NAMES = ["a", "my-card", "a" * 40, "a" * 41, "a" * 63, "1card", "-card", "card-", "Card", "my.card", "my_card", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_may_have_the_names_that_the_api_server_takes_and_no_other(name: str) -> None:
    crd = yaml.safe_load((ROOT / "crds" / f"{names.GROUP}_acceleratorprofiles.yaml").read_text())
    (rule,) = re.findall(r"self\.metadata\.name\.matches\('([^']*)'\)", json.dumps(crd))
    done = template(values={"profiles": {name: EVERYTHING["profiles"]["mine"]}})
    assert (done.returncode == 0) == bool(re.fullmatch(rule, name)), done.stderr


def test_the_schema_knows_every_value_and_takes_no_other() -> None:
    jsonschema.validate(VALUES, SCHEMA)

    def check(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        if "properties" not in schema:
            return
        assert set(schema["properties"]) == set(values), path
        # Helm gives `global` to every chart: other ones may have their own in it.
        assert schema.get("additionalProperties") is False or path == ".global", path
        for key, below in schema["properties"].items():
            if isinstance(values[key], dict) and key != "resources":
                check(below, values[key], f"{path}.{key}")

    check(SCHEMA, VALUES, "")


def test_every_value_is_described_and_one_without_a_default_has_an_example() -> None:
    for value in reference.values():
        assert value.description.endswith((".", ")", "]", "}")) or "Example: " in value.description, value.name
        assert len(value.description) > 10, value.name
        if value.default in ('""', "[]", "{}"):
            assert "Example: " in value.description, value.name


def used_values() -> set[str]:
    """Paths that the templates read, as `a.b`; what stands in a `with` is read as a whole."""
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    found = set(re.findall(r"\.Values\.([A-Za-z.]+[A-Za-z])", templates))
    for block in re.findall(r"with (?:\$)?\.Values\.(networkPolicy|nodeExporter) \}\}", templates):
        found.discard(block)
        text = (
            CHART / "templates" / {"networkPolicy": "networkpolicy.yaml"}.get(block, "node-exporter.yaml")
        ).read_text()
        found |= {f"{block}.{inner}" for inner in re.findall(r"[ (]\.([a-z][A-Za-z.]+[A-Za-z])", text)}
    return found


def test_every_value_is_used_by_a_template_and_every_used_one_exists() -> None:
    def at(path: str) -> Any:
        found: Any = VALUES
        for key in path.split("."):
            found = found[key]
        return found

    used = used_values()
    for path in used:
        at(path)
    for value in reference.values():
        assert any(value.name == path or value.name.startswith(f"{path}.") for path in used), value.name


def test_the_reference_in_the_documents_is_that_of_the_values() -> None:
    """Where this fails: .venv/bin/python tests/unit/chart/reference.py."""
    assert reference.DOCUMENT.read_text() == reference.written()
