"""Which addresses a resource may hold. The CRDs have the same expressions and words; a test compares them.

An address ends up in programs that read more into it than people do: go2rtc cuts it at ``#`` and expands ``$``, a
resolver takes ``0x7f.1`` for loopback. So it is made of few characters, holds no user name (a spec is no place for
passwords), and its host is a name or an address in the usual notation, which then can be judged.

The expressions mean the same in RE2 (the API server) and in Python, where they are used with `fullmatch` or `match`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_HOST: Final = rf"({_LABEL}([.]{_LABEL})*|\[[0-9A-Fa-f:]+\])"
_PORT: Final = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
# RFC 3986 without "#", "$", "'", brackets and encoded control characters.
_CHARACTER: Final = "([A-Za-z0-9._~!&()*+,;=:@/?-]|%([2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]))"

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_END: Final = "([:/?]|$)"

USUAL_HOST: Final = (
    # Four decimal numbers; a name whose last label no resolver takes for a number; global or unique local IPv6.
    rf"(?i)^[a-z]+://({_OCTET}([.]{_OCTET}){{3}}"
    r"|([a-z0-9_-]+[.])*([a-z]|[0-9]+[a-wyz_-]|[1-9][0-9]*x|0[0-9]+x)[a-z0-9_-]*"
    rf"|\[([23][0-9a-f]{{3}}|f[cd][0-9a-f]{{2}}):[0-9a-f:]+\]){_END}"
)
"""A host in the one notation that everybody reads alike: neither ``0177.1``, ``2130706433`` nor ``[::ffff:7f00:1]``."""

FORBIDDEN_HOST: Final = (
    r"(?i)^[a-z]+://("
    # Loopback by name; "this network", loopback, multicast, reserved; link-local, which has the metadata services.
    r"([^/?:]*[.])?(localhost[46]?|localdomain[46]?|ip6-(localhost|loopback))"
    r"|((0|127|22[4-9]|2[34][0-9]|25[0-5])[.][0-9]+|169[.]254)[.][0-9]+[.][0-9]+"
    # Metadata services elsewhere: Alibaba, Azure, Oracle, Google, Amazon.
    r"|100[.]100[.]100[.]200|168[.]63[.]129[.]16|192[.]0[.]0[.]192"
    r"|metadata([.]google[.]internal)?|instance-data([.]ec2[.]internal)?"
    # Amazon's in IPv6; Teredo and 6to4, which embed IPv4 addresses.
    rf"|\[(fd00:0?ec2|2001:0{{0,4}}|2002):[^/]*){_END}"
)
"""A host that means the pod itself, its node, or the cloud's metadata service."""

NEAR_HOST: Final = (
    # A Service beside the pod, or one by its full name; RFC 1918 and RFC 4193.
    r"(?i)^[a-z]+://([a-z0-9_-]+|([a-z0-9_-]+[.])+svc([.]cluster[.]local)?"
    r"|10([.][0-9]+){3}|192[.]168([.][0-9]+){2}|172[.](1[6-9]|2[0-9]|3[01])([.][0-9]+){2}"
    rf"|\[f[cd][0-9a-f:]+\]){_END}"
)
"""A usual host that is in the cluster or on the site for sure: plain http:// to it is not read by strangers."""


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them: an address of version 6 stands in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of address: what it looks like, and what is said of one that does not; `{field}` stands for its field."""

    pattern: str
    problem: str
    remedy: str
    host: str
    """What is to be named instead of a forbidden host."""
    near: str = ""
    """Hosts to which http:// may go; empty: any."""

    def misfit(self, field: str, url: str) -> tuple[str, str] | None:
        """Return what is wrong with the address in `field`, and what helps; None if nothing is."""
        if not re.fullmatch(self.pattern.removeprefix("^").removesuffix("$"), url):
            return self.problem, self.remedy.format(field=field)
        if not re.match(USUAL_HOST, url) or re.match(FORBIDDEN_HOST, url):
            return HOST_PROBLEM, self.host
        if self.near and url.startswith("http://") and not re.match(self.near, url):
            return PLAIN_PROBLEM, PLAIN_REMEDY
        return None


HOST_PROBLEM: Final = "must not point to loopback, link-local or metadata addresses, nor to one in an unusual notation"
PLAIN_PROBLEM: Final = "must not be plain http:// to a host that may lie outside of cluster and site"
PLAIN_REMEDY: Final = "write https://, a Service as NAME.NAMESPACE.svc, or a private address"

CAMERA: Final = Kind(
    pattern=f"^(rtsp|rtsps|http|https)://{_HOST}{_PORT}([/?]{_CHARACTER}*)?$",
    problem=(
        "must be rtsp://, rtsps://, http:// or https:// with a host, an optional port and path, without user name,"
        " spaces, quotes, '#', '$' or braces"
    ),
    remedy="put user name and password into credentialsSecretRef, or the whole URL into {field}SecretRef",
    host="name the camera",
)
MODEL: Final = Kind(
    pattern=f"^https://{_HOST}{_PORT}/{_CHARACTER}*$",
    problem=(
        "must be https:// with a host, an optional port and a path, without user name, spaces, quotes, '#', '$' or"
        " braces"
    ),
    remedy="correct it",
    host="name the server",
)
MQTT: Final = Kind(
    pattern=f"^(mqtt|mqtts)://{_HOST}{_PORT}$",
    problem="must be mqtt:// or mqtts:// with a host and an optional port, without user name",
    remedy="put user name and password into credentialsSecretRef",
    host="name the broker",
)
WEBHOOK: Final = Kind(
    pattern=f"^https?://{_HOST}{_PORT}(/{_CHARACTER}*)?$",
    problem="must be http:// or https:// with a host, an optional port and path, without user name",
    remedy="put a token into tokenSecretRef",
    host="name the server",
    near=NEAR_HOST,
)
