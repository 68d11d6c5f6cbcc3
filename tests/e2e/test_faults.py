"""The operator dies at writes on the real cluster: what runs in the pods is what an undisturbed operator would run.

The faults of `tests/faults` on a live detector: after each edit Triton's loaded configuration, go2rtc's running one and
the detector's own have to be those of a run without faults, in the same pods, with go2rtc started again as often.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import tritonclient.grpc as triton
import yaml
from tests.e2e.node.localnode import paths, sandbox
from tests.faults import plans
from tests.faults.operators import Operator
from tests.faults.proxy import Proxy

import api
import cluster as driver
import pause
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from forward import forward, get
from harness import Kubectl, poll
from stages import ROOT

pytestmark = pytest.mark.soak

NAMESPACE: Final = "faults"
NAME: Final = "yard"
CYCLES: Final = 3
STEPS: Final = ("camera", "serving", "camera back", "serving back")
QUIET_SECONDS: Final = 1.0

Object = dict[str, Any]
T = TypeVar("T")

VTEST: Final = {"name": "gate", "url": "rtsp://camera:8554/vtest"}
MIRRORED: Final = {"name": "gate", "url": "rtsp://camera:8554/mirrored"}
EDITS: Final[dict[str, Object]] = {
    "camera": {"cameras": [MIRRORED]},
    "serving": {"serving": {"instances": 2, "preferredBatchSizes": [2], "maxQueueDelay": "2ms"}},
    "camera back": {"cameras": [VTEST]},
    "serving back": {"serving": {"instances": 1, "preferredBatchSizes": [4], "maxQueueDelay": "1ms"}},
}


class InNode:
    """Starts operators in the node's network, where pods can be reached."""

    def __init__(self, holder: int) -> None:
        self._enter = ["nsenter", f"--target={holder}", "--net", "--"]
        self._processes: list[subprocess.Popen[bytes]] = []

    def fork(self, arguments: Sequence[str], environment: dict[str, str], log: Path) -> int:
        """Return the id of a new operator's process."""
        for process in self._processes:
            process.poll()  # reaps
        command = [
            *self._enter,
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            sys.executable,
            "-m",
            "edgedetector.controller",
        ]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*command, *arguments], env={**os.environ, **environment}, stdout=out, stderr=out, cwd=ROOT
            )
        self._processes.append(process)
        return process.pid


@dataclass
class Live:
    """The detector, the proxy and the operator, which live in a loop on a thread of its own."""

    proxy: Proxy
    operator: Operator
    loop: asyncio.AbstractEventLoop
    addresses: dict[str, str]
    """Component -> where its state is."""
    server: triton.InferenceServerClient
    restarts: int = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in the loop to the end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def step(self, step: str, plan: plans.Plan, want: Object | None) -> Object:
        """Make the edit of a step and return what runs when all is quiet; `want` is waited for."""
        before = self._restarts()

        async def begin() -> None:
            self.proxy.begin(plan)
            self.proxy.step = step

        self.run(begin())
        sites.change(NAMESPACE, NAME, **EDITS[step])
        return poll(
            f"{step}: what runs is what an undisturbed operator would run, {want}",
            lambda: self.running(before),
            lambda found: found["settled"] and (want is None or found == want),
        )

    def running(self, restarts_before: int) -> Object:
        """Return what the pods run; `settled` tells whether it is what the resource asks for."""
        generation = (api.get(kinds.EDGEDETECTOR, NAMESPACE, NAME) or {})["metadata"]["generation"]
        media = json.loads(get(f"{self.addresses[names.COMPONENT_MEDIA]}/state"))
        detector = json.loads(get(f"{self.addresses[names.COMPONENT_TRITON]}/state"))
        ready = sites.conditions(NAMESPACE, NAME).get("Ready", ("",))[0] == "True"
        fresh = media["generation"] == detector["generation"] == generation
        return {
            "settled": ready and fresh and media["ready"] and self.proxy.quiet > QUIET_SECONDS and self.operator.alive,
            "triton": str(self.server.get_model_config("any").config),
            "serving": detector["acceptedId"],
            "cameras": [(camera["name"], camera["state"]) for camera in detector["cameras"]],
            "go2rtc": media["revision"],
            "streams": [(stream["stream"], stream["state"]) for stream in media["streams"]],
            "go2rtc started again": media["restarts"] - restarts_before,
        }

    def _restarts(self) -> int:
        return int(json.loads(get(f"{self.addresses[names.COMPONENT_MEDIA]}/state"))["restarts"])


@dataclass
class Outcome:
    """What the campaign on the live detector found."""

    struck: list[plans.Case] = field(default_factory=list)
    missed: list[plans.Case] = field(default_factory=list)
    marks: list[dict[str, tuple[int, ...]]] = field(default_factory=list)
    """Pods and their restarts, before and after."""
    generations: list[dict[str, int]] = field(default_factory=list)
    deaths: int = 0
    seconds: float = 0.0


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A namespace with a camera and a live detector, made by the installed operator, which is then stopped."""
    if driver.existing():
        pytest.skip("the operator under test runs in the network of our own node")
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(*sites.camera(images["camera"]), sites.model())
    kubectl.apply(sites.detector(NAME, VTEST, scaling={"maxReplicas": 1}, **EDITS["serving back"]))
    sites.wait_ready(NAMESPACE, NAME)
    with pause.stopped(operator):
        yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def live(site: Kubectl, operator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An operator of the present tree, behind the proxy."""
    folder = tmp_path_factory.mktemp("operator")
    node = paths.Cluster(driver.NAME)
    holder = sandbox.holder(node)
    assert holder is not None
    held: list[Operator] = []

    async def kill() -> None:
        await held[0].kill()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with contextlib.ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        config = yaml.safe_load(driver.kubeconfig().read_text())
        entry = config["clusters"][0]["cluster"]
        tls = ssl.create_default_context(cadata=_text(entry["certificate-authority-data"]))
        proxy = Proxy(entry["server"], tls, kill, host=sandbox.link(node).host)
        _wait(loop, proxy.__aenter__())
        stack.callback(lambda: _wait(loop, proxy.__aexit__()))
        environment = _environment(operator, proxy.url, folder)
        arguments = [f"--namespaces={NAMESPACE}", "--port=0"]
        process = Operator(InNode(holder.pid), arguments, environment, folder / "log")
        held.append(process)
        _wait(loop, _call(process.start))
        stack.callback(lambda: _wait(loop, process.stop()))
        addresses = {}
        for component, port in ((names.COMPONENT_MEDIA, names.PORT_GO2RTC_API), (names.COMPONENT_TRITON, 9090)):
            (pod,) = sites.pods(NAMESPACE, NAME, component)
            where = f"pod/{pod['metadata']['name']}"
            addresses[component] = stack.enter_context(forward(NAMESPACE, where, port))
        grpc = stack.enter_context(forward(NAMESPACE, where, names.PORT_TRITON_GRPC))
        server = triton.InferenceServerClient(grpc.removeprefix("http://"))
        stack.callback(server.close)
        yield Live(proxy, process, loop, addresses, server)


@pytest.fixture(scope="module")
def outcome(live: Live) -> Outcome:
    """What came of the faults; module: each costs the seconds that an edit takes."""
    began, result = time.monotonic(), Outcome()
    want: dict[str, Object] = {}
    writes: dict[str, list[plans.Write]] = {}
    for step in STEPS:
        live.step(step, plans.undisturbed, None)
    for step in STEPS:
        want[step] = live.step(step, plans.undisturbed, None)
        writes[step] = [done.write for done in live.proxy.done]
    result.marks.append(sites.marks(NAMESPACE, NAME))
    result.generations.append(_generations())
    for cycle in range(CYCLES):
        for number, step in enumerate(STEPS):
            case = _case(writes[step], cycle * len(STEPS) + number, cycle)
            plan = plans.Once([case])
            live.step(step, plan, want[step])
            (result.missed if plan.missed else result.struck).append(case)
    result.marks.append(sites.marks(NAMESPACE, NAME))
    result.generations.append(_generations())
    result.deaths, result.seconds = live.operator.deaths, time.monotonic() - began
    print(f"\n{len(result.struck)} faults at writes of live edits in {result.seconds:.0f} s:")
    print("\n".join(f"  {case}" for case in result.struck))
    return result


def test_what_runs_is_what_an_undisturbed_operator_would_run(outcome: Outcome) -> None:
    # Each step has waited for it.
    assert len(outcome.struck) >= len(STEPS) * CYCLES - 2
    assert len({case.fault for case in outcome.struck}) >= 5


def test_no_pod_is_replaced_and_no_container_started_again(outcome: Outcome) -> None:
    before, after = outcome.marks
    assert after == before


def test_no_workload_is_rolled(outcome: Outcome) -> None:
    before, after = outcome.generations
    assert after == before


def test_no_fault_ends_the_operator(outcome: Outcome) -> None:
    assert outcome.deaths == 0


def _case(writes: list[plans.Write], number: int, cycle: int) -> plans.Case:
    """Return another write and another fault each time; a status that is written on the way may not come again."""
    sure = [write for write in writes if not write.what.endswith(("/status", "/events"))]
    faults = tuple(plans.Fault)
    return plans.Case(sure[cycle % len(sure)], faults[number % len(faults)])


def _generations() -> dict[str, int]:
    found = api.items(kinds.of("apps/v1", "Deployment"), NAMESPACE)
    return {obj["metadata"]["name"]: obj["metadata"]["generation"] for obj in found}


def _environment(operator: Kubectl, url: str, folder: Path) -> dict[str, str]:
    """Return the installed operator's settings and rights, through the proxy."""
    (deployment,) = operator.items("deployments")
    pod = deployment["spec"]["template"]["spec"]
    found = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if "value" in entry}
    token = operator("create", "token", pod["serviceAccountName"]).strip()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "node", "cluster": {"server": url}}],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": "operator"}}],
        "current-context": "node",
    }
    file = folder / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    settings = {"EDGEDETECTOR_OPERATOR_NAMESPACE": driver.SYSTEM_NAMESPACE, "KUBECONFIG": str(file)}
    return {**found, **settings, "PYTHONPATH": str(ROOT / "operator")}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


async def _call(function: Any) -> None:
    function()


def _wait(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)
