"""The command, before its page is there: what is wrong with it is told in one line."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tests.unit.cli.worlds import World

from edgedetector.cli.errors import ForbiddenError

Run = Callable[..., Result]


def refused(result: Result, said: str) -> None:
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def test_a_wrong_name_is_told_before_a_page_is_opened(run: Run) -> None:
    refused(run("view", "yrad"), "there is no EdgeDetector yrad in namespace site; there is: yard")


def test_who_may_not_look_is_told_so(world: World, run: Run) -> None:
    world.refused["/apis/edgedetector.dev/v1alpha1/namespaces/site/edgedetectors"] = ForbiddenError("forbidden", "ask")

    refused(run("view", "yard"), "forbidden; ask")


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"two\nlines", b"\xff", "k\u00e9y".encode()])
def test_a_token_file_without_a_token_is_told_without_what_is_in_it(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)

    result = run("view", "yard", "--token-file", str(path))

    refused(result, str(path))
    assert "lines" not in result.output


def test_a_port_that_is_taken_is_told(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        refused(run("view", "yard", "--port", port), f"port {port} cannot be used")
