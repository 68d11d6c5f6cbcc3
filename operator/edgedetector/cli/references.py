"""Which objects of its namespace a specification names. Pure; works on specifications that are wrong, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgedetector.cli.snapshot import Reference

_SECRET_SUFFIX: Final = "SecretRef"  # noqa: S105 - the end of fields' names


def named(spec: Any) -> frozenset[Reference]:
    """Return kind and name of each ConfigMap, PersistentVolumeClaim and Secret that is named anywhere in it."""
    return frozenset(_named(spec))


def secrets(spec: Any) -> frozenset[str]:
    """Return the names of the Secrets alone."""
    return frozenset(name for kind, name in named(spec) if kind == "Secret")


def _named(value: Any) -> Iterator[Reference]:
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        kind, field = _kind(key)
        if kind and isinstance(item, Mapping) and isinstance(item.get(field), str):
            yield kind, item[field]
        elif key == "imagePullSecrets" and isinstance(item, list):
            yield from (("Secret", one["name"]) for one in item if isinstance(one, Mapping) and "name" in one)
        else:
            yield from _named(item)


def _kind(key: str) -> tuple[str, str]:
    if key.endswith(_SECRET_SUFFIX):
        return "Secret", "name"
    if key in {"persistentVolumeClaim", "modelCache"}:
        return "PersistentVolumeClaim", "claimName"
    if key in {"configMap", "caConfigMap"}:
        return "ConfigMap", "name"
    return "", ""
