"""Which regions the present Triton process knows.

Triton's memory of regions ends with its process, and nothing tells a client of that but the error of the next request.
So a process of Triton is an *epoch* here: it ends when Triton does not know a region that was registered in it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterable
from typing import Final

from edgedetector.triton.client import Client
from edgedetector.triton.errors import RegionExistsError, RegionInUseError, TritonError
from edgedetector.triton.shared_memory import Region, Regions

log = logging.getLogger(__name__)

_PATIENCE: Final = 2.0  # seconds; Triton lets go within milliseconds of its answer
_PAUSE: Final = 0.005  # seconds between tries

NEVER: Final = -1
"""Epoch of a region that was not registered yet."""

_COUNTS_USERS: Final = (2, 51)
"""From 24.10 Triton counts the requests that use a region (server #7567); before, unregistering it under one is fatal
to Triton (server #3207)."""


class Registrar:
    """Registers regions with one Triton. Safe for many threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Return the number of Triton's restarts that were noticed."""
        return self._epoch

    def ensure(self, region: Region, epoch: int, timeout: float) -> int:
        """Register a region unless that was done in the present epoch, within `timeout` seconds; returns that epoch.

        Registering twice is harmless: names are never used again, so one that Triton knows is this region.

        Raises
        ------
        TritonError
            As `Client.register` does.
        """
        present = self._epoch
        if epoch != present:
            with contextlib.suppress(RegionExistsError):
                self._client.register(region.name, region.key, region.size, timeout=timeout)
        return present

    def restarted(self, epoch: int) -> None:
        """Note that a region of that epoch is unknown to Triton; many requests find this, and it counts once."""
        with self._lock:
            if epoch == self._epoch:
                self._epoch += 1

    def is_same_process(self, region: Region, epoch: int) -> bool:
        """Return whether the Triton of that epoch still runs, for a region that was registered in it.

        Raises
        ------
        UnavailableError, DeadlineError
            If nobody answers, so that nothing is known.
        """
        if epoch != self._epoch:
            return False
        if region.name in self._client.regions():
            return True
        self.restarted(epoch)
        return False

    def forget(self, region: Region) -> None:
        """Unregister a region whose requests have ended; a Triton that is gone has forgotten it already.

        Triton 24.10 answers a request a moment before it lets go of its region, and refuses until then.
        """
        ends = time.monotonic() + _PATIENCE
        while True:
            try:
                self._client.unregister(region.name)
            except RegionInUseError:
                if time.monotonic() < ends:
                    time.sleep(_PAUSE)
                    continue
            except TritonError:
                pass
            return

    def forget_left(self, regions: Regions) -> tuple[str, ...]:
        """Unregister what a killed process has left registered; returns the names that remain.

        Their memory counts against the tmpfs for as long as Triton has it mapped, file or no file. Requests of the
        killed process may still run: only a Triton that counts a region's users is asked; it refuses one in use, or
        forgets it later.
        """
        left = regions.left(tuple(self._client.regions()))
        if left and _numbers(self._client.version()) >= _COUNTS_USERS:
            self.forget_names(left)
            left = regions.left(tuple(self._client.regions()))
        return left

    def forget_names(self, names: Iterable[str]) -> None:
        """Unregister regions by name; one that stays is told in the log."""
        for name in names:
            try:
                self._client.unregister(name)
            except TritonError as error:
                log.info("a region of a former process: %s", error)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
