"""Read the detector's event stream."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any


def events(base: str, seconds: float, *, digest: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the JSON events that the detector sends within `seconds`.

    Raises
    ------
    OSError
        If the stream cannot be read, or is silent for half a minute.
    """
    deadline = time.monotonic() + seconds
    with urllib.request.urlopen(f"{base}/events" + ("?digest=1" if digest else ""), timeout=30) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                yield json.loads(line.removeprefix(b"data:"))
            if time.monotonic() > deadline:
                return
