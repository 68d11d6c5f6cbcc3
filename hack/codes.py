"""Writes the heads of docs/codes/ from the registry; what people wrote below `## Cause` stays as it is."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from string import Formatter
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "operator"))

from edgedetector.cli.codes import CODES, Code, Scope  # noqa: E402

MARK: Final = "\n## Cause\n"
BODY: Final = f"{MARK}\nTODO\n\n## What helps\n\nTODO\n"
LIST: Final = """# Codes of `kubectl edgedetector diagnose`

Each finding has a code, evidence, a remedy, and one of these pages. Codes are never used again for something else; of
those that are retired the page stays and says so. This list and the heads of the pages are written by
`python hack/codes.py`.

{scopes}.

| code | severity | looks at | title |
| --- | --- | --- | --- |
"""


def placeholders(text: str) -> str:
    """Return a text whose fields are names in capitals, as usage texts have them."""
    parts = Formatter().parse(text)
    return "".join(literal + (name.upper() if name else "") for literal, name, _, _ in parts)


def head(code: Code) -> str:
    """Return the part of a page that the registry says."""
    return (
        f"# {code.id}: {code.title}\n\n"
        f"severity: {code.severity} · looks at: {code.scope}\n\n"
        f"**Seen:** {placeholders(code.evidence)}\n\n"
        f"**Remedy:** {placeholders(code.remedy)}\n"
    )


def scopes() -> str:
    """Return a sentence of how many codes look at what."""
    counts = Counter(code.scope for code in CODES)
    return (
        f"{len(CODES)} codes. {counts[Scope.SPECIFICATION]} look at the specification alone, in a file before it is"
        f" applied too; {counts[Scope.DETECTOR]} at an\nEdgeDetector that is applied, and {counts[Scope.CLUSTER]} at"
        " its cluster"
    )


def main() -> None:
    """Write all pages and their list."""
    for code in CODES:
        page = ROOT / code.page
        _, mark, body = page.read_text().partition(MARK) if page.exists() else ("", "", "")
        page.write_text(head(code) + (mark + body if mark else BODY))
    rows = (f"| [{code.id}]({code.id}.md) | {code.severity} | {code.scope} | {code.title} |\n" for code in CODES)
    (ROOT / "docs/codes/README.md").write_text(LIST.format(scopes=scopes()) + "".join(rows))


if __name__ == "__main__":
    main()
