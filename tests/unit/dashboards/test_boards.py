"""Every query is one that Prometheus takes, of series that somebody exposes, and the files are what the boards give."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from dashboards import BOARDS, grafana
from dashboards.__main__ import FOLDER
from dashboards.asking import Choice
from dashboards.model import Board, Query, Variable
from tests.unit.plan import exposed
from tests.unit.plan.test_rules import promtool

__all__ = ["promtool"]  # the fixture

QUERIES = [
    (f"{board.name}: {panel.title}", query) for board in BOARDS for panel in board.panels for query in panel.queries
]
EACH = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """Everything in an expression that asks for series."""

    def within(node: Any) -> Iterator[promql_parser.VectorSelector]:
        if isinstance(node, promql_parser.VectorSelector):
            yield node
        elif isinstance(node, promql_parser.MatrixSelector):
            yield node.vector_selector
        children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
        for child in (*children, *getattr(node, "args", ())):
            if isinstance(child, promql_parser.Expr):
                yield from within(child)

    yield from within(promql_parser.parse(expression))


def asked(expression: str) -> set[str]:
    return {one.name for one in selectors(Choice().expression(expression))}


def test_a_selector_is_found_wherever_it_stands() -> None:
    text = 'clamp_min(1 - sum(rate(a{x="y"}[5m])) / (sum by (z) (b:c:d) > 0), 0) or -e and on (n) count(f unless g)'
    assert asked(text) == {"a", "b:c:d", "e", "f", "g"}


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_asks_for_series_that_somebody_exposes(where: str, query: Query) -> None:
    names = asked(query.expression)
    assert names, where
    assert names <= exposed.known(), where


def test_prometheus_takes_every_query(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": Choice().expression(query.expression)}
        for number, (_, query) in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 80


@EACH
def test_what_can_be_chosen_are_values_of_series_that_somebody_exposes(board: Board) -> None:
    for variable in board.variables:
        assert asked(variable.metric) <= exposed.known(), variable


@EACH
def test_variables_are_all_used_and_all_there(board: Board) -> None:
    texts = [query.expression for panel in board.panels for query in panel.queries]
    used = set(re.findall(r"\$([a-z]\w*)", " ".join(texts)))
    before: set[str] = set()
    for variable in board.variables:
        assert set(re.findall(r"\$(\w+)", variable.metric)) <= before, "one depends on those before it"
        before.add(variable.name)
    assert used == before


@EACH
def test_every_panel_says_what_it_shows(board: Board) -> None:
    for row in board.rows:
        titles = Counter(panel.title for panel in row.panels)
        assert max(titles.values()) == 1, row.title
    for panel in board.panels:
        assert panel.description.endswith("."), panel.title
        assert panel.queries, panel.title
        assert len(panel.queries) == 1 or all(query.legend for query in panel.queries), panel.title


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_legend_names_labels_that_the_answer_has(where: str, query: Query) -> None:
    names = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    groups = [set(re.split(r",\s*", found)) for found in re.findall(r"\bby \(([^)]*)\)", query.expression)]
    kept = set().union(*groups) - {"le"}
    assert names <= kept or not groups or "node:" in query.expression, where


@EACH
def test_the_file_of_a_board_is_what_the_board_gives(board: Board) -> None:
    """Where this fails: python -m dashboards."""
    assert (FOLDER / f"{board.name}.json").read_text() == grafana.render(board)


def test_every_file_has_its_board() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{board.name}.json" for board in BOARDS}
    names = {"fleet", "node", "accelerator", "detector", "camera", "tuner", "operator"}
    assert {board.name for board in BOARDS} == names


@EACH
def test_panels_lie_side_by_side_within_the_page(board: Board) -> None:
    panels = json.loads(grafana.render(board))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@EACH
def test_whoever_has_it_may_choose_the_data_source_and_not_edit_it(board: Board) -> None:
    document = json.loads(grafana.render(board))
    assert document["editable"] is False
    assert document["uid"] == f"edgedetector-{board.name}"
    assert document["templating"]["list"][0]["type"] == "datasource"
    for panel in document["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    variables = [Variable(one["name"], one.get("label", ""), "") for one in document["templating"]["list"][1:]]
    assert [one.name for one in variables] == [one.name for one in board.variables]


def test_what_grafana_fills_in_is_filled_in() -> None:
    choice = Choice("1m", {"namespace": "demo"})
    text = 'rate(a{namespace=~"$namespace",camera=~"$camera"}[$__rate_interval])'
    assert choice.expression(text) == 'rate(a{namespace=~"demo",camera=~".*"}[1m])'
