"""Documents on a real disk, swapped as the kubelet does."""

from __future__ import annotations

from pathlib import Path

from edgedetector.api.dataplane import ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.documents import Document


def project(volume: Path, name: str, text: str | None) -> None:
    """Make a new version of a ConfigMap volume and swap the link to it, as the kubelet's AtomicWriter."""
    version = volume / f"..{name}"
    version.mkdir(parents=True)
    if text is not None:
        (version / "accepted.json").write_text(text)
    (volume / "..new").symlink_to(version.name)
    (volume / "..new").rename(volume / "..data")
    link = volume / "accepted.json"
    if not link.is_symlink():
        link.symlink_to("..data/accepted.json")


def test_each_version_is_read_and_a_missing_file_is_none(tmp_path: Path) -> None:
    document = Document(tmp_path / "accepted.json", ServingConfig)
    assert document.read() is None
    project(tmp_path, "1", to_json(ServingConfig("one")))
    assert document.read() == ServingConfig("one")
    project(tmp_path, "2", to_json(ServingConfig("two")))
    assert document.read() == ServingConfig("two")
    project(tmp_path, "3", None)
    assert document.read() is None


def test_a_bad_version_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    document = Document(tmp_path / "accepted.json", ServingConfig)
    project(tmp_path, "1", to_json(ServingConfig("one")))
    document.read()
    for number, bad in enumerate(("{", "[]", '{"id": 7}', "")):
        project(tmp_path, f"bad{number}", bad)
        assert document.read() == ServingConfig("one")
    project(tmp_path, "2", to_json(ServingConfig("two")))
    assert document.read() == ServingConfig("two")
