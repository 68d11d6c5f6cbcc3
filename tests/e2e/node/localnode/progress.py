"""Progress lines: what is being done and for how long, on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_START = time.monotonic()

HEARTBEAT_SECONDS = 15.0
"""A stage that lasts longer says so this often, so that a long build is never silent."""


def say(text: str) -> None:
    """Print one line with the seconds since the program's start."""
    print(f"[{time.monotonic() - _START:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def stage(text: str, *, expect: str = "") -> Iterator[None]:
    """Announce a stage, beat while it lasts, and say how long it took; a failure is named and re-raised."""
    say(f"{text} ..." + (f" ({expect})" if expect else ""))
    begun = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"  {text}: {time.monotonic() - begun:.0f} s so far")

    beater = threading.Thread(target=beat, daemon=True)
    beater.start()
    try:
        yield
    except BaseException:
        say(f"  {text}: failed after {time.monotonic() - begun:.1f} s")
        raise
    finally:
        done.set()
        beater.join()
    say(f"  {text}: {time.monotonic() - begun:.1f} s")
