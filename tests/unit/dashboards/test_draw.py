"""A dashboard is drawn from whatever its queries give, also from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboards import BOARDS, asking, draw
from dashboards.asking import Series
from dashboards.model import Board, Query

TIMES = tuple(1.8e9 + 15 * number for number in range(40))


def two(query: Query) -> list[Series]:
    return [
        Series(asking.legend(query, {"camera": name}), TIMES, tuple(share for _ in TIMES))
        for name, share in (("gate", 0.25), ("dock", 0.5))
    ]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
@pytest.mark.parametrize("ask", [two, lambda _: []], ids=["series", "nothing"])
def test_every_panel_has_its_place_in_the_picture(board: Board, ask: draw.Ask, tmp_path: Path) -> None:
    figure = draw.draw(board, ask)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [panel.title for panel in board.panels]
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
    assert not [one for one in _boxes(figure) if one]
    figure.savefig(tmp_path / "board.png")
    assert (tmp_path / "board.png").stat().st_size > 10_000


def _boxes(figure: draw.Figure) -> list[bool]:
    boxes = [axes.get_position() for axes in figure.axes]
    return [one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]]


def test_what_is_stacked_lies_on_what_came_before() -> None:
    board = next(board for board in BOARDS if board.name == "node")
    figure = draw.draw(board, two)
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Processors by stage")
    assert [line.get_ydata()[0] for line in axes.get_lines()] == [0.25, 0.75]
