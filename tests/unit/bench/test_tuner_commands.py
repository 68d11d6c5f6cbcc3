"""Commands of `python -m bench.tuner`: each takes its own options only, and every document quotes one that there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from bench.tuner import interrupted, reconfigurations, simulated
from bench.tuner.__main__ import VERSIONS, main, parser
from bench.tuner.changing import VERSIONS as SERVERS

ROOT = Path(__file__).parents[3]
COMMAND = re.compile(r'(?:python -m bench\.tuner |ARGUMENTS="?)([a-z][^`"\n]*)')
OLD = re.compile(r'(?:bench\.tuner |ARGUMENTS="?)--')
TOLD = {"[CASE ...]": "ks20-x1", "interrupted N": "interrupted 7"}


def texts() -> list[Path]:
    written = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/tuner/**/*.py"), *ROOT.glob("tests/unit/judge/*.py")]
    return [ROOT / "Makefile", ROOT / "README.md", *written]


def quoted() -> list[str]:
    """What follows `python -m bench.tuner`, or is in its place in ARGUMENTS, wherever it is quoted."""
    return sorted({found for text in texts() for found in COMMAND.findall(text.read_text())})


@pytest.mark.parametrize("words", quoted())
def test_what_is_quoted_can_be_run(words: str) -> None:
    for told, meant in TOLD.items():
        words = words.replace(told, meant)
    assert callable(parser().parse_args(shlex.split(words)).run)


def test_commands_are_quoted_at_all_and_options_in_front_are_history() -> None:
    assert {words.split()[0] for words in quoted()} >= {
        "simulate",
        "live",
        "real",
        "rivals",
        "reconfigure",
        "interrupted",
    }
    assert [text.name for text in texts() if OLD.search(text.read_text()) and text.parent.name != "results"] == []


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--servers 5",
        "--real",
        "simulate --real",
        "simulate --seconds 3",
        "real --servers 5",
        "live --held-out",
        "rivals --no-sweep",
        "reconfigure many",
        "reconfigure 5 --triton 22.01",
        "interrupted 5 --family links",
    ],
)
def test_what_excludes_each_other_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code == 2
    assert "usage: python -m bench.tuner" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "words", "asked"),
    [
        (interrupted, "interrupted 3 --seed 5", ((3, 5, 1), {})),
        (
            simulated,
            "simulate --servers 2 --held-out --after 60",
            (
                (2, 0),
                {"family": None, "held_out": True, "liars": 70, "after": 60.0, "processes": 1},
            ),
        ),
        (
            reconfigurations,
            "reconfigure 9 --triton 23.07 --rest 0.7",
            ((["23.07"], 9), {"backend": "native", "seed": 0, "cameras": 8, "rest": 0.7}),
        ),
    ],
)
def test_a_command_asks_for_what_was_told_and_ends_with_its_code(
    module: Any, words: str, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def told(*arguments: Any, **named: Any) -> int:
        calls.append((arguments, named))
        return 7

    monkeypatch.setattr(module, "main", told)
    assert main(shlex.split(words)) == 7
    assert calls == [asked]


def test_the_servers_that_may_be_named_are_those_that_there_are() -> None:
    assert set(VERSIONS) == set(SERVERS)
