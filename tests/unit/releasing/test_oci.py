"""An image's layout is what a registry takes, with the bytes of the image."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from releasing import oci
from releasing.tree import ReleaseError

LAYERS = [b"the base" * 100, b"what stands on it"]


def sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def save(path: Path, layers: list[bytes], *, said: list[str] | None = None, images: int = 1) -> Path:
    """Write an archive as `docker save` does."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": said or [sha(one) for one in layers]}}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    entry = {"Config": "config.json", "Layers": names, "RepoTags": ["edgedetector/operator:x"]}
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps([entry] * images).encode()}
    files |= dict(zip(names, layers, strict=True))
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def follow(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """Return the blob that is described, whose size and digest are as they are said to be."""
    content = files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
    assert (sha(content), len(content)) == (descriptor["digest"], descriptor["size"])
    return content


def test_every_blob_is_reached_from_the_digest_that_is_told(tmp_path: Path) -> None:
    layout = oci.convert(save(tmp_path / "saved.tar", LAYERS), "0.1.0", tmp_path / "out.tar", tmp_path, 0)
    files = read(tmp_path / "out.tar")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["digest"] == layout.digest
    assert top["annotations"] == {oci.REFERENCE: "0.1.0"}
    (described,) = json.loads(follow(files, top))["manifests"]
    assert described["platform"] == {"os": "linux", "architecture": "amd64"}
    assert layout.platform == "linux/amd64"
    manifest = json.loads(follow(files, described))
    assert [gzip.decompress(follow(files, layer)) for layer in manifest["layers"]] == LAYERS
    assert json.loads(follow(files, manifest["config"]))["rootfs"]["diff_ids"] == [sha(one) for one in LAYERS]
    assert len(files) == 2 + 2 + 1 + len(LAYERS), "no blob that nobody names"


def test_the_same_image_is_the_same_layout_whether_or_not_its_layers_are_known(tmp_path: Path) -> None:
    saved = save(tmp_path / "saved.tar", LAYERS)
    for name in ("first", "second", "third"):
        folder = tmp_path / ("kept" if name != "third" else "new")
        folder.mkdir(exist_ok=True)
        oci.convert(saved, "0.1.0", tmp_path / f"{name}.tar", folder, 0)
    assert len({(tmp_path / f"{name}.tar").read_bytes() for name in ("first", "second", "third")}) == 1


def test_a_layer_that_is_not_what_the_image_says_is_refused(tmp_path: Path) -> None:
    saved = save(tmp_path / "saved.tar", LAYERS, said=[sha(LAYERS[0]), sha(b"another")])
    with pytest.raises(ReleaseError, match=r"1/layer\.tar"):
        oci.convert(saved, "0.1.0", tmp_path / "out.tar", tmp_path, 0)


def test_an_archive_of_two_images_is_refused(tmp_path: Path) -> None:
    saved = save(tmp_path / "saved.tar", LAYERS, images=2)
    with pytest.raises(ReleaseError, match="2 images"):
        oci.convert(saved, "0.1.0", tmp_path / "out.tar", tmp_path, 0)
