"""The accelerator profiles that the operator ships, as the objects that it applies."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def load(directory: str = "") -> tuple[dict[str, Any], ...]:
    """Return the shipped AcceleratorProfiles by name, each a complete Kubernetes object.

    Parameters
    ----------
    directory
        Holds further ones, a file each, as the chart's value `profiles` brings them: one that has the name of a shipped
        one is taken instead of it. Empty: there are none.
    """
    found = _read(files(__name__).iterdir())
    if directory:
        found |= _read(Path(directory).iterdir())
    return tuple(found[name] for name in sorted(found))


def _read(entries: Iterable[Traversable]) -> dict[str, dict[str, Any]]:
    sources = [entry for entry in entries if entry.name.endswith(".yaml")]
    objects = [yaml.safe_load(source.read_text(encoding="utf-8")) for source in sources]
    return {obj["metadata"]["name"]: obj for obj in objects}
