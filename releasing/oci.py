"""An image as an OCI layout in a tar (`oci-archive:` of skopeo and podman), from what `docker save` wrote.

A registry takes a layout as it is, so the digest is known before anything is pushed. A layer that several images share
is compressed once.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from releasing import archive
from releasing.tree import ReleaseError

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
REFERENCE: Final = "org.opencontainers.image.ref.name"
_BLOCK: Final = 1 << 20
_GZIP: Final = 31
"""zlib's window bits for a gzip stream; its header then has no name and time 0."""


@dataclass(frozen=True, slots=True)
class Layout:
    """An image that is ready to be pushed. `digest` is that of its index, `platform` as `linux/amd64`."""

    digest: str
    platform: str


def convert(saved: Path, tag: str, target: Path, layers: Path, epoch: int) -> Layout:
    """Write `target` from the archive `saved`.

    Parameters
    ----------
    tag
        What the layout calls the image; the registry's path is given when it is pushed.
    layers
        A folder that keeps compressed layers, for the next image.
    epoch
        Time of the files in the tar, in seconds since 1970. The image's own times stay as they were built.

    Raises
    ------
    ReleaseError
        The archive holds another number of images than one, or a layer is not what the image says.
    """
    blobs: dict[str, Path | bytes] = {}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        name = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{name}"] = content
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}

    with tarfile.open(saved, "r:") as image:
        entries = json.loads(_read(image, "manifest.json"))
        if len(entries) != 1:
            raise ReleaseError(f"{saved.name} holds {len(entries)} images, not one")
        written = _read(image, entries[0]["Config"])
        config = json.loads(written)
        ids = config["rootfs"]["diff_ids"]
        compressed = [
            _layer(image, name, expected, layers) for name, expected in zip(entries[0]["Layers"], ids, strict=True)
        ]
    described = []
    for path in compressed:
        name = archive.digest(path)
        blobs[f"blobs/sha256/{name}"] = path
        described.append({"mediaType": LAYER, "digest": f"sha256:{name}", "size": path.stat().st_size})
    platform = {"architecture": config["architecture"], "os": config["os"]}
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blob(written, CONFIG), "layers": described}
    manifest = blob(_json(body), MANIFEST) | {"platform": platform}
    index = blob(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}), INDEX)
    outer = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [index | {"annotations": {REFERENCE: tag}}]}
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(outer), **blobs}
    archive.pack(target, files, epoch)
    return Layout(index["digest"], f"{platform['os']}/{platform['architecture']}")


def _layer(image: tarfile.TarFile, name: str, expected: str, layers: Path) -> Path:
    """Return the layer, compressed, in `layers`; `expected` is the digest of its tar."""
    target = layers / f"{expected.removeprefix('sha256:')}.tar.gz"
    if target.exists():
        return target
    part, found, packer = target.with_suffix(".part"), hashlib.sha256(), zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    source = image.extractfile(name)
    if source is None:
        raise ReleaseError(f"{name} is no file")
    with part.open("wb") as stream:
        while block := source.read(_BLOCK):
            found.update(block)
            stream.write(packer.compress(block))
        stream.write(packer.flush())
    if f"sha256:{found.hexdigest()}" != expected:
        raise ReleaseError(f"layer {name} is {found.hexdigest()}, but the image says {expected}: build it again")
    return part.replace(target)


def _read(image: tarfile.TarFile, name: str) -> bytes:
    stream = image.extractfile(name)
    if stream is None:
        raise ReleaseError(f"{name} is no file")
    return stream.read()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
