"""Who is answered by the page's server: the browser that was opened, and no other page, user or name. Pure.

It guards the page alone. The ports of the pods that kubectl forwards are plain ports of 127.0.0.1, and whoever has an
account on this machine reaches them while the command runs.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides."""

    path: str
    host: str = ""
    origin: str = ""
    site: str = ""
    """`Sec-Fetch-Site`: how the asking page and we are related, as the browser says."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is answered, and the rest of its path behind the token."""

    status: HTTPStatus
    rest: str = ""
    why: str = ""


def judge(asked: Asked, port: int, token: str) -> Verdict:
    """Return what becomes of a request.

    The token keeps other users of the machine out; the host, pages whose name was made to point here (DNS rebinding);
    origin and site, pages that know where we are.
    """
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if asked.host not in hosts:
        return Verdict(HTTPStatus.MISDIRECTED_REQUEST, why=f"this page is at 127.0.0.1:{port} alone\n")
    if asked.origin and asked.origin != f"http://{asked.host}":
        return Verdict(HTTPStatus.FORBIDDEN, why="another page may not ask here\n")
    if asked.site not in {"", "none", "same-origin"}:
        return Verdict(HTTPStatus.FORBIDDEN, why="another page may not ask here\n")
    first, slash, rest = asked.path.partition("?")[0].removeprefix("/").partition("/")
    if not slash or not hmac.compare_digest(first.encode(), token.encode()):
        return Verdict(HTTPStatus.NOT_FOUND, why="open the address that the command has printed\n")
    return Verdict(HTTPStatus.OK, rest)
