"""What the documentation says to type is there: targets, commands, flags and files; and what needs no cluster works."""

from __future__ import annotations

import re
import tomllib

import click
import pytest
from click.testing import CliRunner
from tests.unit.docs.blocks import ROOT, Command, commands, pages, parsed

from edgedetector.cli.commands import main

ALL = [command for page in pages() for command in commands(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name != "build")
KNOWN = {
    *("apt-get", "cd", "curl", "eval", "export", "git", "grep", "helm", "kubectl", "make", "pip", "python3", "skopeo"),
    *tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"],
}
"""Programs that people have, or that the page says how to get."""
HERE = {
    ("kubectl", "edgedetector", "diagnose"),
    ("kubectl", "edgedetector", "size"),
    ("kubectl", "edgedetector", "completion"),
}
"""Commands that need no cluster, given files or figures."""
MISSING: set[str] = {"edgedetector.yaml", "before.yaml"}
"""Files that the reader makes."""


def of(program: str) -> list[Command]:
    return [command for command in ALL if command.words[0] == program]


def ours() -> list[Command]:
    return [command for command in of("kubectl") if "edgedetector" in command.words[1:2]]


def test_a_shell_s_text_is_read_as_commands() -> None:
    text = "A=1 make demo # first\nkubectl get x \\\n  -o yaml > a.yaml && make down | cat\n\nexport B=$(x)\n"

    assert list(parsed(text)) == [
        ("make", "demo"),
        ("kubectl", "get", "x", "-o", "yaml"),
        ("make", "down"),
        ("cat",),
        ("export", "B=$(x)"),
    ]


def test_there_are_commands_to_look_at() -> None:
    assert len(ALL) >= 60
    assert len(of("make")) >= 4
    assert len(ours()) >= 15
    assert {"docs/quick-start.md", "docs/quick-start.zh.md"} <= {
        str(command.page.relative_to(ROOT)) for command in ours()
    }


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_program_is_known_or_ours(command: Command) -> None:
    program = command.words[0]

    assert program in KNOWN or (ROOT / program).is_file(), "a typing error, or a program that nobody said how to get"


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_a_target_exists(command: Command) -> None:
    named = [word for word in command.words[1:] if not word.startswith("-") and "=" not in word]

    assert set(named) <= TARGETS


@pytest.mark.parametrize("command", [*of("eval"), *of("export")], ids=str)
def test_a_target_whose_answer_is_used_exists(command: Command) -> None:
    assert set(re.findall(r"\$\(make (?:-s|--silent) (\S+)\)", " ".join(command.words))) <= TARGETS


@pytest.mark.parametrize("command", ours(), ids=str)
def test_a_command_of_ours_has_its_flags(command: Command) -> None:
    """By click itself: it parses the words and would say which it does not know. Nothing is run."""
    name, *rest = command.words[2:]
    found = main.commands[name]
    with click.Context(main) as parent:
        found.make_context(name, list(rest), parent=parent)


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_file_exists(command: Command) -> None:
    for word in command.words[1:]:
        path = word.rpartition("=")[2] if word.startswith("--") or "=" in word else word
        if path.startswith(FOLDERS) and "*" not in path and not path.startswith("build/"):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", [one for one in ALL if "images/build.py" in one.words], ids=str)
def test_an_image_can_be_built(command: Command) -> None:
    stages = set(re.findall(r"^FROM .* AS ([a-z0-9-]+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))

    wanted = {word for word in command.words[2:] if not word.startswith("-")}
    assert wanted <= {stage.removesuffix("-test") for stage in stages if stage.endswith("-test")}


@pytest.mark.parametrize("command", [one for one in of("helm") if "charts/edgedetector" in one.words], ids=str)
def test_a_value_of_the_chart_exists(command: Command) -> None:
    words = " ".join(command.words)
    values = (ROOT / "docs/install.md").read_text()
    for name in re.findall(r"--set ([A-Za-z.]+)=", words):
        parent = name.rpartition(".")[0] if name.startswith("monitoring.labels.") else name
        assert f"| `{parent}` |" in values, name


def runnable(command: Command) -> bool:
    files = {"-f", "--filename", "--cameras"} & set(command.words)
    return command.words[:3] in HERE and (bool(files) or command.words[2] == "completion")


RUN = [command for command in ours() if runnable(command) and not MISSING & set(command.words)]


@pytest.mark.parametrize("command", RUN, ids=str)
def test_what_needs_no_cluster_works(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    result = CliRunner().invoke(main, command.words[2:], catch_exceptions=False)

    assert result.exit_code == 0, result.output


def test_some_are_run() -> None:
    assert len(RUN) >= 6


@pytest.mark.parametrize("page", ["docs/sizing.md"])
def test_what_a_page_shows_is_what_is_printed(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    first = next(command for command in commands(ROOT / page) if runnable(command))

    output = CliRunner().invoke(main, first.words[2:], catch_exceptions=False).output

    shown = (ROOT / page).read_text()
    assert "\n".join(line.rstrip() for line in output.splitlines()) in shown
