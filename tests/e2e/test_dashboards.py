"""Every query of every dashboard, on the cluster's real Prometheus with live data, gives series."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
from collections.abc import Iterator

import pytest
from dashboards import BOARDS
from dashboards.asking import Choice
from dashboards.model import Board, Query, Variable

import demo as demo_driver
from forward import get
from harness import Kubectl, poll
from prometheus import Prometheus, prometheus
from test_denglin_ks20 import ks20

__all__ = ["ks20"]  # the fixture: an accelerator whose exporter tells something

CHOICE = Choice(rate="1m")  # Prometheus scrapes every ten seconds here
SECONDS = 420.0  # objectives are recorded every 30 s, over what was scraped in two minutes
EACH = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
NODE_EXPORTER = "node_"  # whose series only a cluster with a node-exporter has


@pytest.fixture(scope="module")
def live(demo: Kubectl, ks20: Kubectl) -> Iterator[Prometheus]:
    """Prometheus beside the demo and an accelerator. A wide scope: series of a new pod take a minute to be there."""
    with prometheus() as server:
        poll(
            "both detectors are scraped",
            lambda: {one["metric"].get("edgedetector") for one in server.query('up{endpoint="detector"} == 1')},
            lambda found: {demo_driver.DETECTOR, "ks20"} <= found,
            SECONDS,
        )
        yield server


def queries(board: Board) -> Iterator[tuple[str, Query]]:
    for panel in board.panels:
        for query in panel.queries:
            yield f"{panel.title}: {query.expression}", query


def expected(board: Board, server: Prometheus) -> dict[str, Query]:
    """Queries that have to give series here."""
    exported = bool(server.query("node_cpu_seconds_total"))
    found = {name: query for name, query in queries(board) if not query.sparse}
    left_out = [name for name, query in found.items() if NODE_EXPORTER in query.expression.split("{")[0]]
    if left_out and not exported:
        print(f"no node-exporter here, hence not asked: {left_out}")
        found = {name: query for name, query in found.items() if name not in left_out}
    return found


@EACH
def test_every_query_gives_series(board: Board, live: Prometheus) -> None:
    wanted = expected(board, live)
    assert wanted

    def empty() -> list[str]:
        return [name for name, query in wanted.items() if not live.query(CHOICE.expression(query.expression))]

    poll(f"series for {board.name}", empty, lambda names: not names, SECONDS, every=5)


@EACH
def test_no_query_is_refused_also_where_it_may_give_nothing(board: Board, live: Prometheus) -> None:
    refused = {}
    for name, query in queries(board):
        try:
            live.query(CHOICE.expression(query.expression))
        except urllib.error.HTTPError as error:
            refused[name] = error.read().decode()
    assert refused == {}


@EACH
def test_there_is_something_to_choose_from(board: Board, live: Prometheus) -> None:
    def values(variable: Variable) -> list[str]:
        match = urllib.parse.quote(CHOICE.expression(variable.metric))
        return list(json.loads(get(f"{live.base}/api/v1/label/{variable.name}/values?match[]={match}"))["data"])

    for variable in board.variables:
        poll(f"values of {variable.name}", lambda variable=variable: values(variable), bool, SECONDS)


def test_what_is_chosen_is_all_that_is_shown(live: Prometheus) -> None:
    chosen = Choice(rate="1m", values={"namespace": "ks20", "edgedetector": "ks20"})
    board = next(board for board in BOARDS if board.name == "detector")
    for _, query in queries(board):
        for series in live.query(chosen.expression(query.expression)):
            assert series["metric"].get("edgedetector", "ks20") == "ks20", query.expression


def test_grafanas_sidecar_would_find_them(operator: Kubectl) -> None:
    found = operator.items("configmaps", "-l", "grafana_dashboard=1")
    names = {name for obj in found for name in obj["data"]}
    assert names == {f"edgedetector-{board.name}.json" for board in BOARDS}
