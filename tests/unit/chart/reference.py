"""The table of the chart's values in docs/install.md, from the comments in values.yaml; run it to write the table."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
VALUES = ROOT / "charts" / "edgedetector" / "values.yaml"
DOCUMENT = ROOT / "docs" / "install.md"
BEGIN, END = "<!-- values: from the comments in values.yaml -->\n", "<!-- values: end -->\n"

# Below these, Kubernetes decides what there is.
WHOLE = frozenset({"resources", "nodeSelector", "tolerations", "labels"})


@dataclass(frozen=True)
class Value:
    """A value that can be set; `name` as `a.b`."""

    name: str
    default: str
    description: str


def values() -> list[Value]:
    """Return all values in the order of the file; a comment holds for the key below it."""
    tree = yaml.safe_load(VALUES.read_text())
    found: list[Value] = []
    comment: list[str] = []
    path: list[str] = []
    for line in VALUES.read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.removeprefix("#").strip())
        elif key := re.match(r"( *)([A-Za-z]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            default = _at(tree, path)
            if not WHOLE & set(path[:-1]) and (path[-1] in WHOLE or not isinstance(default, dict) or not default):
                found.append(Value(".".join(path), json.dumps(default), " ".join(comment)))
            comment = []
        else:
            comment = []
    return found


def written() -> str:
    """Return the document with the table as the values are now."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{value.name}` | `{value.default}` | {_cell(value.description)} |" for value in values()]
    table = "\n".join(["| value | default | what it does |", "| --- | --- | --- |", *rows])
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


def _cell(description: str) -> str:
    text, example, value = description.partition("Example: ")
    return (f"{text}Example: `{value}`" if example else text).replace("|", "\\|").replace("*.", "\\*.")


def _at(tree: Any, path: list[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


if __name__ == "__main__":
    DOCUMENT.write_text(written())
