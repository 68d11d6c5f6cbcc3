"""Secrets that change while we run, and who may see pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedetector.detector.outputs.secretfiles import MissingSecretError, SecretFile, address, allowed


def test_without_a_token_everything_stays_on_loopback() -> None:
    assert address(None) == "127.0.0.1"
    assert allowed(None, None, "127.0.0.1")
    assert not allowed(None, None, "10.0.0.7")
    assert not allowed("Bearer anything", None, "10.0.0.7")


def test_with_a_token_only_those_who_have_the_present_one_are_let_in(tmp_path: Path) -> None:
    token = SecretFile(tmp_path / "token")
    assert address(token) == ""
    (tmp_path / "token").write_text("first\n")
    assert allowed("Bearer first", token)
    assert allowed("bearer first", token)
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer firs",
        "Bearer first2",
        "Basic first",
        "first",
        "Bearer \udcff",
    ):
        assert not allowed(wrong, token)
    (tmp_path / "token").write_text("second")
    assert not allowed("Bearer first", token)
    assert allowed("Bearer second", token)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two\nlines", b"\xff\xfe"])
def test_a_token_that_cannot_be_read_lets_nobody_in(tmp_path: Path, content: bytes | None) -> None:
    token = SecretFile(tmp_path / "token")
    if content is not None:
        token.path.write_bytes(content)
    with pytest.raises(MissingSecretError, match="token"):
        token.read()
    for given in (None, "", "Bearer ", "Bearer two", "Bearer two\nlines"):
        assert not allowed(given, token)
