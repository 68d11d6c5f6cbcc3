"""The machine's registry settings become build secrets, and a machine without any has none."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from images import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without pip and apt settings of its own."""
    monkeypatch.setattr(machine, "PIP_CONFIGS", ())
    monkeypatch.setattr(machine, "apt_settings", lambda: "")


def test_nothing_is_set_nothing_is_passed() -> None:
    assert machine.secrets({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x"}) == {}


def test_an_index_serves_pip_and_uv_and_survives_the_shell() -> None:
    url = "https://user:p'a$s@index.example/simple"
    found = machine.secrets({"PIP_INDEX_URL": url, "no_proxy": "a,b", "GITHUB_TOKEN": "x"})
    assert set(found) == {"registry"}
    script = found["registry"] + b'printf "%s\\n" "$PIP_INDEX_URL" "$UV_DEFAULT_INDEX" "$no_proxy" "$GITHUB_TOKEN"'
    shown = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [url, url, "a,b", ""]


def test_pip_configuration_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = https://index.example/100%25\ncert = {bundle}\n")
    monkeypatch.setattr(machine, "PIP_CONFIGS", (str(config),))
    found = machine.secrets({})
    assert found["ca"] == b"certificates"
    assert b"https://index.example/100%25" in found["registry"]


def test_a_mirror_replaces_the_public_sources() -> None:
    assert "sources" not in machine.secrets({})
    found = machine.secrets({"EDGEDETECTOR_DEBIAN_MIRROR": "http://mirror.example/debian"})
    assert found["sources"] == b"deb http://mirror.example/debian bookworm main\n"
