"""Events on disk until their receiver has them, the oldest dropped when there are too many.

SQLite, since a file that is right after kill -9 at any line is what it is for. Its write-ahead log needs no fsync to
survive the death of the process or container: the kernel has the bytes. Nothing is synced for each event, which would
wear out an SD card: SQLite syncs at checkpoints (`synchronous=NORMAL`). A loss of power may therefore cost the events
since the last checkpoint, and bring back some that were delivered; the file stays consistent, and receivers know
repeated ids.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, body BLOB NOT NULL);
"""
_LOG: Final = 1 << 20
"""Bytes to which SQLite shortens its write-ahead log."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much is kept. The file is larger by SQLite's own pages and log, a few percent and at most some MB."""

    events: int = 20_000
    bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event that waits."""

    number: int
    id: str
    body: bytes


class Spool:
    """A queue on disk; first in, first out. For several threads of one process.

    Raises
    ------
    OSError
        From any method, if the disk is full or does not answer; nothing was changed then.
    """

    def __init__(self, path: Path, bound: Bound) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._used = (0, 0)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise OSError(f"the spool cannot be opened: {error}") from None
            # What cannot be read is not worth detecting nothing for; kept aside for whoever wants to look.
            log.error("the spool is damaged and starts anew: %s", error)  # noqa: TRY400 - the message says it all
            _set_aside(path)
            self._open(path)

    def append(self, events: Sequence[tuple[str, bytes]]) -> int:
        """Add events, each an id and a body, all or none; return how many of the oldest were dropped."""
        with self._transaction() as file:
            file.executemany("INSERT INTO event (id, body) VALUES (?, ?)", events)
            count, size = self._used[0] + len(events), self._used[1] + sum(len(body) for _, body in events)
            dropped, freed = self._shorten(file, count, size)
            file.execute("COMMIT")
            self._used = count - dropped, size - freed
        return dropped

    def first(self) -> Spooled | None:
        """Return the oldest event."""
        with self._transaction() as file:
            row = file.execute("SELECT number, id, body FROM event ORDER BY number LIMIT 1").fetchone()
        return Spooled(*row) if row else None

    def remove(self, event: Spooled) -> bool:
        """Forget an event; return whether it was still there, and not dropped meanwhile."""
        with self._transaction() as file:
            found = file.execute("DELETE FROM event WHERE number = ?", (event.number,)).rowcount
            file.execute("COMMIT")
            if found:
                self._used = self._used[0] - 1, self._used[1] - len(event.body)
        return bool(found)

    @property
    def used(self) -> tuple[int, int]:
        """Events and bytes that wait."""
        return self._used

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _shorten(self, file: sqlite3.Connection, count: int, size: int) -> tuple[int, int]:
        """Delete the oldest of `count` events with `size` bytes until the rest fits; return how many and how large."""
        dropped, freed, last = 0, 0, 0
        with closing(file.execute("SELECT number, LENGTH(body) FROM event ORDER BY number")) as oldest:
            while count - dropped > self._bound.events or size - freed > self._bound.bytes:
                last, length = oldest.fetchone()
                dropped, freed = dropped + 1, freed + length
        file.execute("DELETE FROM event WHERE number <= ?", (last,))
        return dropped, freed

    def _open(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute(f"PRAGMA journal_size_limit={_LOG}")
            self._file.execute(_SCHEMA)
            self._used = _usage(self._file)
        except BaseException:
            self._file.close()
            raise

    def _transaction(self) -> _Transaction:
        return _Transaction(self._file, self._lock)


class _Transaction:
    """BEGIN under a lock; whatever was not committed is rolled back."""

    def __init__(self, file: sqlite3.Connection, lock: threading.Lock) -> None:
        self._file = file
        self._lock = lock

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._file.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise OSError(f"the spool does not work: {error}") from None
        return self._file

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise OSError(f"the spool does not work: {error}") from None


def _usage(file: sqlite3.Connection) -> tuple[int, int]:
    with closing(file.execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM event")) as found:
        count, size = found.fetchone()
    return int(count), int(size)


def _set_aside(path: Path) -> None:
    path.replace(path.with_name(f"{path.name}.damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
