"""The operator process: ``python -m edgedetector.controller``."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
import socket
import sys
import time
from typing import Any

import aiohttp
import kopf
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config as kubeconfig

from edgedetector import plan, profiles
from edgedetector.cluster import kinds
from edgedetector.cluster.client import Client
from edgedetector.controller import health, keys, logs, options, watch
from edgedetector.controller.detectors import DetectorReconciler
from edgedetector.controller.discovery import Discovery
from edgedetector.controller.loop import Loop
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.profiles import ProfileReconciler, ShippedReconciler, Uses
from edgedetector.controller.queue import KeyedQueue
from edgedetector.controller.shell import Shell
from edgedetector.observe import scrape

logger = logging.getLogger("edgedetector.controller")

WATCHED = tuple(dict.fromkeys((*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS, ("v1", "Pod"))))


async def credentials() -> None:
    """Log in to the API server: as the pod's service account, or as kubectl would."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubeconfig.load_incluster_config()  # type: ignore[no-untyped-call]
    else:
        await kubeconfig.load_kube_config()  # type: ignore[no-untyped-call]


async def login(**context: Any) -> kopf.ConnectionInfo | None:
    """Log Kopf in the same way."""
    return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)


async def run(settings: options.Options) -> None:
    """Run until told to stop."""
    await credentials()
    rng = random.Random()  # noqa: S311 - spreads load, keeps no secret
    metrics, queue = Metrics(), KeyedQueue[keys.Key](time.monotonic)
    alive = health.Health(time.monotonic, settings.resync)
    async with kubernetes.ApiClient() as api, aiohttp.ClientSession() as session:
        client = Client(api, lambda verb, kind, code, _seconds: metrics.requests.labels(verb, kind, code).inc())
        uses = Uses(queue.add)

        def wake_known() -> None:
            for key in uses.known():
                queue.add(key)

        discovery = Discovery(client, time.monotonic, wake_known)
        shell = Shell(
            client=client,
            discovery=discovery,
            settings=plan.Settings(
                operator_namespace=settings.operator_namespace,
                detector_image=settings.detector_image,
                image_replacements=dict(settings.image_replacements),
                monitoring_labels=dict(settings.monitoring_labels),
            ),
            options=settings,
            metrics=metrics,
            rng=rng,
            instance=socket.gethostname(),
        )
        scraper = scrape.Scraper[keys.Key](scrape.Asker(session), queue.add, time.monotonic)
        loop = Loop(
            queue=queue,
            reconcilers={
                keys.Subject.DETECTOR: DetectorReconciler(shell, scraper, uses),
                keys.Subject.PROFILE: ProfileReconciler(shell, uses),
                keys.Subject.SHIPPED: ShippedReconciler(shell, profiles.load()),
            },
            metrics=metrics,
            health=alive,
            clock=time.monotonic,
            rng=rng,
        )

        def wake(key: keys.Key) -> None:
            if keys.is_served(key, settings.namespaces):
                queue.add(key)

        def monitoring_changed() -> None:
            discovery.forget()
            wake_known()

        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(login)
        watch.register(registry, tuple(kinds.of(*kind) for kind in WATCHED), wake, monitoring_changed)
        kopf_settings = kopf.OperatorSettings()
        watch.operator_settings(kopf_settings, tuple(kinds.of(*kind) for kind in WATCHED))
        queue.add(keys.SHIPPED)
        logger.info("operator started", extra={"fields": dataclasses.asdict(settings)})
        server = await health.serve(settings.port, alive, metrics.registry)
        tasks = [asyncio.create_task(loop.work(), name=f"worker-{n}") for n in range(settings.workers)]
        tasks.append(asyncio.create_task(scraper.run(), name="scraper"))
        tasks.append(asyncio.create_task(discovery.run(), name="discovery"))
        watching = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings,
                standalone=True,
                clusterwide=not settings.namespaces,
                # The operator's own one for the exporters; a detector there is served only if it is named.
                namespaces={*settings.namespaces, settings.operator_namespace} if settings.namespaces else (),
            ),
            name="kopf",
        )
        try:
            # The first task that ends ends the process: a worker or a watch that is gone is not missed silently.
            done, _ = await asyncio.wait([watching, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (watching, *tasks):
                task.cancel()
            await asyncio.gather(watching, *tasks, return_exceptions=True)
            await server.cleanup()


def main() -> int:
    """Run the operator; the exit code is 0 after a signal."""
    settings = options.parse()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
