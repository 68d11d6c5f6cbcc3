"""What the end-to-end tests share: kubectl in a namespace, and waiting with a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest

import cluster as driver

T = TypeVar("T")

PATIENCE: Final = 180.0
"""Seconds after which a wait is in vain, however busy the machine is: no promise about speed."""


def poll(
    what: str, look: Callable[[], T], good: Callable[[T], bool], seconds: float = PATIENCE, *, every: float = 0.5
) -> T:
    """Look until it is good, every so many seconds; after `seconds` fail with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s; last seen: {seen!r}")
        time.sleep(every)


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace."""

    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return driver.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, check=check)

    def get(self, *arguments: str) -> Any:
        """Objects as parsed JSON; None if there is no such object."""
        text = self("get", *arguments, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, *arguments: str) -> list[Any]:
        """The items of a list."""
        return list(json.loads(self("get", *arguments, "-o", "json"))["items"])

    def apply(self, *objects: Any) -> None:
        """Server-side apply."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "-f", "-", stdin=json.dumps(listing))
