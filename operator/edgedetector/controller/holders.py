"""Who holds the accelerators, for all detectors that wait for one: one look at the cluster's pods serves them all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edgedetector.cluster import kinds
from edgedetector.controller.watch import OURS
from edgedetector.observe import kubelet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgedetector.cluster.client import Client

# Seconds for which an answer is good, which is also until the next look of a detector that waits: nobody tells when
# another one takes over.
HELD: Final = 30.0
# Seconds for which it is good that nobody holds what is asked for: whoever takes it is then not overlooked for long.
FREE: Final = 5.0


@dataclass(slots=True)
class Holders:
    """Remembers for a while which detector holds which accelerator.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    clock: Callable[[], float]
    _held: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _since: float = float("-inf")
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(
        self, client: Client, namespaces: Iterable[str], lacking: Iterable[str], own: str
    ) -> dict[str, tuple[str, ...]]:
        """Return who but `own` holds what is lacking, by resource; without namespaces, anywhere in the cluster."""
        wanted = frozenset(lacking)
        if not wanted:
            return {}
        async with self._looking:  # who comes meanwhile takes the same answer
            if self.clock() - self._since >= (HELD if wanted & self._held.keys() else FREE):
                self._held = await _look(client, tuple(namespaces) or ("",))
                self._since = self.clock()
            held = {name: self._held.get(name, frozenset()) - {own} for name in wanted}
        return {name: tuple(sorted(found)) for name, found in held.items() if found}


async def _look(client: Client, namespaces: Iterable[str]) -> dict[str, frozenset[str]]:
    held: dict[str, set[str]] = {}
    for namespace in namespaces:
        async for pod in client.each(kinds.POD, namespace, OURS):
            holder, devices = kubelet.holder(pod)
            for device in devices:
                held.setdefault(device, set()).add(holder)
    return {device: frozenset(found) for device, found in held.items()}
