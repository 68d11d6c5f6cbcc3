"""Memory shared with Triton: regions in a tmpfs, whole or not at all, and gone with the process that made them.

A region is a file of its own. Its maker holds an exclusive lock on it (flock), which the kernel drops when the process
ends, however it ends; so a file without a lock is left over, whatever process ids mean on either side of a container.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import mmap
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from edgedetector.triton.errors import SharedMemoryFullError

DIRECTORY: Final = Path("/dev/shm")  # noqa: S108 - where shm_open looks, in Triton too
_PREFIX: Final = "edgedetector-tensors-"
_NAME: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{16}}-\d+")
_NO_ROOM: Final = (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)
_MODE: Final = 0o600


class Region:
    """Memory of a fixed size under a name; `name` is also what Triton knows it by.

    All pages exist from the start: writing to it never raises SIGBUS.
    """

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.name = path.name
        self.size = size
        self._path = path
        self._descriptor = descriptor
        self.memory = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)

    @property
    def key(self) -> str:
        """Return the name for shm_open."""
        return f"/{self.name}"

    def close(self) -> None:
        """Remove the file and let go of the memory; where Triton has it mapped, Triton keeps it.

        Arrays in it that are still held stay valid, and the memory goes with the last of them.
        """
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(BufferError):
            self.memory.close()


class Regions:
    """Makes the regions of one transport in one directory.

    Parameters
    ----------
    directory
        A tmpfs that Triton sees as its /dev/shm.
    token
        16 hexadecimal digits by which its regions differ from all others'.
    """

    def __init__(self, directory: Path = DIRECTORY, token: str = "") -> None:
        self._directory = directory
        self._token = token or secrets.token_hex(8)
        self._numbers = itertools.count()

    def another(self) -> Regions:
        """Return regions in the same directory whose names are not those of these."""
        return Regions(self._directory)

    def create(self, size: int) -> Region:
        """Return a new region of `size` bytes, zeroed.

        Raises
        ------
        SharedMemoryFullError
            If the tmpfs has no room. `ftruncate` alone would succeed, and the first write would end the process.
        """
        # A sweep of another process may take a file in the moment before it is locked: then again, with a new name.
        while True:
            path = self._directory / f"{_PREFIX}{self._token}-{next(self._numbers)}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            try:
                if _locked(descriptor) and _is(descriptor, path):
                    os.posix_fallocate(descriptor, 0, size)
                    return Region(path, descriptor, size)
            except OSError as error:
                _discard(path, descriptor)
                if error.errno in _NO_ROOM:
                    raise _full(self._directory, size) from None
                raise
            os.close(descriptor)

    def sweep(self) -> tuple[str, ...]:
        """Remove the regions that processes have left behind; returns their names. Those of living ones stay."""
        return tuple(path.name for path in _regions(self._directory) if _remove_if_left(path))

    def remove_files(self) -> None:
        """Remove the files of all its regions; who has one mapped, here or in Triton, keeps the memory."""
        for path in _regions(self._directory):
            if self._is_own(path.name):
                path.unlink(missing_ok=True)

    def left(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which names are of regions that other processes have left: they have no file any more."""
        return tuple(
            name
            for name in names
            if _NAME.fullmatch(name) and not self._is_own(name) and not (self._directory / name).exists()
        )

    def _is_own(self, name: str) -> bool:
        return name.startswith(f"{_PREFIX}{self._token}-")


def _regions(directory: Path) -> Iterator[Path]:
    user = os.geteuid()
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _NAME.fullmatch(path.name) and path.lstat().st_uid == user and path.is_file():
                yield path


def _remove_if_left(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not _locked(descriptor):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, path: Path) -> bool:
    """Return whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _discard(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _full(directory: Path, size: int) -> SharedMemoryFullError:
    found = os.statvfs(directory)
    # Not what is free: that changes, and this text ends up in a condition.
    return SharedMemoryFullError(
        f"no room for {_megabytes(size)} in {directory} (No space left on device), which has"
        f" {_megabytes(found.f_blocks * found.f_frsize)} in all; raise triton.sharedMemory of the AcceleratorProfile"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
