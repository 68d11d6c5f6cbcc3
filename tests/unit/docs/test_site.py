"""What makes a site of Markdown that git hosts show: navigation, and links that leave docs/. Sphinx is not run.

`make site`, a stage of `make test`, builds it and fails at any warning.
"""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
from tests.unit.docs.blocks import DOCS, ROOT


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conf", DOCS / "site" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_page_of_the_index_is_in_the_navigation_below_its_heading(conf: ModuleType) -> None:
    text = conf.navigation((DOCS / "index.md").read_text())

    trees = re.findall(r"```{toctree}\n:hidden:\n:caption: ([^\n]+)\n\n(.*?)\n```", text, re.DOTALL)
    pages = [page for _, body in trees for page in body.splitlines()]
    assert [caption for caption, _ in trees] == re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {page for page in pages if "/" not in page} == {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert len(set(pages)) == len(pages), "a page that stands in two places has two ways back"


def test_a_link_out_of_docs_leads_to_the_git_host_if_there_is_one(
    conf: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "see [it](../Makefile), [the chart](../charts/edgedetector), [gone](gone.md), ![x](y.jpg)"

    assert conf.leaving(text, DOCS / "index.md") == (
        "see it (`Makefile`), the chart (`charts/edgedetector`), [gone](gone.md), ![x](y.jpg)"
    )
    monkeypatch.setattr(conf, "source_address", "https://git.example.com/blob/main")
    assert "[it](https://git.example.com/blob/main/Makefile)" in conf.leaving(text, DOCS / "index.md")


def test_what_writes_the_site_is_in_no_image_and_no_test() -> None:
    text = (ROOT / "uv.lock").read_text()

    assert 'name = "sphinx"' in text
    with pytest.raises(ImportError):
        importlib.import_module("sphinx")
