"""Each alert links to a page of this repository, and what the pages name exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.unit.plan import scenarios
from tests.unit.plan.exposed import chart_rules, known
from tests.unit.plan.test_rules import alerts, rules

from edgedetector.api import conditions

FOLDER = scenarios.REPOSITORY / "docs" / "runbooks"
ALERTS = alerts(rules()) | alerts(chart_rules())
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
INDEX = FOLDER / "README.md"


def test_every_alert_links_to_its_page_and_every_page_has_an_alert() -> None:
    found = {name: rule["annotations"]["runbook_url"] for name, rule in ALERTS.items()}
    for name, link in found.items():
        assert (scenarios.REPOSITORY / link).read_text().startswith(f"# {name}\n"), link
    assert {scenarios.REPOSITORY / link for link in found.values()} == set(PAGES)


def test_the_index_has_every_page_with_the_severity_of_its_alert() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", INDEX.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, name, rule["labels"]["severity"]) for name, rule in ALERTS.items())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_where_to_look_and_what_helps(page: Any) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Look", "What helps"]
    assert "\nkubectl " in text


@pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda page: page.stem)
def test_what_a_page_names_exists(page: Any) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (FOLDER / link).is_file(), link
    metrics = set(re.findall(r"\b((?:edgedetector|go2rtc|node|nv)_[a-z_0-9]+|DCGM_[A-Z_]+)\b", text))
    metrics |= set(re.findall(r"\bedgedetector:[a-z_:]+", text))
    metrics -= {"edgedetector_namespace"}
    assert metrics - {"nv_inference"} <= known()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)  # commands name fields of pods
    for path in re.findall(r"\b(spec\.[A-Za-z.\[\]]+[A-Za-z])", prose):
        assert any(has(schema, path.replace("[]", "").split(".")) for schema in schemas()), path
    reasons = {value for value in vars(conditions).values() if isinstance(value, str)}
    assert set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text)) <= reasons


def schemas() -> list[dict[str, Any]]:
    """Schemas of our kinds."""
    crds = [yaml.safe_load(path.read_text()) for path in (scenarios.REPOSITORY / "crds").glob("*.yaml")]
    return [crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds]


def has(schema: dict[str, Any], path: list[str]) -> bool:
    """Tell whether a field exists; lists are passed through."""
    for name in path:
        schema = schema.get("items", schema).get("properties", {}).get(name)
        if schema is None:
            return False
    return True
