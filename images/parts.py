"""What an image holds above its base, read from its archive (as `docker save` writes it): no engine is needed.

A part is a Debian package, a Python distribution, a Go module, or a library that somebody else's build brought along.
Every program and library above the base belongs to one of them; one that does not is a part of kind `file`.
"""

from __future__ import annotations

import email
import json
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

STATUS = "var/lib/dpkg/status"
ELF = b"\x7fELF"
DEBIAN = ("bin/", "lib/", "lib64/", "sbin/", "usr/bin/", "usr/lib/", "usr/lib64/", "usr/libexec/", "usr/sbin/")
"""Where Debian's packages, and nothing of ours, put programs."""
LAID_OUT = "opt/tritonserver/"
"""Where the Triton of a wheel is laid out (images/triton-layout)."""
PACKAGES = ("site-packages", "dist-packages")
BUILD_INFO = b"\xff Go buildinf:"
"""Go's debug/buildinfo: 32 bytes with this in front, then version and modules, each after its length as a varint."""
BUILD_INFO_HEADER = 32
MODULES_FRAME = 16
"""Bytes before and after the module lines, which Go's own linker puts there."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One part. `home` is the file or folder in which a library came along, `declared` the licence that it states."""

    kind: str
    name: str
    version: str = ""
    home: str = ""
    declared: tuple[str, ...] = field(default=(), compare=False)


def read(archive: Path) -> frozenset[Part]:
    """Return the parts above the base, which is the archive's first layer."""
    return read_all(archive)[0]


def read_all(archive: Path) -> tuple[frozenset[Part], frozenset[Part]]:
    """Return the parts above the base, and the base's Debian packages."""
    with tarfile.open(archive, "r:") as image:
        manifest = json.load(_open(image, "manifest.json"))
        layers = [_layer(image, name) for name in manifest[0]["Layers"]]
    base, status, found = layers[0][0], {}, set()
    for packages, parts in layers:
        status = packages or status
        found |= parts if (packages, parts) != layers[0] else set()
    debian = {Part("Debian", name, version) for name, version in status.items()}
    below = {part for part in debian if part.name in base}
    return frozenset(found | (debian - below)), frozenset(below)


def debian_packages(status: str) -> dict[str, str]:
    """Return the versions of the installed packages of a dpkg status file."""
    found = {}
    for text in status.split("\n\n"):
        entry = email.message_from_string(text.strip())
        if entry["Status"] == "install ok installed":
            found[entry["Package"]] = entry["Version"]
    return found


def distribution(metadata: str) -> Part:
    """Return a Python distribution from its METADATA; what it declares: expression, licence, classifiers."""
    entry = email.message_from_string(metadata)
    return Part("Python", _normal(entry["Name"]), entry["Version"], declared=tuple(_declared(entry)))


def go_modules(program: bytes) -> set[Part]:
    """Return the modules that Go's linker recorded in `program`; none if it is not made of Go."""
    start = program.find(BUILD_INFO)
    if start < 0:
        return set()
    _, rest = _counted(program[start + BUILD_INFO_HEADER :])
    lines = _counted(rest)[0][MODULES_FRAME:-MODULES_FRAME].decode(errors="replace").splitlines()
    words = [line.split("\t") for line in lines if line.startswith(("mod\t", "dep\t"))]
    return {Part("Go", "std")} | {Part("Go", name, version) for _, name, version, *_ in words}


def library(path: str) -> Part:
    """Return a library from its path; repaired wheels put 8 hexadecimal digits into its name."""
    pure = PurePosixPath(path)
    stem = re.split(r"-[0-9a-f]{8}(?=\.)|\.so", pure.name)[0]
    home = "tritonserver" if path.startswith(LAID_OUT) else pure.parent.name
    return Part("library", stem, home=home)


def _open(archive: tarfile.TarFile, name: str) -> tarfile.ExFileObject:
    stream = archive.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file")
    return stream


def _layer(image: tarfile.TarFile, name: str) -> tuple[dict[str, str], set[Part]]:
    packages: dict[str, str] = {}
    found: set[Part] = set()
    with tarfile.open(fileobj=_open(image, name)) as layer:
        for member in layer:
            path = member.name.removeprefix("./")
            if not member.isfile():
                continue
            if path == STATUS:
                packages = debian_packages(_open_member(layer, member).read().decode())
            elif path.endswith(".dist-info/METADATA"):
                found.add(distribution(_open_member(layer, member).read().decode()))
            elif not path.startswith(DEBIAN):
                found.update(_binary(layer, member, path))
    return packages, found


def _binary(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Iterator[Part]:
    """Yield the parts that a program or a library is; none for any other file, and for a Python package's own."""
    stream = _open_member(layer, member)
    if stream.read(len(ELF)) != ELF:
        return
    home = PurePosixPath(path).parent.name
    if home.endswith(".libs") or path.startswith(LAID_OUT):
        yield library(path)
    elif not any(name in PurePosixPath(path).parts for name in PACKAGES):
        yield from go_modules(ELF + stream.read()) or {Part("file", path)}


def _open_member(layer: tarfile.TarFile, member: tarfile.TarInfo) -> tarfile.ExFileObject:
    stream = layer.extractfile(member)
    if stream is None:
        raise ValueError(f"{member.name} is no file")
    return stream


def _declared(entry: Message) -> Iterator[str]:
    if entry["License-Expression"]:
        yield entry["License-Expression"]
        return
    if entry["License"]:
        yield str(entry["License"]).splitlines()[0].strip()
    for classifier in entry.get_all("Classifier") or ():
        if classifier.startswith("License ::"):
            yield classifier.rpartition(" :: ")[2]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _counted(data: bytes) -> tuple[bytes, bytes]:
    """Return the bytes that a varint counts, and what follows them."""
    used = next((place for place, byte in enumerate(data, start=1) if not byte & 0x80), len(data))
    size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[:used]))
    return data[used : used + size], data[used + size :]
