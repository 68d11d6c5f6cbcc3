"""A bundle holds every image of its archives, and each layer once."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from typing import TYPE_CHECKING

from images import bundle

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_shared_layers_lie_once_and_manifests_add_up(tmp_path: Path) -> None:
    archives = []
    for name in ("one", "two"):
        entry = {"Config": f"{name}.json", "RepoTags": [f"edgedetector/{name}:1"], "Layers": ["base/layer.tar"]}
        index = {"schemaVersion": 2, "manifests": [{"digest": name}]}
        files = {"base/layer.tar": b"shared", f"{name}.json": name.encode(), "repositories": b"{}"}
        files |= {"manifest.json": json.dumps([entry]).encode(), "index.json": json.dumps(index).encode()}
        archives.append(write(tmp_path / f"{name}.tar", files))
    target = tmp_path / "bundle.tar"
    bundle.merge(archives, target)
    with tarfile.open(target) as merged:
        contents = {member.name: merged.extractfile(member).read() for member in merged}  # type: ignore[union-attr]
        names = Counter(member.name for member in merged)
    assert names == Counter(["base/layer.tar", "one.json", "two.json", "manifest.json", "index.json"])
    assert contents["base/layer.tar"] == b"shared"
    assert [entry["Config"] for entry in json.loads(contents["manifest.json"])] == ["one.json", "two.json"]
    assert json.loads(contents["index.json"]) == {
        "schemaVersion": 2,
        "manifests": [{"digest": "one"}, {"digest": "two"}],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar", "one.tar", "two.tar"]
