"""The reference is what the definitions, the commands and the metrics are now."""

from __future__ import annotations

import pytest

import reference


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.pages()[name], "python hack/reference.py writes it"


def test_no_page_is_left_over() -> None:
    assert {page.name for page in reference.FOLDER.glob("*.md")} == set(reference.pages())


def test_fields_have_their_bounds_defaults_and_rules() -> None:
    page = reference.pages()["edgedetector.md"]

    assert "| `acceleratorProfile` | string | required |" in page
    assert "| `suspend` | boolean | `false` |" in page
    assert "### spec.cameras[]" in page
    assert "- `spec.serving.instances`: serving.instances is above tuning.bounds.instances.max" in page


def test_every_metric_has_a_help_text() -> None:
    rows = [row.split(" | ") for row in reference.pages()["metrics.md"].splitlines() if row.startswith("| `")]

    assert len(rows) > 50
    assert all(row[-1].strip(" |") for row in rows)
