"""What the documentation says to type: commands of the blocks ```sh and ```console, as words.

Blocks that are indented, as in lists, count too. Where lines begin with `$ ` the others are output. Redirections and
variables' assignments are left out, and a pipe or `&&` makes two commands of one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(r"^(?P<indent> *)```(?:sh|console)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_ENDS: Final = frozenset({"|", "||", "&&", ";", "&"})
_REDIRECTIONS: Final = frozenset({">", ">>", "<", "2>"})
_ASSIGNMENT: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True)
class Command:
    """One command, and where it stands."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """Return README and all pages but records of what was: decisions and measurements."""
    found = [path for path in DOCS.rglob("*.md") if path.parent.name not in {"adr", "results"}]
    return [ROOT / "README.md", *sorted(found)]


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page."""
    for block in _BLOCK.finditer(page.read_text()):
        yield from (Command(page, words) for words in parsed(block["body"]))


def lines(page: Path) -> Iterator[str]:
    """Yield the lines of a page's blocks as they are typed, without comments that take a whole line."""
    for block in _BLOCK.finditer(page.read_text()):
        yield from (line for line in _typed(block["body"]) if line and not line.startswith("#"))


def _typed(text: str) -> Iterator[str]:
    found = [line.strip() for line in re.sub(r"\\\n\s*", " ", text).splitlines()]
    typed = [line.removeprefix("$ ") for line in found if line.startswith("$ ")]
    yield from typed or found


def parsed(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands of a shell's text, each as its words."""
    for line in _typed(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        skip = False
        for word in [*lexer, ";"]:
            if skip:
                skip = False
            elif word in _REDIRECTIONS:
                skip = True
            elif word in _ENDS:
                if words:
                    yield tuple(words)
                words = []
            elif words or not _ASSIGNMENT.match(word):
                words.append(word)
