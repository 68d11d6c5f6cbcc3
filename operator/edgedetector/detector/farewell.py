"""Tells Triton's container, which is told to end at the same moment, that it is still needed, and when no longer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

FORGOTTEN: Final = 5
"""Seconds for kube-proxies to take a pod out of its Service."""

log = logging.getLogger(__name__)


class Farewell:
    """A file that both containers see: absent, empty while the detector leaves, and then seconds, see `left`.

    A file that cannot be written is logged and no reason to stay: Triton then ends sooner, as it would without it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def none(self) -> None:
        """Take back what a process before this one said."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror)

    def leaving(self) -> None:
        """Say that cameras are being handed over."""
        self._write("")

    def left(self, *, several: bool) -> None:
        """Say that nothing more will be asked of Triton, which may end some seconds after it was told to.

        Parameters
        ----------
        several
            Whether there may be other replicas, to which the Service sends its clients once it has forgotten this one.
        """
        self._write(f"{FORGOTTEN if several else 1}\n")

    def _write(self, text: str) -> None:
        try:
            self._path.write_text(text)
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror)
