"""Models that the pod itself brings, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TARGET: Final = "model.py"
"""Their file in a version's directory."""


def path(name: str) -> Path:
    """Return where a built-in model's file lies; of a name that is not known, where none does."""
    # Not joined as it is: a name is no path.
    return Path(__file__).parent / f"{name.lower() if name.isalnum() else '-'}.py"
