"""Which version of the accelerator's driver this node has, as its exporter names it.

What a test on the card has found counts for the driver that it was made with. So each pod tells its node's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgedetector.api.dataplane import DetectorConfig
from edgedetector.detector.documents import Document
from edgedetector.detector.exposition import ask, versions
from edgedetector.detector.guard import Guard

log = logging.getLogger(__name__)

EVERY: Final = 15.0
"""Seconds between looks. A driver is replaced while nothing uses its device, so that nobody is in a hurry."""
_TIMEOUT: Final = 2.0


def watched(config: Path, guard: Guard) -> Driver:
    """Return the driver, looked at until the process ends."""
    found = Driver(config)
    guard.start("driver", lambda: found.run(guard.stop))
    return found


class Driver:
    """Looks every now and then.

    Parameters
    ----------
    config
        detector.json, which names the exporter.
    """

    def __init__(self, config: Path, *, ask: Callable[[str, float], str | None] = ask) -> None:
        self._config = Document(config, DetectorConfig)
        self._ask = ask
        self._version = ""

    @property
    def version(self) -> str:
        """The version; empty: not known. Several on one node, which no vendor allows, are told with a comma."""
        return self._version

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            self.look()
            stop.wait(EVERY)

    def look(self) -> None:
        """Look once. An exporter that does not answer is no news of the driver."""
        config = self._config.read()
        if config is None or not config.accelerator.url or not config.accelerator.driver_metric:
            self._version = ""
            return
        where = config.accelerator
        text = self._ask(where.url, _TIMEOUT)
        found = self._version if text is None else ",".join(versions(text, where.driver_metric, where.driver_label))
        if found != self._version:
            log.info("the accelerator's driver is %s", found or "not known any more")
            self._version = found
