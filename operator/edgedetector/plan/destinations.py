"""Where the addresses of a specification lead, as egress rules of a NetworkPolicy.

A policy judges a packet after a Service's address was replaced by a pod's. So an address that names a Service becomes
the pods of its namespace, and the port that they listen on has to be known: the address' own, the usual ones, or what
`networkPolicy` adds.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from edgedetector.api.edgedetector import Destinations
from edgedetector.api.errors import InvalidSpecError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LABEL_NAMESPACE: Final = "kubernetes.io/metadata.name"  # the API server puts it on every namespace

FORBIDDEN: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"),  # loopback, link-local with most metadata services
        # Metadata services elsewhere: Alibaba, Azure, Oracle; Amazon in IPv6.
        *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32"),
    )
)
"""Never a destination: the pod itself, its node, and whoever gives out the node's credentials."""

_ANYWHERE: Final[tuple[Network, ...]] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
# Ports that go2rtc, aiohttp and MQTT clients take where an address names none.
_PORTS: Final = {"rtsp": 554, "rtsps": 554, "http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?([/?].*)?",
    re.IGNORECASE | re.DOTALL,
)
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host, in lower case and without brackets, and TCP port of an address."""

    host: str
    port: int


@dataclass(slots=True)
class _Found:
    """What a set of addresses needs."""

    literal: dict[int, set[Network]] = field(default_factory=dict)
    """Addresses in digits, by port."""
    inside: dict[str, set[int]] = field(default_factory=dict)
    """Ports of pods, by namespace."""
    outside: set[int] = field(default_factory=set)
    """Ports of hosts that nothing is known of."""


def endpoint(address: str) -> Endpoint | None:
    """Return where an address leads; None if it does not say."""
    match = _ADDRESS.fullmatch(address)
    if match is None or match["scheme"].lower() not in _PORTS:
        return None
    port = int(match["port"] or _PORTS[match["scheme"].lower()])
    return Endpoint(match["host"].strip("[]").lower(), port) if 0 < port <= _MAX_PORT else None


def egress(
    addresses: Iterable[str], allowed: Destinations, *, namespace: str, usual: tuple[int, ...], where: str
) -> list[dict[str, Any]]:
    """Return the rules that let a pod reach these addresses over TCP.

    Parameters
    ----------
    addresses
        URLs; empty for one that only a Secret knows.
    allowed
        What the user adds.
    namespace
        That of the pod.
    usual
        Ports of a service of this sort: for addresses in Secrets, and for pods behind a Service.
    where
        Field of `allowed`, for an error.

    Raises
    ------
    InvalidSpecError
        If a range of the user is none, or lies where nothing may go.
    """
    found = _Found()
    for address in addresses:
        _sort(address, allowed, namespace, usual, found)
    ranges = [_block(network) for network in _ranges(allowed.cidrs, where)]
    rules = [
        rule([_block(network) for network in _merged(found.literal[port])], [port]) for port in sorted(found.literal)
    ]
    if found.outside:
        rules.append(rule(ranges, sorted(found.outside)))
    for place in sorted(found.inside):
        peer = {"podSelector": {}} if place == namespace else pods_of(place)
        rules.append(rule([peer], sorted(found.inside[place])))
    return rules


def pods_of(namespace: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the peer that is the pods of a namespace, of all those with these labels."""
    peer: dict[str, Any] = {"namespaceSelector": {"matchLabels": {LABEL_NAMESPACE: namespace}}}
    return peer | {"podSelector": {"matchLabels": labels}} if labels else peer


def rule(peers: list[dict[str, Any]], ports: Iterable[int], protocols: tuple[str, ...] = ("TCP",)) -> dict[str, Any]:
    """Return an egress rule."""
    return {"to": peers, "ports": [{"protocol": p, "port": port} for port in ports for p in protocols]}


def services_namespace(host: str, own: str) -> tuple[str, bool]:
    """Return the namespace of the Service that a name may mean ("": none), and whether it may mean another host, too.

    ``camera`` is a Service beside the pod, ``gate.cams.svc`` one of namespace cams, and ``gate.cams`` either that or a
    host of a network that calls itself cams, unless that is the pod's own namespace.
    """
    labels = host.rstrip(".").split(".")
    if len(labels) == 1:
        return own, False
    if "svc" in labels[2:]:
        return labels[labels.index("svc", 2) - 1], False
    if len(labels) == 2:  # noqa: PLR2004 - name and namespace
        return labels[1], labels[1] != own
    return "", True


def _sort(address: str, allowed: Destinations, namespace: str, usual: tuple[int, ...], found: _Found) -> None:
    target = endpoint(address)
    if target is None:
        found.outside.update(allowed.ports or usual)
        return
    network = _literal(target.host)
    if network is not None:
        if not any(_within(network, forbidden) for forbidden in FORBIDDEN):
            found.literal.setdefault(target.port, set()).add(network)
        return
    place, elsewhere = services_namespace(target.host, namespace)
    if place:
        found.inside.setdefault(place, set()).update({target.port, *usual, *allowed.ports})
    if elsewhere:
        found.outside.update({target.port, *allowed.ports})


def _literal(host: str) -> Network | None:
    try:
        return ipaddress.ip_network(host)
    except ValueError:
        return None


def _ranges(cidrs: tuple[str, ...], where: str) -> tuple[Network, ...]:
    return tuple(_range(cidr, where) for cidr in cidrs) or _ANYWHERE


def _range(cidr: str, where: str) -> Network:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        network = None
    if network is None or "/" not in cidr or getattr(network.network_address, "ipv4_mapped", None):
        raise InvalidSpecError(f"{where}.cidrs", "holds no range of addresses", "write e.g. 192.168.20.0/24")
    if any(_within(network, forbidden) for forbidden in FORBIDDEN):
        raise InvalidSpecError(
            f"{where}.cidrs", "holds a range of loopback, link-local or metadata addresses", "remove it"
        )
    return network


def _block(network: Network) -> dict[str, Any]:
    holes = [str(hole) for hole in FORBIDDEN if _within(hole, network)]
    return {"ipBlock": {"cidr": str(network)} | ({"except": holes} if holes else {})}


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _merged(networks: Iterable[Network]) -> list[Network]:
    """Return the same addresses in as few ranges as there can be, in order: 1,000 cameras beside each other are few."""
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]
