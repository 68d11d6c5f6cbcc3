"""Closed-loop load on an emulated device in virtual time: what real Triton should show, without waiting for it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator import model

if TYPE_CHECKING:
    from emulator.profile import DeviceProfile


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a configuration gave."""

    images_per_second: float
    latency: float
    """Milliseconds from taking a batch to its end, mean."""
    utilisation: float
    """0 to 1, as the vendor's monitor shows it at the end."""
    host_utilisation: float


def closed_loop(
    profile: DeviceProfile,
    *,
    instances: int,
    batch: int = 1,
    precision: str = "fp32",
    payload: int = 0,
    seconds: float = 10.0,
    overhead: float = 0.4,
) -> Outcome:
    """Keep `instances` busy with full batches of `batch` images of `payload` bytes each.

    `overhead` is what the server itself needs between two executions of an instance, milliseconds.

    Raises
    ------
    RefusedError
        If the instances do not fit into the device's memory.
    """
    state, waiting = model.DeviceState(), []
    for index in range(instances):
        state, session = model.open_session(
            state, profile, model=f"model-{index}", precision=precision, max_batch=max(batch, profile.max_batch)
        )
        waiting.append((index * 0.01, session.id))
    heapq.heapify(waiting)
    end, warm = seconds * 1e3, seconds * 250.0
    counted, latency, last = 0, 0.0, warm
    while waiting[0][0] < end:
        now, session_id = heapq.heappop(waiting)
        state, run = model.execute(state, profile, session_id, images=batch, payload=payload * batch, now=now)
        heapq.heappush(waiting, (run.done + overhead, session_id))
        if run.done > warm:
            counted, latency, last = counted + 1, latency + run.done - now, max(last, run.done)
    return Outcome(
        images_per_second=counted * batch / (last - warm) * 1e3,
        latency=latency / max(1, counted),
        utilisation=model.utilisation(state, end),
        host_utilisation=model.host_utilisation(state, end),
    )


def sweep(
    profile: DeviceProfile,
    *,
    precision: str = "fp32",
    payload: int = 0,
    latency: float = 50.0,
    instances: int = 6,
    seconds: float = 3.0,
) -> dict[tuple[int, int], Outcome]:
    """Return the outcome of each (instances, batch) that fits into memory and keeps the mean latency (ms)."""
    outcomes: dict[tuple[int, int], Outcome] = {}
    for count in range(1, instances + 1):
        for batch in (size for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if size <= profile.max_batch):
            try:
                outcome = closed_loop(
                    profile, instances=count, batch=batch, precision=precision, payload=payload, seconds=seconds
                )
            except model.RefusedError:
                continue
            if outcome.latency <= latency:
                outcomes[count, batch] = outcome
    return outcomes


def best(outcomes: dict[tuple[int, int], Outcome]) -> tuple[int, int]:
    """Return the cheapest (instances, batch) within 1 % of the highest rate."""
    top = max(outcome.images_per_second for outcome in outcomes.values())
    return min(key for key, outcome in outcomes.items() if outcome.images_per_second >= 0.99 * top)
