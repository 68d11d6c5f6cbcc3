"""The accelerator profiles that the operator ships, as the objects that it applies."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml


def load() -> tuple[dict[str, Any], ...]:
    """Return the shipped AcceleratorProfiles by name, each a complete Kubernetes object."""
    sources = sorted((item for item in files(__name__).iterdir() if item.name.endswith(".yaml")), key=lambda i: i.name)
    return tuple(yaml.safe_load(source.read_text(encoding="utf-8")) for source in sources)
