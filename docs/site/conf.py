"""Sphinx: the site of the Markdown in docs/, which a git host shows as it is. `make site` calls it, with -W and -n.

What is said once in Markdown is not said again here: the navigation is the headings and links of docs/index.md, and
that of a folder is its README.md.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = DOCS.parent

project = "EdgeDetector"
copyright = "the EdgeDetector authors, Apache-2.0"  # noqa: A001 - Sphinx calls it so
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["site"]

myst_heading_anchors = 4
"""Depth to which headings can be linked to by their slug, as git hosts make it."""
suppress_warnings = ["myst.header"]  # pages of alerts and results begin where they need to

html_theme = "furo"
html_title = "EdgeDetector"
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

source_address: Final = os.environ.get("SITE_SOURCE", "").rstrip("/")
"""Where a git host shows the repository's files; empty: links that leave docs/ are shown as paths."""

_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)


def toctree(entries: list[str], caption: str = "", *, pattern: bool = False) -> str:
    """Return the directive that puts pages into the navigation without showing them in the text."""
    options = [":hidden:", *([":glob:"] if pattern else []), *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *entries, "```", ""])


def navigation(text: str) -> str:
    """Return docs/index.md with a toctree for each heading, of the pages that are linked below it."""
    parts = _HEADING.split(text)
    found = [parts[0]]
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        pages = [link.removesuffix(".md") for _, link in _LINK.findall(body) if link.endswith(".md")]
        own = [page for page in dict.fromkeys(pages) if not page.startswith("..")]
        found.append(f"## {heading}\n{body.rstrip()}\n{toctree(own, heading) if own else ''}\n")
    return "".join(found)


def leaving(text: str, page: Path) -> str:
    """Return a page whose links to files outside docs/ lead to the git host, or are paths in words."""

    def put(match: re.Match[str]) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match.group(0)
        path = (page.parent / target.partition("#")[0]).resolve()
        if path.is_relative_to(DOCS):
            return match.group(0)  # Sphinx says so if it is not there
        inside = path.relative_to(ROOT).as_posix()
        if source_address:
            return f"[{label}]({source_address}/{inside})"
        return label if inside in label else f"{label} (`{inside}`)"

    return _LINK.sub(put, text)


def source_read(_app: Any, name: str, source: list[str]) -> None:
    """Make of a page for a git host one for the site."""
    page = DOCS / f"{name}.md"
    text = leaving(source[0], page)
    if name == root_doc:
        text = navigation(text)
    elif page.name == "README.md":
        text += toctree(["*"], pattern=True)
    source[0] = text


def setup(app: Any) -> None:
    """Have pages read through us."""
    app.connect("source-read", source_read)
