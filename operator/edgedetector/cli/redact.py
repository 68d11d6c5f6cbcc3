"""What may hold a secret is taken out of whatever leaves the cluster. Pure.

Secrets are never read, so what could slip in is what somebody wrote in the wrong place: passwords in addresses, in
environment variables, in annotations, and whatever a program then quotes in its log. Addresses keep scheme, host and
port; what was found to be secret anywhere is taken out everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN: Final = "***"
SHORTEST: Final = 4
"""Characters of a text that is looked for everywhere: shorter ones are in too many words."""

_URL: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*)://([^\s\"'<>\\,;}\])]+)")
_WORD: Final = r"(?:pass(?:word|wd|phrase)?|pwd|token|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
_ASSIGNED: Final = re.compile(rf"(?i)(\b[\w.-]*{_WORD}[\w.-]*[\"']?\s*[:=]\s*)([\"']?)([^\s\"',;&}}\])]+)")
_HEADER: Final = re.compile(
    r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?)?(basic|bearer|digest)\s+[A-Za-z0-9+/=._~-]{6,}"
)
_SECRET_KEY: Final = re.compile(rf"(?i){_WORD}$")
_DROPPED: Final = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
_REFERENCE: Final = re.compile(r"(?i)(ref|secret|secrets|name|names)$")


def known(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the texts that are secret wherever they stand, longest first."""
    found = {text for value in values for text in _known(value, "") if len(text) >= SHORTEST}
    return tuple(sorted(found | {unquote(text) for text in found}, key=len, reverse=True))


def _known(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "name" in value and "value" in value and _SECRET_KEY.search(str(value["name"])):
            yield str(value["value"])  # an environment variable
        for name, entry in value.items():
            yield from _known(entry, str(name))
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _known(entry, key)
    elif isinstance(value, str):
        if _SECRET_KEY.search(key) and not _REFERENCE.search(key):
            yield value
        yield from _in_text(value)


def _in_text(text: str) -> Iterator[str]:
    for found in _URL.finditer(text):
        try:
            parts = urlsplit(found.group(0))
            yield from filter(None, (parts.username, parts.password))
            yield from (value for name, value in parse_qsl(parts.query) if _SECRET_KEY.search(name))
        except ValueError:
            continue
    yield from (found.group(3) for found in _ASSIGNED.finditer(text) if found.group(3) != HIDDEN)


def text(words: str, secrets: Iterable[str] = ()) -> str:
    """Return a text, e.g. a log, without addresses' paths, headers of authorization, and what is known to be secret."""
    words = _URL.sub(_address, words)
    words = _HEADER.sub(lambda found: f"{found.group(1) or ''}{found.group(2)} {HIDDEN}", words)
    words = _ASSIGNED.sub(lambda found: f"{found.group(1)}{found.group(2)}{HIDDEN}", words)
    for secret in secrets:
        words = words.replace(secret, HIDDEN)
    return words


def _address(found: re.Match[str]) -> str:
    scheme, rest = found.group(1), found.group(2)
    authority, slash, path = re.match(r"([^/?#]*)([/?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host = authority.rpartition("@")[2]
    return f"{scheme}://{host}" + (f"/{HIDDEN}" if path or slash == "?" else slash)


def value(obj: Any, secrets: Iterable[str] = (), key: str = "") -> Any:
    """Return an object without what may be secret in it."""
    secrets = tuple(secrets)
    if isinstance(obj, Mapping):
        hidden = {"value"} if _SECRET_KEY.search(str(obj.get("name", ""))) else set()
        return {
            name: HIDDEN if name in hidden else value(entry, secrets, str(name))
            for name, entry in obj.items()
            if name not in _DROPPED
        }
    if isinstance(obj, (list, tuple)):
        return [value(entry, secrets, key) for entry in obj]
    if isinstance(obj, str):
        if _SECRET_KEY.search(key) and not _REFERENCE.search(key):
            return HIDDEN
        return text(obj, secrets)
    return obj
