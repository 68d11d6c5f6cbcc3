"""OCI image archives from files, without an image builder: for static programs that need nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """An image that holds programs only.

    `files` maps a path in the image to the file on this machine; it runs as user 65534 and needs no writable root.
    """

    name: str
    files: Mapping[str, Path]
    entrypoint: tuple[str, ...]


def write(image: Image, archive: Path) -> None:
    """Write the image as an OCI layout in a tar; the same input gives the same bytes."""
    layer = _layer(image.files)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": list(image.entrypoint), "User": "65534:65534", "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    top = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    top["annotations"] = {"io.containerd.image.name": image.name}
    content = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    content["index.json"] = _json({"schemaVersion": 2, "manifests": [top]})
    for blob in (layer, config, manifest):
        content["blobs/sha256/" + hashlib.sha256(blob).hexdigest()] = blob
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    partial.write_bytes(_tar({name: (blob, 0o644) for name, blob in content.items()}))
    partial.rename(archive)


def _layer(files: Mapping[str, Path]) -> bytes:
    return _tar({name.lstrip("/"): (file.read_bytes(), 0o755) for name, file in files.items()})


def _tar(content: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar of regular files (bytes, mode), with nothing in it that changes from one run to the next."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (data, mode) in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
