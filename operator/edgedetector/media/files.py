"""What the config container reads and writes on its volumes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgedetector.go2rtc.render import Credential

# Keys of Secrets are small; a larger file is not a credential and is not read whole into memory.
_MAXIMUM_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that the configuration is made of."""

    media: str
    secrets: tuple[tuple[str, tuple[tuple[str, bytes], ...]], ...]
    """Name of a Secret -> key -> value, sorted."""

    def secret_values(self) -> dict[str, dict[str, bytes]]:
        """Return the Secrets by name and key."""
        return {name: dict(keys) for name, keys in self.secrets}


def read_inputs(media: Path, secret_root: Path) -> Inputs:
    """Read media.json and all Secrets. The kubelet swaps a volume's files under a reader: call again after OSError."""
    names = sorted(entry.name for entry in _entries(secret_root))
    return Inputs(media.read_text(), tuple((name, _read_secret(secret_root / name)) for name in names))


def _read_secret(directory: Path) -> tuple[tuple[str, bytes], ...]:
    # Names that start with ".." are the kubelet's own.
    keys = sorted(entry.name for entry in _entries(directory) if not entry.name.startswith(".."))
    values: list[tuple[str, bytes]] = []
    for key in keys:
        with (directory / key).open("rb") as file:
            values.append((key, file.read(_MAXIMUM_BYTES)))
    return tuple(values)


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def write_private(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it sees the old text or the new one. Only its owner may read it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_credentials(directory: Path, credentials: Iterable[Credential]) -> None:
    """Write the credentials; call before the file that refers to them is written."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for credential in credentials:
        write_private(directory / credential.name, credential.text)


def remove_other_credentials(directory: Path, credentials: Iterable[Credential]) -> None:
    """Remove credentials that nothing refers to any more; call after the file that referred to them is gone."""
    kept = {credential.name for credential in credentials}
    for entry in _entries(directory):
        if entry.name not in kept:
            entry.unlink(missing_ok=True)


def private_key(path: Path) -> bytes:
    """Return the random key kept at `path`, made on the first call: the same for the life of the pod."""
    try:
        return bytes.fromhex(path.read_text())
    except (FileNotFoundError, ValueError):
        write_private(path, secrets.token_hex(32))
        return bytes.fromhex(path.read_text())
