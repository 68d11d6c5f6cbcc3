"""What the server tells a page: a head in JSON and, of video and pictures, bytes. Pure.

All of a page's messages follow each other on one connection, since a browser opens six to a host and a site has more
cameras. Each is: its length without these 4 bytes, the length of its head (2 bytes), both big-endian; head; bytes.
"""

from __future__ import annotations

import json
from typing import Any, Final

LONGEST_HEAD: Final = 0xFFFF
"""Bytes. A longer document goes as the message's bytes."""


def packed(kind: str, content: bytes = b"", **fields: Any) -> bytes:
    """Return one message.

    Raises
    ------
    ValueError
        If the head is longer than `LONGEST_HEAD`.
    """
    head = json.dumps({"kind": kind, **fields}, allow_nan=False, separators=(",", ":")).encode()
    if len(head) > LONGEST_HEAD:
        raise ValueError(f"a head of {len(head)} bytes")
    return (2 + len(head) + len(content)).to_bytes(4) + len(head).to_bytes(2) + head + content


def document(kind: str, value: Any) -> bytes:
    """Return a message whose bytes are a JSON document of any length."""
    return packed(kind, json.dumps(value, allow_nan=False, separators=(",", ":")).encode())
