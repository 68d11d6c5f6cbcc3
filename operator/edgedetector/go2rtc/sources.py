"""Check and build the sources that go2rtc dials. Pure.

A source is text that go2rtc cuts at ``#`` into options, expands at ``${NAME}`` and, for transcodes, splits into
a command line: whatever a user can write has to be unable to mean any of these.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes, urlsplit

SCHEMES: Final = ("rtsp", "rtsps", "http", "https")

# RFC 3986 without "#" (options of go2rtc), "$" (expansion), "'" (command lines); the rest has to be percent-encoded.
_URL: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!&()*+,;=%]{1,2048}")
_STREAM: Final = re.compile(r"[a-z][a-z0-9]{0,62}")
_TEMPLATE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TEMPLATE: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!&()*+,;=% ]{1,1024}")

# go2rtc cuts what it logs by replacing the text of each credential. Go writes these characters of a user name or
# password back unescaped, so that they are left as they are: otherwise the text in a log would not be found.
_GO_KEEPS: Final = "&+,;="

MAXIMUM_CREDENTIAL_BYTES: Final = 1024


class InvalidSourceError(ValueError):
    """A source cannot be used; the message names the rule and never what was given, which may hold a password."""


def check_url(url: str, *, userinfo: bool) -> str:
    """Return the URL of a camera as it is.

    Parameters
    ----------
    userinfo
        Whether ``user:password@`` is allowed: only in a URL that comes from a Secret.

    Raises
    ------
    InvalidSourceError
        If it is no URL of `SCHEMES` with a host, or has characters that go2rtc would take for something else.
    """
    if not _URL.fullmatch(url):
        raise InvalidSourceError(
            "the URL has characters that must be percent-encoded, such as spaces, quotes, '#', '$', '{', or is too long"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidSourceError("the URL has no valid host and port") from None
    if parts.scheme not in SCHEMES:
        raise InvalidSourceError(f"the URL's scheme is none of {', '.join(SCHEMES)}")
    if not parts.hostname or port == 0:
        raise InvalidSourceError("the URL has no valid host and port")
    if not userinfo and "@" in parts.netloc:
        raise InvalidSourceError("the URL carries a user name: use credentialsSecretRef or urlSecretRef")
    return url


def check_stream(stream: str) -> str:
    """Return a stream id as it is; it becomes a key of the configuration, a path and a file name."""
    if not _STREAM.fullmatch(stream):
        raise InvalidSourceError("the stream id is not made of lower-case letters and digits")
    return stream


def check_template(name: str, template: str) -> str:
    """Return an input template of ffmpeg as it is."""
    if not _TEMPLATE_NAME.fullmatch(name):
        raise InvalidSourceError("the input template's name is not made of lower-case letters, digits, '-' and '_'")
    plain = template.replace("{input}", "", 1)
    if plain == template or not _TEMPLATE.fullmatch(plain):
        raise InvalidSourceError(
            f"the input template {name} does not hold {{input}} once, or has quotes, '$', '#' or control characters"
        )
    return template


def encode_userinfo(username: bytes, password: bytes) -> str:
    """Return ``username:password`` percent-encoded for a URL, whatever bytes they are.

    Raises
    ------
    InvalidSourceError
        If the user name is empty or either is longer than `MAXIMUM_CREDENTIAL_BYTES`.
    """
    if not username:
        raise InvalidSourceError("the user name is empty")
    if max(len(username), len(password)) > MAXIMUM_CREDENTIAL_BYTES:
        raise InvalidSourceError(f"a credential is longer than {MAXIMUM_CREDENTIAL_BYTES} bytes")
    return f"{quote_from_bytes(username, safe=_GO_KEEPS)}:{quote_from_bytes(password, safe=_GO_KEEPS)}"


def insert_userinfo(url: str, userinfo: str) -> str:
    """Return the URL with ``userinfo@`` before its host."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{userinfo}@{rest}"


def source(url: str, template: str) -> str:
    """Return the source for a URL, or a placeholder of one: passed through, or decoded with an input template.

    A template says how a vendor's decoder reads the stream, so its stream goes out as JPEG pictures.
    Without one, no talk-back channel is asked for: probing for it costs a second dial, and nobody uses it.
    """
    if template:
        return f"ffmpeg:{url}#video=mjpeg#input={template_key(template)}"
    return f"{url}#backchannel=0"


def template_key(name: str) -> str:
    """Key of an input template in go2rtc's configuration, which cannot be one of go2rtc's own (bin, rtsp, output)."""
    return f"input_{name}"
