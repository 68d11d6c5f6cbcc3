"""Archives that depend on nothing but what is in them, and the list of their sums."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

SUMS: Final = "SHA256SUMS"


def pack(
    target: Path, files: Mapping[str, Path | bytes], epoch: int, *, programs: frozenset[str] = frozenset()
) -> None:
    """Write a tar of `files` (name in it -> where it is, or what it says), compressed if `target` ends with `.gz`.

    Owner, time, order and modes are the same whoever packs; `programs` may be run.
    """
    with target.open("wb") as raw:
        if target.suffix != ".gz":
            _write(raw, files, epoch, programs)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=epoch) as packed:
            _write(packed, files, epoch, programs)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(folder: Path) -> Path:
    """Write `SHA256SUMS` over all files below `folder`, as `sha256sum --check` reads it."""
    target = folder / SUMS
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != target)
    target.write_text("".join(f"{digest(path)}  {path.relative_to(folder)}\n" for path in files))
    return target


def _write(
    stream: BinaryIO | gzip.GzipFile, files: Mapping[str, Path | bytes], epoch: int, programs: frozenset[str]
) -> None:
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mtime = epoch
            member.mode = 0o755 if name in programs else 0o644
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.size = content.stat().st_size
                with content.open("rb") as source:
                    archive.addfile(member, source)
