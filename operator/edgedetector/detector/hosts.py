"""Which Host a request that comes through a forwarded port may bear. Pure.

A port-forward ends on the pod's own 127.0.0.1, where nobody is asked for a token, and on the other side of it may sit a
browser. A page whose name was made to point there (DNS rebinding) asks as if it were ours, but by that name. Addresses
cannot be made to point elsewhere, and nobody outside gives names of a cluster's Services.

Requests from elsewhere are not judged: there a token guards what is private, and the API server's proxy, through which
`kubectl edgedetector status` asks, leaves the Host as it was sent to the API server.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_FORWARDED: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
"""Where forwarded ports end. Not all of 127.0.0.0/8: proxies in pods have addresses of their own there."""
_SERVICES: Final = (".svc", ".svc.cluster.local")


def foreign(client: str, header: str) -> bool:
    """Return whether a request is to be refused.

    Parameters
    ----------
    client
        Address of the other side.
    header
        The Host; empty: there is none, which browsers do not leave out.
    """
    return client in _FORWARDED and bool(header) and not _ours(header)


def _ours(header: str) -> bool:
    name = _name(header)
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(_SERVICES)
    return True


def _name(header: str) -> str:
    """Return the name or address of a Host, without its port; empty if it cannot be read."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:  # e.g. of a bracket that is not closed
        return ""
