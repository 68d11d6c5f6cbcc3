"""Liveness and readiness that mean "it reconciles", and the HTTP server that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edgedetector.controller.keys import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

# Of the resync interval: one key at least, that of the shipped profiles, comes round once an interval.
PATIENCE: Final = 3.0


class Health:
    """Knows when the last pass ended, well or badly: a restart helps against neither a bad spec nor a lost server.

    Parameters
    ----------
    clock
        Monotonic seconds.
    resync
        Seconds between two full looks at a resource.
    first
        What has to be reconciled once, well, for the operator to be ready.
    """

    def __init__(self, clock: Callable[[], float], resync: float, first: Subject = Subject.SHIPPED) -> None:
        self._clock = clock
        self._limit = resync * PATIENCE
        self._last = clock()
        self._first = first
        self.ready = False
        """Whether the operator could do its work once; an API server that is lost later makes it no less ready."""

    def finished(self) -> None:
        """Note that a pass has ended."""
        self._last = self._clock()

    def succeeded(self, subject: Subject) -> None:
        """Note that a pass has ended well."""
        self.ready = self.ready or subject == self._first

    @property
    def alive(self) -> bool:
        """Whether passes end at all."""
        return self._clock() - self._last < self._limit


async def serve(port: int, health: Health, registry: CollectorRegistry) -> web.AppRunner:
    """Serve /healthz, /readyz and /metrics; the caller cleans the runner up."""

    async def healthz(_request: web.Request) -> web.Response:
        return (
            web.Response(text="ok\n") if health.alive else web.Response(status=503, text="no pass has ended lately\n")
        )

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if health.ready else web.Response(status=503, text="no pass has succeeded\n")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner
