"""Named threads whose failure ends the process.

A stage that dies quietly leaves a pod that is Running and sees nothing. Here the first failure is printed with its
traceback and remembered, and `Guard.wait` gives the process's exit code: the kubelet restarts the container.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Guard:
    """Starts the threads of the process, and ends it with the first that fails."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failed: str = ""

    def start(self, name: str, run: Callable[[], None], *, essential: bool = True) -> threading.Thread:
        """Run a stage in a daemon thread.

        Parameters
        ----------
        name
            Name of the thread, in the log and in `failed`.
        run
            The stage; to raise is always a failure.
        essential
            Whether to return before `stop` is set is a failure too; a camera's threads may end when it is removed.
        """

        def guarded() -> None:
            try:
                run()
            except BaseException:
                log.exception("stage %s failed", name)
                self._fail(f"{name} failed")
                return
            if essential and not self.stop.is_set():
                log.error("stage %s ended unexpectedly", name)
                self._fail(f"{name} ended")

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def wait(self) -> int:
        """Block until somebody sets `stop`; return the exit code: 1 after a failure, else 0."""
        self.stop.wait()
        return 1 if self.failed else 0

    def _fail(self, reason: str) -> None:
        self.failed = self.failed or reason
        self.stop.set()
