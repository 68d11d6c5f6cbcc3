"""Keys of a Secret, read from its volume each time they are needed: the kubelet changes them while we run."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

_LOOPBACK = "127.0.0.1"


class MissingSecretError(OSError):
    """A Secret's key is not there or empty. The message names Secret and key, never what is in it."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A key of a mounted Secret."""

    path: Path
    """/secrets/<name>/<key>."""

    def __str__(self) -> str:
        """Return Secret and key in words."""
        return f"key {self.path.name} of Secret {self.path.parent.name}"

    def read(self) -> str:
        """Return the key's value without white space around it, which editors add.

        Raises
        ------
        MissingSecretError
            If there is no such file, or nothing printable in one line in it.
        """
        try:
            value = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise MissingSecretError(f"{self} cannot be read") from None
        if not value or not value.isprintable():
            raise MissingSecretError(f"{self} is empty or holds more than one line")
        return value


def address(token: SecretFile | None) -> str:
    """Return where events and pictures may be served: to all who have the token, or on loopback alone."""
    return "" if token else _LOOPBACK


def allowed(authorization: str | None, token: SecretFile | None, client: str = _LOOPBACK) -> bool:
    """Return whether a request with this Authorization header may see events and pictures.

    Without a token everybody may who is in the pod, whatever address the server has: a token that is taken from the
    specification is gone before the pod is replaced. A token that cannot be read lets nobody in.

    Parameters
    ----------
    client
        Address of the other side.
    """
    if token is None:
        return client == _LOOPBACK
    try:
        expected = token.read()
    except MissingSecretError:
        return False
    scheme, _, given = (authorization or "").partition(" ")
    # Digests are of one length, so that not even the token's length shows in the time that this takes.
    same = hmac.compare_digest(_digest(given.strip()), _digest(expected))
    return same and scheme.lower() == "bearer"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
