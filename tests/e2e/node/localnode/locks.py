"""Locks between processes, released by the kernel when their holder dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from . import paths, progress


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name`; waits for the present holder, and says so."""
    folder = paths.cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"waiting for another process that holds the lock '{name}'")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
