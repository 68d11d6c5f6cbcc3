"""What can be reconciled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Subject(StrEnum):
    """Kind of a key."""

    DETECTOR = "EdgeDetector"
    PROFILE = "AcceleratorProfile"
    SHIPPED = "ShippedProfiles"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One thing that is reconciled as a whole, by at most one worker at a time."""

    subject: Subject
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.subject}/{place}" if place else str(self.subject)


SHIPPED: Final = Key(Subject.SHIPPED)


def detector(namespace: str, name: str) -> Key:
    """Return the key of an EdgeDetector."""
    return Key(Subject.DETECTOR, namespace, name)


def profile(name: str) -> Key:
    """Return the key of an AcceleratorProfile."""
    return Key(Subject.PROFILE, name=name)


def is_served(key: Key, namespaces: tuple[str, ...]) -> bool:
    """Tell whether the operator is to look at this key if it serves these namespaces; none named: all of them."""
    return key.subject != Subject.DETECTOR or not namespaces or key.namespace in namespaces
