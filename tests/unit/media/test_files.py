"""What is written is private and whole; changes settle before they count."""

import os
import stat
from pathlib import Path

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.api.wire import to_json
from edgedetector.go2rtc.render import Credential
from edgedetector.media.files import (
    private_key,
    read_inputs,
    remove_other_credentials,
    write_credentials,
    write_private,
)
from edgedetector.media.process import Go2rtc
from edgedetector.media.supervisor import RESTART_INTERVAL_SECONDS, SETTLE_LIMIT_SECONDS, Paths, Supervisor

from .conftest import free_port


def test_files_are_for_their_owner_only_and_leave_no_draft(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        write_credentials(tmp_path / "credentials", [Credential("a", "1"), Credential("b", "2")])
        write_private(tmp_path / "credentials/a", "3")
    finally:
        os.umask(umask)
    found = {path.name: path.read_text() for path in (tmp_path / "credentials").iterdir()}
    assert found == {"a": "3", "b": "2"}
    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "credentials").iterdir()} == {0o600}
    remove_other_credentials(tmp_path / "credentials", [Credential("b", "2")])
    assert [path.name for path in (tmp_path / "credentials").iterdir()] == ["b"]


def test_the_key_is_made_once(tmp_path: Path) -> None:
    key = private_key(tmp_path / "key")
    assert len(key) == 32
    assert private_key(tmp_path / "key") == key
    assert private_key(tmp_path / "other") != key


def test_secrets_are_read_as_the_kubelet_mounts_them(tmp_path: Path) -> None:
    volume = tmp_path / "secrets/gate"
    (volume / "..2026_11_22").mkdir(parents=True)
    (volume / "..2026_11_22/username").write_bytes(b"admin\xff")
    (volume / "..data").symlink_to("..2026_11_22")
    (volume / "username").symlink_to("..data/username")
    (tmp_path / "secrets/missing").mkdir()
    (tmp_path / "media.json").write_text("{}")
    inputs = read_inputs(tmp_path / "media.json", tmp_path / "secrets")
    assert inputs.secret_values() == {"gate": {"username": b"admin\xff"}, "missing": {}}
    assert read_inputs(tmp_path / "media.json", tmp_path / "none").secret_values() == {}


class Site:
    """A config container with nothing to restart, and a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        paths = Paths(root / "media.json", root / "secrets", root / "go2rtc.yaml", root / "credentials", root / "key")
        self.supervisor = Supervisor(paths, Go2rtc(port=free_port()), lambda: self.now)

    def ask_for(self, *streams: str) -> None:
        cameras = tuple(MediaCamera(stream, url="rtsp://cam/x") for stream in streams)
        (self.root / "media.json").write_text(to_json(MediaConfig(1, cameras)))

    def step(self, now: float) -> list[str]:
        self.now = now
        self.supervisor.step()
        return [item.stream for item in self.supervisor.state.streams]


def test_nothing_is_served_before_there_is_a_document(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.step(0.0)
    assert not site.supervisor.rendered
    site.ask_for("s0")
    assert site.step(0.5) == ["s0"]
    assert site.supervisor.rendered
    assert not site.supervisor.state.ready


def test_a_change_counts_once_two_passes_agree(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.ask_for("s0")
    assert site.step(0.0) == ["s0"]
    site.ask_for("s0", "s1")
    assert site.step(0.5) == ["s0"]
    site.ask_for("s0", "s1", "s2")
    assert site.step(1.0) == ["s0"]
    assert site.step(1.5) == ["s0", "s1", "s2"]


def test_a_document_that_never_rests_counts_after_a_while(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.ask_for("s0")
    site.step(0.0)
    seen = []
    for number in range(1, int(SETTLE_LIMIT_SECONDS / 0.5) + 2):
        site.ask_for(f"s{number}")
        seen.append((number * 0.5, site.step(number * 0.5)))
    changed = [now for now, streams in seen if streams != ["s0"]]
    assert changed == [0.5 + SETTLE_LIMIT_SECONDS]


def test_a_change_that_is_taken_back_is_no_change(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.ask_for("s0")
    site.step(0.0)
    written = (tmp_path / "go2rtc.yaml").stat().st_mtime_ns
    site.ask_for("s1")
    site.step(0.5)
    site.ask_for("s0")
    assert site.step(1.0) == ["s0"]
    assert site.step(RESTART_INTERVAL_SECONDS) == ["s0"]
    assert (tmp_path / "go2rtc.yaml").stat().st_mtime_ns == written
