"""Signals that end a command: it undoes what it has begun, as it does at Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What service managers send, and a terminal that is closed; Windows has no SIGHUP."""

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handler: Handler, *more: signal.Signals) -> Iterator[None]:
    """Have `ENDING` and `more` handled for as long as the block runs, if it runs in the main thread.

    SIGHUP is left alone where it is ignored: nohup has asked for that.
    """
    before: list[tuple[signal.Signals, Any]] = []
    if threading.current_thread() is threading.main_thread():
        wanted = [one for one in (*ENDING, *more) if one.name != "SIGHUP" or signal.getsignal(one) != signal.SIG_IGN]
        before = [(one, signal.signal(one, handler)) for one in wanted]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)


def leave(number: int, _frame: FrameType | None) -> None:
    """Raise SystemExit with the exit code that shells have for the signal; what comes during the end is ignored."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)
