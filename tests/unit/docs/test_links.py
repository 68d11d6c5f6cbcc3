"""Links within the repository lead somewhere: to a file that is there and a heading that it has. All pages are listed.

`make site` proves the same of docs/ with Sphinx; this is faster, and knows files outside docs/ as well.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tests.unit.docs.blocks import DOCS, ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BY_PATH = {"ids": lambda path: str(path.relative_to(ROOT))}
_CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """Return the anchor that git hosts give to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return frozenset(map(slug, headings))


def links(page: Path) -> list[str]:
    return [target for target in _LINK.findall(_CODE.sub("", page.read_text())) if "://" not in target]


def test_a_heading_s_anchor_is_that_of_git_hosts() -> None:
    assert slug("Who requests the device?") == "who-requests-the-device"
    assert slug("`kubectl edgedetector`") == "kubectl-edgedetector"
    assert slug("A directory of the box") == "a-directory-of-the-box"


@pytest.mark.parametrize("page", PAGES, **BY_PATH)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: is not there"
        assert found.is_relative_to(ROOT), f"{target}: leaves the repository"
        if anchor:
            assert anchor in anchors(found), f"{target}: has no such heading, but {sorted(anchors(found))}"


def test_links_are_found() -> None:
    assert sum(len(links(page)) for page in PAGES) > 200


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_relative_to(DOCS):
            continue
        reached.add(page)
        waiting += [
            (page.parent / target.partition("#")[0]).resolve()
            for target in links(page)
            if target.partition("#")[0].endswith(".md")
        ]
    assert {str(page.relative_to(DOCS)) for page in set(DOCS.rglob("*.md")) - reached} == set()


def test_the_index_lists_every_page_of_its_folder_and_every_folder() -> None:
    listed = set(links(DOCS / "index.md"))

    here = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    folders = {f"{page.parent.name}/README.md" for page in DOCS.glob("*/*.md")}
    assert here | folders <= listed


@pytest.mark.parametrize("folder", ["adr", "codes", "results", "runbooks", "reference"])
def test_a_folder_s_list_has_all_its_pages(folder: str) -> None:
    listed = set(links(DOCS / folder / "README.md"))

    assert {page.name for page in (DOCS / folder).glob("*.md")} - {"README.md"} <= listed
