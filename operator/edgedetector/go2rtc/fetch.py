"""Get one document from a go2rtc's API. Standard library only."""

from __future__ import annotations

import base64
import http.client
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

# 1,000 cameras with ten consumers each make some 10 MB.
_MAXIMUM_BYTES: Final = 32 << 20
_CHUNK_BYTES: Final = 1 << 16

FAILURES: Final = ("connection", "timeout", "unauthorized", "status", "too_long", "password_file", "unreadable")
"""Why a look can fail; "unreadable" is an answer that is no JSON object."""


class FetchError(Exception):
    """go2rtc was asked in vain; `reason` is one of `FAILURES`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a go2rtc's API is; `path` ends in a slash."""

    secure: bool
    host: str
    port: int
    path: str


def endpoint(url: str) -> Endpoint:
    """Return the parts of an API's URL, such as http://127.0.0.1:1984 or https://host/base.

    Raises
    ------
    ValueError
        If it is no such URL, or has a user name in it, which every user of the machine could read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("has to be http(s)://HOST[:PORT][/BASE]")
    if "@" in parts.netloc:
        raise ValueError("has a user name in it: use --username and --password-file")
    secure = parts.scheme == "https"
    return Endpoint(secure, parts.hostname, parts.port or (443 if secure else 80), parts.path.rstrip("/") + "/")


def fetch(target: Endpoint, username: str | None, password_file: Path | None, timeout: float) -> str:
    """Return the answer to GET /api/streams, within about `timeout` seconds. Redirects are not followed.

    Raises
    ------
    FetchError
        On any failure.
    """
    headers = {"Accept": "application/json", "Connection": "close"}
    if username is not None and password_file is not None:
        headers["Authorization"] = _basic(username, password_file)
    kind = http.client.HTTPSConnection if target.secure else http.client.HTTPConnection
    connection = kind(target.host, target.port, timeout=timeout)
    try:
        return _get(connection, f"{target.path}api/streams", headers, time.monotonic() + timeout)
    except TimeoutError:
        raise FetchError("timeout") from None
    except (OSError, http.client.HTTPException):
        raise FetchError("connection") from None
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str], deadline: float) -> str:
    connection.connect()
    stream = connection.sock
    stream.settimeout(_left(deadline))
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    if response.status == HTTPStatus.UNAUTHORIZED:
        raise FetchError("unauthorized")
    if response.status != HTTPStatus.OK:
        raise FetchError("status")
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > _MAXIMUM_BYTES:
            raise FetchError("too_long")
        # Each read has what is left, so that a trickle does not go on for ever.
        stream.settimeout(_left(deadline))
    return body.decode(errors="replace")


def _left(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _basic(username: str, password_file: Path) -> str:
    try:
        password = password_file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise FetchError("password_file") from None
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
