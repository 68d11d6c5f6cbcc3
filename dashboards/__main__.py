"""Write the dashboards that the chart ships: `python -m dashboards`."""

from __future__ import annotations

from pathlib import Path

from dashboards import BOARDS
from dashboards.grafana import render

FOLDER = Path(__file__).parents[1] / "charts" / "edgedetector" / "dashboards"


def main() -> None:
    """Write them, and remove what is none of them."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(render(board))


if __name__ == "__main__":
    main()
