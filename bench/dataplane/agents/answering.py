"""How a program of the benchmark tells its counters: a line in, a line of JSON out; it ends with its input.

Standard library only: the programs that we are compared with run in an environment that does not have ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def task() -> dict[str, Any]:
    """Return what the program is to do."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found


def answer(counters: Callable[[], dict[str, Any]]) -> None:
    """Answer each line until there is no more."""
    for _ in sys.stdin:
        print(json.dumps(counters()), flush=True)
