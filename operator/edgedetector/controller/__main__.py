"""The operator process: ``python -m edgedetector.controller``."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config as kubeconfig

from edgedetector import plan, profiles
from edgedetector.api.observation import Observation
from edgedetector.cluster import kinds
from edgedetector.cluster import watch as cluster_watch
from edgedetector.cluster.client import Client
from edgedetector.controller import aside, discovery, health, keys, logs, options, watch
from edgedetector.controller.detectors import DetectorReconciler
from edgedetector.controller.drifts import Drifts
from edgedetector.controller.loop import Loop, Reconciler
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.profiles import ProfileReconciler, ShippedReconciler, Uses
from edgedetector.controller.queue import KeyedQueue
from edgedetector.controller.shell import Shell
from edgedetector.controller.tuning import Tuner
from edgedetector.observe import load, scrape
from edgedetector.tuning.tuner import step

logger = logging.getLogger("edgedetector.controller")

WATCHED = tuple(dict.fromkeys((*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS, ("v1", "Pod"))))


async def credentials() -> None:
    """Log in to the API server: as the pod's service account, or as kubectl would."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubeconfig.load_incluster_config()  # type: ignore[no-untyped-call]
    else:
        await kubeconfig.load_kube_config()  # type: ignore[no-untyped-call]


def transport() -> kubernetes.Configuration:
    """Return the configuration of the connections to the API server."""
    found = kubernetes.Configuration.get_default_copy()
    found.connection_pool_maxsize = 0  # each watch holds one; how many passes are under way is bounded elsewhere
    if not getproxies():
        # Else each request would look for credentials and proxies of this machine, in a thread of its own.
        found.client_session_kwargs = {"trust_env": False}
    return found


def planning(settings: options.Options) -> plan.Settings:
    """Return what planning has to know of the options."""
    return plan.Settings(
        operator_namespace=settings.operator_namespace,
        detector_image=settings.detector_image,
        image_replacements=dict(settings.image_replacements),
        image_registry=settings.image_registry,
        exporter_pull_secrets=settings.exporter_pull_secrets,
        monitoring_labels=dict(settings.monitoring_labels),
        runbooks=settings.runbooks,
        model_hosts=settings.model_hosts,
        network_policies=settings.network_policies,
        prometheus_namespaces=settings.prometheus_namespaces,
        dns_cidrs=settings.dns_cidrs,
    )


async def run(settings: options.Options) -> None:
    """Run until told to stop."""
    await credentials()
    async with kubernetes.ApiClient(transport()) as api, aiohttp.ClientSession() as session:
        await work(settings, api, session)


async def work(settings: options.Options, api: kubernetes.ApiClient, session: aiohttp.ClientSession) -> None:
    """Do all the work over these connections."""
    rng = random.Random()  # noqa: S311 - spreads load, keeps no secret
    metrics, queue = Metrics(), KeyedQueue[keys.Key](time.monotonic)
    # Where profiles are files, their passes are the first to need the API server.
    first = keys.Subject.PROFILE if settings.namespaces else keys.Subject.SHIPPED
    alive = health.Health(time.monotonic, settings.resync, first)
    client = Client(api, lambda verb, kind, code, _seconds: metrics.requests.labels(verb, kind, code).inc())
    uses = Uses(queue.add)

    def wake_known() -> None:
        for key in uses.known():
            queue.add(key)

    kinds_served = discovery.Discovery(client, time.monotonic, wake_known)
    shell = Shell(
        client=client,
        discovery=kinds_served,
        settings=planning(settings),
        options=settings,
        metrics=metrics,
        rng=rng,
        instance=socket.gethostname(),
        files={body["metadata"]["name"]: body for body in profiles.load(settings.profiles)},
        profiles_applied=bool(settings.namespaces),
        drifts=Drifts(time.monotonic, queue.add),
    )
    scraper = scrape.Scraper[keys.Key](scrape.Asker(session), queue.add, time.monotonic)
    # Of what only computes, more than one would only be in each other's way; but no trial waits for a choice.
    pool, choices = ThreadPoolExecutor(1, "tuning"), ThreadPoolExecutor(1, "choosing")
    tuner = Tuner(shell, asking(session), step, queue.add, clock=time.monotonic, pool=pool, choices=choices)
    loop = loop_of(DetectorReconciler(shell, scraper, uses, tuner, uses.drivers_of), uses, queue, alive)

    def wake(key: keys.Key) -> None:
        if keys.is_served(key, settings.namespaces):
            queue.add(key)

    def monitoring_changed() -> None:
        kinds_served.forget()
        wake_known()

    queue.add(keys.SHIPPED)
    for name in shell.files if shell.namespaced else ():  # no watch tells of a file
        queue.add(keys.profile(name))
    logger.info("operator started", extra={"fields": dataclasses.asdict(settings)})
    server = await health.serve(settings.port, alive, metrics.registry)
    tasks: list[asyncio.Task[Any]] = [
        *(asyncio.create_task(loop.work(), name=f"worker-{n}") for n in range(settings.workers)),
        asyncio.create_task(scraper.run(), name="scraper"),
        asyncio.create_task(tuner.run(), name="tuner"),
        asyncio.create_task(kinds_served.run(), name="discovery"),
        asyncio.create_task(told_to_stop(), name="signals"),
        *(asyncio.create_task(one.run(), name=f"watch-{one.kind.plural}") for one in following(settings, client, wake)),
    ]
    if not shell.namespaced:  # else there is nothing that Kopf would have the right to watch
        anew = functools.partial(look_anew, metrics, uses, queue)
        tasks.append(asyncio.create_task(aside.watching(wake, monitoring_changed, anew), name="kopf"))
    try:
        await first_of(tasks)
    finally:
        await server.cleanup()


def asking(session: aiohttp.ClientSession) -> Callable[[scrape.Target], Awaitable[Observation | None]]:
    """Return what asks a pod for its load."""

    async def ask(pod: scrape.Target) -> Observation | None:
        return await load.observe(session, pod.ip, scrape.DEADLINE)

    return ask


def loop_of(detectors: DetectorReconciler, uses: Uses, queue: KeyedQueue[keys.Key], alive: health.Health) -> Loop:
    """Return what takes keys from the queue."""
    shell = detectors.shell
    reconcilers: dict[keys.Subject, Reconciler] = {
        keys.Subject.DETECTOR: detectors,
        keys.Subject.PROFILE: ProfileReconciler(shell, uses),
        keys.Subject.SHIPPED: ShippedReconciler(shell),
    }
    return Loop(queue, reconcilers, shell.metrics, alive, time.monotonic, shell.rng)


def look_anew(metrics: Metrics, uses: Uses, queue: KeyedQueue[keys.Key]) -> None:
    """Look at profiles once Kopf is begun anew: its lists say nothing of what has gone meanwhile."""
    metrics.kopf_restarts.inc()
    for key in (keys.SHIPPED, *uses.known()):
        if key.subject != keys.Subject.DETECTOR:
            queue.add(key)


async def told_to_stop() -> None:
    """Wait for the kubelet, or for somebody at a terminal."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()


async def first_of(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for the first task that ends, then end the others: no worker and no watch is missed silently."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def following(
    settings: options.Options, client: Client, wake: Callable[[keys.Key], None]
) -> Iterator[cluster_watch.Watch]:
    """Return the watches of the children and of their pods."""
    watched = tuple(kinds.of(*kind) for kind in WATCHED)
    return watch.follow(client, watched, places(settings) or ("",), wake, random.Random())  # noqa: S311 - no secret


def places(settings: options.Options) -> frozenset[str]:
    """Return the namespaces to look into, none for all of them.

    The operator's own one is among them for the exporters; a detector there is served only if it is named.
    """
    return frozenset({*settings.namespaces, settings.operator_namespace}) if settings.namespaces else frozenset()


def main() -> int:
    """Run the operator; the exit code is 0 after a signal."""
    settings = options.parse()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
