"""An API server, the proxy before it, and an operator behind that: where the scenario is played."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from tests import apiserver
from tests.e2e.node.localnode import wheels
from tests.faults import plans, scenario, world
from tests.faults.operators import Operator, Zygote
from tests.faults.proxy import Proxy

from edgedetector import plan
from edgedetector.cluster import kinds

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "edgedetector"
CONTROLLERS = (
    "garbage-collector-controller",
    "deployment-controller",
    "replicaset-controller",
    "daemonset-controller",
    "disruption-controller",
)

# Seconds. A settled step means: as in the undisturbed run, and the operator has asked for nothing for so long.
IDLE = 0.3
# How long an undisturbed step has to stay as it is to be taken for its end.
STEADY = 2.0
# After the last step, in which not one write may come.
REST = 1.0
# What a step may take with a fault in it on a busy machine: the operator's backoff after one failure is below 1 s.
PATIENCE = 180.0

SHIPPED = 3
"""Profiles that the operator brings along."""
PODS = 2
"""Of the detector: Triton's and the media server's."""

REPLICA_SET = kinds.Kind("apps/v1", "ReplicaSet", "replicasets")
_MORE = (kinds.EDGEDETECTOR, kinds.POD, REPLICA_SET)


@dataclass
class Played:
    """One run of the scenario."""

    worlds: dict[str, world.World] = field(default_factory=dict)
    """Step -> what there was at its end."""
    divergences: dict[str, list[str]] = field(default_factory=dict)
    """Step -> in what it ended differently from the undisturbed run."""
    writes: list[plans.Write] = field(default_factory=list)
    deaths: int = 0
    """Times that the operator ended by itself."""
    seconds: float = 0.0


class Arena:
    """Plays runs of the scenario, one after the other."""

    def __init__(self, server: apiserver.Server, proxy: Proxy, operator: Operator, api: aiohttp.ClientSession) -> None:
        self.server = server
        self.proxy = proxy
        self.operator = operator
        self._api = api
        self._uids: dict[str, set[str]] = {}

    async def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Ask the API server directly, as administrator; None if it says 404."""
        data = None if body is None else json.dumps(body)
        async with self._api.request(method, self.server.url + path, data=data, headers={"Content-Type": kind}) as got:
            answer = await got.json()
            if got.status == 404:
                return None
            assert got.status < 300, (method, path, answer)
            return answer

    async def apply(self, obj: Object) -> None:
        """Apply an object as the user."""
        path = self.server.path(obj) + "?fieldManager=user&force=true&fieldValidation=Strict"
        await self.request("PATCH", path, obj, "application/apply-patch+yaml")

    async def delete(self, obj: Object, propagation: str = "Background") -> None:
        """Delete an object as the user."""
        await self.request("DELETE", self.server.path(obj), {"propagationPolicy": propagation})

    async def objects(self) -> list[Object]:
        """Return everything that the scenario makes."""
        wanted = dict.fromkeys((*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS))
        places = [(kind, "") for kind in (*(kinds.of(*kind) for kind in wanted), *_MORE)]
        found = await asyncio.gather(*(self._list(kind) for kind, _ in places), self._list(kinds.ACCELERATOR_PROFILE))
        return [obj for objects in found for obj in objects]

    async def _list(self, kind: kinds.Kind) -> list[Object]:
        answer = await self.request("GET", kind.path())
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        items = [head | item for item in answer["items"]]
        ours = {scenario.NAMESPACE, scenario.SYSTEM}
        return [
            item for item in items
            if not kind.namespaced or (item["metadata"]["namespace"] in ours and item["metadata"]["name"] != _CA)
        ]  # fmt: skip

    async def look(self) -> world.World:
        """Return what there is, and remember the UIDs."""
        return self._note(await self.objects())

    def _note(self, found: list[Object]) -> world.World:
        for obj in found:
            if obj["kind"] not in {"Pod", "ReplicaSet"}:
                self._uids.setdefault(world.place(obj), set()).add(obj["metadata"]["uid"])
        return world.world(found)

    async def clear(self) -> None:
        """Stop the operator and remove everything."""
        await self.operator.stop()
        profiles = await self._list(kinds.ACCELERATOR_PROFILE)
        detectors = await self._list(kinds.EDGEDETECTOR)
        for obj in (*detectors, *profiles):
            await self.delete(obj)
        deadline = time.monotonic() + PATIENCE
        while found := await self.objects():
            if time.monotonic() > deadline:
                for obj in found:
                    await self.delete(obj)
                deadline += PATIENCE
            await asyncio.sleep(0.05)

    async def play(
        self,
        plan_of: plans.Plan = plans.undisturbed,
        want: dict[str, world.World] | None = None,
        *,
        steps: Iterable[str] = scenario.STEPS,
        patience: float = PATIENCE,
        before: Callable[[str], Awaitable[None]] | None = None,
    ) -> Played:
        """Play the scenario.

        `want` is the end of each step, None to find out. Without the step `start` the operator is left running if it
        runs. `before` is called with each step, which may take `patience` seconds.
        """
        steps = tuple(steps)
        fresh = scenario.START in steps
        played, began = Played(), time.monotonic()
        if fresh or not self.operator.alive:
            await self.clear()
        if not self.operator.alive and not fresh:
            self.operator.start()
        self._uids, deaths = {}, self.operator.deaths
        self.proxy.begin(plan_of)
        for step in steps:
            self.proxy.step = step
            self.proxy.forget_gets()
            if before is not None:
                await before(step)
            await self._act(step)
            played.worlds[step] = found = await (self.steady() if want is None else self.settled(want[step], patience))
            wrong = [] if want is None else list(world.differences(want[step], found))
            wrong += [f"{key}: was deleted and made anew" for key in world.born_twice(self._uids)]
            if wrong:
                played.divergences[step] = wrong
                break
        else:
            played.divergences |= await self._rest()
        played.writes = [done.write for done in self.proxy.done]
        played.deaths = self.operator.deaths - deaths
        played.seconds = time.monotonic() - began
        if played.divergences:
            await self.clear()
        return played

    async def _act(self, step: str) -> None:
        if step == scenario.START:
            self.operator.start()
        elif (obj := scenario.desired(step)) is not None:
            await self.apply(obj)
        else:
            await self.delete(scenario.detector())

    async def _rest(self) -> dict[str, list[str]]:
        """Look whether the operator has come to rest for good."""
        before = len(self.proxy.done)
        await asyncio.sleep(REST)
        late = [f"write at rest: {done.write}" for done in self.proxy.done[before:]]
        return {scenario.DELETE: late} if late else {}

    async def settled(self, want: world.World, seconds: float = PATIENCE) -> world.World:
        """Wait until there is what is wanted and the operator has nothing to do; return what there is at last."""
        deadline = time.monotonic() + seconds
        found: world.World = {}
        while time.monotonic() < deadline:
            if self.idle():
                found = await self.look()
                if found == want and self.idle():
                    return found
            await asyncio.sleep(0.05)
        return found or await self.look()

    def _is_complete(self, objects: list[Object]) -> bool:
        """Tell whether everybody has acted upon everything: on a busy machine a pause is no sign of it."""
        profiles = sum(obj["kind"] == "AcceleratorProfile" for obj in objects)
        ours = [obj for obj in objects if obj["metadata"].get("namespace") == scenario.NAMESPACE]
        wanted = scenario.desired(self.proxy.step) is not None
        if profiles < SHIPPED or bool(ours) != wanted or world.unfinished(objects):
            return False
        return not wanted or sum(obj["kind"] == "Pod" for obj in ours) >= PODS

    def idle(self, seconds: float = IDLE) -> bool:
        """Tell whether the operator has looked at the detector since the step began, and has nothing to do."""
        looked = self.proxy.gets.get(kinds.EDGEDETECTOR.path(scenario.NAMESPACE, scenario.NAME), 0)
        if self.proxy.step == scenario.START:
            looked = self.proxy.gets.get(kinds.ACCELERATOR_PROFILE.path(), 0)
        if self.proxy.step == scenario.DELETE:
            # An operator that began after the deletion hears of no detector; it has seen in a list that there is none.
            looked += self.proxy.gets.get(kinds.EDGEDETECTOR.path(), 0)
        return self.operator.alive and looked > 0 and self.proxy.quiet >= seconds

    async def steady(self) -> world.World:
        """Wait until nothing changes any more and return what there is."""
        since, last = time.monotonic(), await self.look()
        deadline = since + PATIENCE
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            objects = await self.objects()
            found = self._note(objects)
            if found != last or not self.idle(0.0) or not self._is_complete(objects):
                since, last = time.monotonic(), found
            elif time.monotonic() - since >= STEADY:
                return found
        raise TimeoutError(f"{self.proxy.step}: never steady")


_CA = "kube-root-ca.crt"


@contextlib.asynccontextmanager
async def arena(server: apiserver.Server, *more: str) -> AsyncIterator[Arena]:
    """Put a proxy and an operator before a server that `equipped` has prepared; `more` are options of the operator."""
    tls = ssl.create_default_context(cafile=str(server.authority))
    keys = server.home / "pki"
    admin = ssl.create_default_context(cafile=str(server.authority))
    admin.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    held: list[Operator] = []

    async def kill() -> None:
        proxy.forget_gets()
        await held[0].kill()

    async with (
        Proxy(server.url, tls, kill) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=admin)) as api,
    ):
        environment = {"KUBECONFIG": str(server.kubeconfig_of(scenario.SYSTEM, ACCOUNT, server=proxy.url))}
        options = [f"--operator-namespace={scenario.SYSTEM}", "--port=0", "--detector-image=detector:1", *more]
        with contextlib.closing(Zygote(environment)) as zygote:
            operator = Operator(zygote, options, environment, server.home / "operator.log")
            held.append(operator)
            yield Arena(server, proxy, operator, api)
            await operator.stop()


@contextlib.contextmanager
def equipped() -> Iterator[apiserver.Server]:
    """Run an API server with our kinds, the chart's RBAC for the operator, and the controllers of workloads."""
    with apiserver.start() as bare:
        bare.install_crds()
        for name in (scenario.NAMESPACE, scenario.SYSTEM):
            bare.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "any"}
        bare.apply(runtime | {"metadata": {"name": "denglin"}}, *rbac())
        bare.run_controllers(CONTROLLERS)
        yield bare


def rbac() -> list[Object]:
    """Return the chart's account and what it may do."""
    command = [str(wheels.helm()), "template", ACCOUNT, str(ROOT / "charts" / "edgedetector")]
    command += ["--namespace", scenario.SYSTEM, "--set", f"serviceAccount.name={ACCOUNT}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [obj for obj in yaml.safe_load_all(text) if obj]
    return [obj for obj in found if obj["apiVersion"].startswith("rbac.") or obj["kind"] == "ServiceAccount"]
