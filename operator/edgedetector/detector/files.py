"""What can be wrong with a model's files, and reading them with their digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from edgedetector.api import conditions

CHUNK: Final = 1 << 20
"""Bytes read at once: enough for a disk's full speed, little beside the interpreter itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a model from being loaded."""

    reason: str
    """One of `conditions.MODEL_FILE_REASONS`; empty while nothing is wrong but the file is not there yet."""
    message: str
    """One line that follows "model NAME: "; it holds no figure that changes at rest, and of a URL only the host."""


class ModelFileError(Exception):
    """A model's file cannot be used."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message)


def too_large(size: int, limit: int) -> Problem:
    """Return the problem of `size` bytes above `limit`."""
    return Problem(
        conditions.REASON_MODEL_TOO_LARGE,
        f"its files have {size / 1e6:.1f} MB, and the accelerator takes at most {limit / 1e6:.1f} MB",
    )


class Source(Protocol):
    """Where bytes come from; none: the end."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take all of them."""


def copy(source: Source, sink: Sink, limit: int | None = None) -> str:
    """Copy until the end and return the SHA-256 digest of what was copied.

    Raises
    ------
    ModelFileError
        As soon as there is more than `limit` bytes; no more than those are written.
    """
    digest, left = hashlib.sha256(), limit
    while chunk := source.read(CHUNK if left is None else min(CHUNK, left + 1)):
        if left is not None and len(chunk) > left:
            raise ModelFileError(
                conditions.REASON_MODEL_TOO_LARGE, f"its file is larger than {(limit or 0) / 1e6:.1f} MB, the limit"
            )
        left = None if left is None else left - len(chunk)
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest()


class Digests:
    """SHA-256 digests of files, each computed once until the file changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def of(self, path: Path) -> str:
        """Return a file's digest in hexadecimal digits, empty if there is no such file."""
        signature = signature_of(path)
        if signature is None:
            self._known.pop(path, None)
            return ""
        known = self._known.get(path)
        if known is None or known[0] != signature:
            with path.open("rb") as file:
                known = (signature, hashlib.file_digest(file, "sha256").hexdigest())
            self._known[path] = known
        return known[1]


def signature_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is written or replaced; None if there is no regular file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def write_durably(path: Path, partial: Path, fill: Callable[[BinaryIO], None]) -> None:
    """Write a file that is whole or absent, after a loss of power too.

    `partial` lies in the same file system and is left behind by a process that is killed; a rerun starts it anew.
    """
    try:
        with partial.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
