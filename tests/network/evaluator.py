"""What NetworkPolicies allow, as the API's documentation defines it. Pure.

Judged is what arrives: the addresses of pods, after a Service's address was replaced by one of them. A pod always
reaches itself, and a node the pods on it (the kubelet's probes). Whether an `ipBlock` matches addresses of pods the
definition leaves to the network: so what has to work is judged with blocks that match none, and what must not work with
blocks that match all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod of the pod network, as far as policies know it; one on its node's network is no pod to them."""

    namespace: str
    name: str
    addresses: frozenset[str]
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(name, protocol) -> number."""

    @classmethod
    def of(cls, obj: Object) -> Pod:
        """Read an object of the API server."""
        metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
        containers = (*(spec.get("initContainers") or ()), *spec["containers"])
        ports = [port for container in containers for port in container.get("ports") or () if port.get("name")]
        return cls(
            metadata["namespace"],
            metadata["name"],
            frozenset(entry["ip"] for entry in status.get("podIPs") or ()),
            metadata.get("labels") or {},
            {(port["name"], port.get("protocol", "TCP")): port["containerPort"] for port in ports},
        )


@dataclass(frozen=True)
class Flow:
    """A connection: who opened it, and where to."""

    source: str
    destination: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class World:
    """Everything that policies refer to."""

    policies: tuple[Object, ...]
    pods: tuple[Pod, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    """Name -> labels."""
    nodes: frozenset[str] = frozenset()
    """Addresses of the nodes themselves."""

    def pod_at(self, address: str) -> Pod | None:
        """Return the pod that has an address."""
        return next((pod for pod in self.pods if address in pod.addresses), None)


@dataclass(frozen=True)
class Verdict:
    """Whether a flow may be, and which half of it forbids it."""

    allowed: bool
    why: str = ""


def judge(world: World, flow: Flow, *, blocks_match_pods: bool = False) -> Verdict:
    """Return whether a flow is allowed: to leave by its source's policies, and to come in by its destination's."""
    case = _Case(world, flow, blocks_match_pods)
    source, destination = world.pod_at(flow.source), world.pod_at(flow.destination)
    if source is not None and source == destination:
        return Verdict(allowed=True)
    if source is not None and not case.passes(source, "Egress", "to", flow.destination):
        return Verdict(allowed=False, why=f"egress of {source.namespace}/{source.name}")
    from_node = flow.source in world.nodes
    if destination is not None and not from_node and not case.passes(destination, "Ingress", "from", flow.source):
        return Verdict(allowed=False, why=f"ingress of {destination.namespace}/{destination.name}")
    return Verdict(allowed=True)


def selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector matches; an empty one matches everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise ValueError(f"no operator of label selectors: {operator}")


def _types(spec: Object) -> Iterable[str]:
    return spec.get("policyTypes") or (("Ingress", "Egress") if spec.get("egress") else ("Ingress",))


def _in_block(block: Object, address: str) -> bool:
    found = ipaddress.ip_address(address)
    holes = (ipaddress.ip_network(text) for text in block.get("except") or ())
    return found in ipaddress.ip_network(block["cidr"]) and not any(found in hole for hole in holes)


@dataclass(frozen=True)
class _Case:
    """One flow in one world."""

    world: World
    flow: Flow
    blocks_match_pods: bool

    def passes(self, pod: Pod, direction: str, side: str, other: str) -> bool:
        """Tell whether the policies that select `pod` let through what goes to or comes from the address `other`."""
        found = [
            policy
            for policy in self.world.policies
            if policy["metadata"]["namespace"] == pod.namespace
            and direction in _types(policy["spec"])
            and selects(policy["spec"].get("podSelector"), pod.labels)
        ]
        rules = [rule for policy in found for rule in policy["spec"].get(direction.lower()) or ()]
        return not found or any(
            self._fits_ports(rule.get("ports") or ()) and self._fits_peers(rule.get(side) or (), pod.namespace, other)
            for rule in rules
        )

    def _fits_ports(self, ports: Sequence[Object]) -> bool:
        return not ports or any(self._is_port(port) for port in ports)

    def _is_port(self, port: Object) -> bool:
        protocol, number = port.get("protocol", "TCP"), port.get("port")
        if protocol != self.flow.protocol:
            return False
        if number is None:
            return True
        if isinstance(number, str):
            target = self.world.pod_at(self.flow.destination)
            return target is not None and target.ports.get((number, protocol)) == self.flow.port
        return bool(number <= self.flow.port <= port.get("endPort", number))

    def _fits_peers(self, peers: Sequence[Object], namespace: str, address: str) -> bool:
        return not peers or any(self._is_peer(peer, namespace, address) for peer in peers)

    def _is_peer(self, peer: Object, namespace: str, address: str) -> bool:
        pod = self.world.pod_at(address)
        if "ipBlock" in peer:
            return (pod is None or self.blocks_match_pods) and _in_block(peer["ipBlock"], address)
        if pod is None:
            return False
        if "namespaceSelector" in peer:
            inside = selects(peer["namespaceSelector"], self.world.namespaces.get(pod.namespace, {}))
        else:
            inside = pod.namespace == namespace
        return inside and selects(peer.get("podSelector"), pod.labels)
