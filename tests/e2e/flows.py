"""Every connection on the node, judged by the NetworkPolicies of the moment at which it was first seen.

The node's network enforces no policy. So its connection tracking is read every few seconds, which keeps a connection
for ten seconds at least after its end: none is missed, short as it may be. Of a connection through a Service it knows
the pod that answers, which is what policies are about.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.network.evaluator import Flow, Pod, World, judge

import api

Object = dict[str, Any]

INTERVAL: Final = 3.0
ATTACKER: Final = "edgedetector.test/attacker"
"""Label of pods whose connections are not to be judged, since they try what is forbidden."""

NAME_SERVER: Final = Pod("kube-system", "kube-dns", frozenset({"192.0.2.53"}), {"k8s-app": "kube-dns"})
"""Stands in for the pods of the cluster's name server, which on this node is a process of the node itself."""

_DNS_PORT: Final = 53
_SILENCE: Final = 40  # looks without an answer of the API server after which something is wrong
_PATIENCE: Final = 5  # looks after which an address that belongs to nobody is told
_LOOK: Final = "while read -r _; do ip -j addr; echo @; conntrack -L -o extended 2>/dev/null; echo @@; done"
_FIELDS: Final = re.compile(r"\b(src|dst|sport|dport)=(\S+)")


@dataclass(frozen=True)
class Connection:
    """A line of the node's connection tracking: both ends as they are after all translation of addresses."""

    flow: Flow
    source_port: int

    @classmethod
    def parse(cls, line: str) -> Connection | None:
        """Read a line; None for one that is not TCP or UDP."""
        words = line.split(maxsplit=3)
        found = _FIELDS.findall(line)
        if len(words) < 3 or words[2] not in {"tcp", "udp"} or len(found) != 8:
            return None
        asked, answered = dict(found[:4]), dict(found[4:])
        flow = Flow(asked["src"], answered["src"], int(answered["sport"]), words[2].upper())
        return cls(flow, int(asked["sport"]))


@dataclass(frozen=True)
class Denied:
    """A connection that the policies of its time would have stopped."""

    source: str
    destination: str
    port: int
    why: str


@dataclass(frozen=True)
class Scene:
    """What there was at one look."""

    world: World
    attackers: frozenset[str]
    services: frozenset[str]
    """Addresses of Services, former ones too. What is still addressed to one has found no pod and arrives nowhere."""
    gone: dict[str, Pod] = field(default_factory=dict)
    """Pods that are no more, by address."""


def scene(nodes: Iterable[str], before: Scene | None) -> Scene:
    """Ask the API server for policies, pods and namespaces."""
    listed = [obj for obj in api.request("GET", "/api/v1/pods")["items"] if not obj["spec"].get("hostNetwork")]
    # A pod that has ended still says which address it had; somebody else may have it by now.
    listed.sort(key=lambda obj: obj["status"].get("phase") in {"Succeeded", "Failed"})
    pods = [Pod.of(obj) for obj in listed]
    present = {address for pod in pods for address in pod.addresses}
    known = {**before.gone, **{a: p for p in before.world.pods for a in p.addresses}} if before else {}
    gone = {address: pod for address, pod in known.items() if address not in present and pod is not NAME_SERVER}
    policies = api.request("GET", "/apis/networking.k8s.io/v1/networkpolicies")["items"]
    namespaces = {
        obj["metadata"]["name"]: obj["metadata"].get("labels") or {}
        for obj in api.request("GET", "/api/v1/namespaces")["items"]
    }
    former = [replace(pod, addresses=frozenset({address})) for address, pod in gone.items()]
    attackers = frozenset(a for pod in (*pods, *former) if pod.labels.get(ATTACKER) for a in pod.addresses)
    services = [obj["spec"].get("clusterIPs") or () for obj in api.request("GET", "/api/v1/services")["items"]]
    world = World(tuple(policies), (*pods, *former, NAME_SERVER), namespaces, frozenset(nodes))
    addresses = {address for addresses in services for address in addresses} | (before.services if before else set())
    return Scene(world, attackers, frozenset(addresses), gone)


class Recorder:
    """Looks at the node's connections until it is stopped.

    Parameters
    ----------
    enter
        Command line that runs another one inside the node.
    pods
        First characters of the addresses that pods have.
    """

    def __init__(self, enter: Sequence[str], pods: str = "10.244.") -> None:
        self.denied: list[Denied] = []
        self.attacks: list[Denied] = []
        """Of these those that were tried on purpose, which shows that the others would be noticed."""
        self.allowed: Counter[tuple[str, str, int]] = Counter()
        self.nobodys: list[Connection] = []
        """Connections of an address of the pod network that no pod is known to have had."""
        self.failure: BaseException | None = None
        self._silence = 0
        self._pods = pods
        self._judged: set[Connection] = set()
        self._waiting: dict[Connection, int] = {}
        self._scene: Scene | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._enter = enter
        self._node = self._open()
        # What is under way already belongs to pods that nobody may know any more.
        self._judged.update(self._look()[1])
        self._thread = threading.Thread(target=self._run, name="flows", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look for the last time and end; the process in the node ends with its input."""
        self._stop.set()
        self._thread.join(30)
        assert self._node.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the node has ended before
            self._node.stdin.close()
        self._node.wait(timeout=10)

    def look(self) -> None:
        """Judge what is new."""
        with self._lock:
            nodes, connections = self._look()
            before, self._scene = self._scene, scene(nodes, self._scene)
            for connection in connections:
                if connection not in self._judged:
                    self._judge(connection, before)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.look()
                self._silence = 0
            except Exception as error:  # noqa: BLE001 - told by the test that asks
                # A test may have stopped the API server for a moment; connections wait for the next look.
                self._silence += 1
                if self._silence > _SILENCE:
                    self.failure = error
                    return

    def _open(self) -> subprocess.Popen[str]:
        command = [*self._enter, "sh", "-c", _LOOK]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _look(self) -> tuple[list[str], list[Connection]]:
        if self._node.poll() is not None:  # a test has started the node anew
            self._node = self._open()
        assert self._node.stdin is not None
        self._node.stdin.write("\n")
        self._node.stdin.flush()
        interfaces = json.loads("".join(self._until("@")) or "[]")
        nodes = [address["local"] for interface in interfaces for address in interface.get("addr_info", ())]
        found = [Connection.parse(line) for line in self._until("@@")]
        return nodes, [connection for connection in found if connection is not None]

    def _until(self, end: str) -> list[str]:
        assert self._node.stdout is not None
        return list(itertools.takewhile(lambda line: line.strip() != end, self._node.stdout))

    def _judge(self, connection: Connection, before: Scene | None) -> None:
        assert self._scene is not None
        now, flow = self._scene, connection.flow
        if flow.destination in now.services:
            self._judged.add(connection)
            return
        if flow.source not in now.world.nodes and any(
            self._is_nobodys(now, address) for address in (flow.source, flow.destination)
        ):
            # The API server tells of a new pod's address a moment later.
            looks = self._waiting[connection] = self._waiting.get(connection, 0) + 1
            if looks >= _PATIENCE:
                self._judged.add(connection)
                self.nobodys.append(connection)
            return
        self._judged.add(connection)
        if flow.port == _DNS_PORT and flow.destination in now.world.nodes:
            flow = replace(flow, destination=next(iter(NAME_SERVER.addresses)))
        verdict = judge(now.world, flow)
        # A policy that has just changed: what was allowed at the last look may have begun before it.
        if verdict.allowed or (before is not None and judge(before.world, flow).allowed):
            self.allowed[_name(now, flow.source), _name(now, flow.destination), flow.port] += 1
        else:
            found = Denied(_name(now, flow.source), _name(now, flow.destination), flow.port, verdict.why)
            (self.attacks if flow.source in now.attackers else self.denied).append(found)

    def _is_nobodys(self, now: Scene, address: str) -> bool:
        is_pods = address.startswith(self._pods) and address not in now.world.nodes
        return is_pods and now.world.pod_at(address) is None


def _name(now: Scene, address: str) -> str:
    pod = now.world.pod_at(address)
    if pod is not None:
        component = (
            pod.labels.get("app.kubernetes.io/component") or pod.labels.get("app.kubernetes.io/name") or pod.name
        )
        return f"{pod.namespace}/{component}"
    return "node" if address in now.world.nodes else address
