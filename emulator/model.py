"""The device as pure functions: (state, profile, request, time) -> (state, answer).

An execution passes four stations, each first come, first served:

1. the **host** prepares its images (`Host`): serial, but working ahead, so that it limits the rate, not the latency;
2. the **instance** itself: `turnaround` after its previous execution at the earliest;
3. the **link** carries inputs and outputs, one transfer at a time;
4. the **device** computes on the first of its engines that is free; an engine that turns to another instance than its
   last one pays for the switch.

Executions pass every station in the order of their arrival, so the end of one is known when it arrives, and whoever
waits can simply sleep. Times are milliseconds on any monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from emulator.profile import ELEMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.profile import DeviceProfile

# An instance counts as working for this long after its last execution: it still contends for the device.
ACTIVE_MS: Final = 1_000.0
# The emulation may lag behind the clock by this much at most, when a sleeping caller was woken late.
LONGEST_LAG_MS: Final = 50.0
# What the vendor's monitor averages over; it samples once a second.
UTILISATION_WINDOW_MS: Final = 1_000.0


class RefusedError(Exception):
    """The device does not do what it was asked; the message is what a user would read in Triton's log."""


@dataclass(frozen=True, slots=True)
class Session:
    """An instance of an engine on the device."""

    id: int
    model: str
    precision: str
    max_batch: int
    memory: float
    """MB."""
    done: float = -math.inf
    """End of the last execution."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the device's engines."""

    free: float = -math.inf
    """When it has nothing left to do."""
    session: int = 0
    """Whose execution is its last one; 0: none."""


@dataclass(frozen=True, slots=True)
class Execution:
    """When an execution is on the link and on the device."""

    link_start: float
    link_end: float
    device_start: float
    done: float
    busy: float
    """How long the monitor counts the device as busy."""
    host: float
    """CPU time of the host."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since the device was started."""

    executions: int = 0
    images: int = 0
    link_bytes: float = 0.0
    host: float = 0.0
    """Milliseconds of host CPU."""
    switches: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Everything that changes."""

    sessions: Mapping[int, Session] = field(default_factory=dict)
    next_id: int = 1
    host_free: float = -math.inf
    link_free: float = -math.inf
    engines: tuple[Engine, ...] = ()
    """Those that ever computed; the others are free."""
    recent: tuple[Execution, ...] = ()
    """Executions that touch the utilisation window, oldest first."""
    temperature: float = math.nan
    """Not a number before the first look at the clock."""
    thermal_time: float = 0.0
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a monitor sees."""

    utilisation: float
    """0 to 1."""
    memory_used: float
    """MB."""
    temperature: float
    power: float
    throttled: bool
    instances: int
    host_utilisation: float
    """0 to 1, over the same window."""


def memory_of(profile: DeviceProfile, precision: str, max_batch: int) -> float:
    """Return the MB that an instance takes."""
    return profile.memory.engine.get(precision, 0.0) + profile.memory.workspace_per_image * max_batch


def used_memory(state: DeviceState, profile: DeviceProfile) -> float:
    """Return the MB in use."""
    return profile.memory.reserved + sum(session.memory for session in state.sessions.values())


def open_session(
    state: DeviceState, profile: DeviceProfile, *, model: str, precision: str, max_batch: int
) -> tuple[DeviceState, Session]:
    """Load an engine instance.

    Raises
    ------
    RefusedError
        If the device cannot compute in that precision, has not enough free memory, or `max_batch` is below 1.
    """
    if precision not in profile.compute:
        raise RefusedError(f"{profile.name} has no {precision}; it has {', '.join(sorted(profile.compute))}")
    if max_batch < 1:
        raise RefusedError(f"{model}: no engine is compiled for batches to {max_batch}")
    needed, used = memory_of(profile, precision, max_batch), used_memory(state, profile)
    if used + needed > profile.memory.total:
        free = profile.memory.total - used
        raise RefusedError(
            f"out of memory: an instance of {model} ({precision}, batches to {max_batch}) needs {needed:.0f} MB,"
            f" {free:.0f} of {profile.memory.total:.0f} MB are free"
        )
    session = Session(state.next_id, model, precision, max_batch, needed)
    sessions = {**state.sessions, session.id: session}
    return replace(state, sessions=sessions, next_id=state.next_id + 1), session


def close_session(state: DeviceState, session: int) -> DeviceState:
    """Unload an engine instance; one that is not there is passed over."""
    return replace(state, sessions={key: value for key, value in state.sessions.items() if key != session})


def refuse(state: DeviceState) -> DeviceState:
    """Count a refusal."""
    return replace(state, totals=replace(state.totals, refused=state.totals.refused + 1))


def link_bytes(profile: DeviceProfile, precision: str, images: int, payload: int) -> float:
    """Return the bytes that cross the link for `images` whose tensors hold `payload` bytes in all."""
    elements = profile.link.elements_per_image
    counted = elements * ELEMENT_BYTES[precision] * images if elements else payload
    return counted * profile.link.traffic_factor


def compute_time(profile: DeviceProfile, precision: str, images: int, active: int) -> float:
    """Return the milliseconds that a batch computes while `active` instances are at work."""
    cost, shape = profile.compute[precision], profile.shape
    costed = next((size for size in shape.profiles if size >= images), images)
    time = cost.base + cost.per_image * costed
    if shape.cliff_batch and images > shape.cliff_batch:
        time *= shape.cliff_factor
    return time * (1.0 + shape.contention * (active - 1))


def switch_time(profile: DeviceProfile, active: int) -> float:
    """Return the milliseconds that turning to another instance takes while `active` are at work."""
    scheduler = profile.scheduler
    if scheduler.patched:
        return scheduler.patched_switch
    return scheduler.switch + scheduler.switch_per_further_instance * max(0, active - 2)


def execute(
    state: DeviceState,
    profile: DeviceProfile,
    session_id: int,
    *,
    images: int,
    payload: int,
    now: float,
    late: float = 0.0,
) -> tuple[DeviceState, Execution]:
    """Take a batch of `images` with `payload` bytes of tensors; the execution's `done` says when it is ready.

    `late` is how much too late the caller learned of its last execution's end: a device would not have waited for
    that, so the execution is placed as if it had come so much earlier.

    Raises
    ------
    RefusedError
        If the session is unknown or the batch is larger than the engine was compiled for.
    """
    session = state.sessions.get(session_id)
    if session is None:
        raise RefusedError(f"no session {session_id}")
    if not 1 <= images <= session.max_batch:
        raise RefusedError(
            f"batch of {images}: the engine of {session.model} was compiled for 1 to {session.max_batch}"
        )
    state = advance(state, profile, now)
    now -= min(max(0.0, late), LONGEST_LAG_MS)
    active = 1 + sum(1 for other in state.sessions.values() if other.id != session_id and other.done > now - ACTIVE_MS)
    host = profile.host.time_per_image * images
    host_ready = max(state.host_free, now - profile.host.lead) + host / profile.host.available
    sent = link_bytes(profile, session.precision, images, payload)
    engines = _engines(state, profile)
    index = min(range(len(engines)), key=lambda i: (engines[i].free, engines[i].session != session_id))
    switched = engines[index].session not in {session_id, 0} and engines[index].session in state.sessions
    run = _place(
        state,
        profile,
        ready=max(now, session.done + profile.turnaround, host_ready),
        engine=engines[index],
        link=sent / profile.bandwidth,
        switch=switch_time(profile, active) if switched else 0.0,
        compute=compute_time(profile, session.precision, images, active),
        host=host,
    )
    totals = replace(
        state.totals,
        executions=state.totals.executions + 1,
        images=state.totals.images + images,
        link_bytes=state.totals.link_bytes + sent,
        host=state.totals.host + host,
        switches=state.totals.switches + switched,
    )
    following = replace(
        state,
        sessions={**state.sessions, session_id: replace(session, done=run.done)},
        host_free=host_ready,
        link_free=run.link_end,
        engines=(*engines[:index], Engine(run.done, session_id), *engines[index + 1 :]),
        recent=(*state.recent, run),
        totals=totals,
    )
    return following, run


def _engines(state: DeviceState, profile: DeviceProfile) -> tuple[Engine, ...]:
    """Return as many engines as the profile says: it may have been changed since the last execution."""
    missing = profile.scheduler.engines - len(state.engines)
    return (*state.engines[: profile.scheduler.engines], *[Engine()] * missing)


def _place(
    state: DeviceState,
    profile: DeviceProfile,
    *,
    ready: float,
    engine: Engine,
    link: float,
    switch: float,
    compute: float,
    host: float,
) -> Execution:
    """Place an execution that is `ready` behind what link and engine already have to do."""
    if state.temperature > profile.thermal.throttle_at:
        compute *= profile.thermal.throttle_factor
    link_start = max(ready, state.link_free)
    device_start = max(link_start + link, engine.free)
    weights = profile.utilisation
    busy = weights.compute * compute + weights.link * link + weights.switch * switch
    return Execution(link_start, link_start + link, device_start, device_start + switch + compute, busy, host)


def utilisation(state: DeviceState, now: float) -> float:
    """Return the busy share (0 to 1) of the window that ends `now`, as the vendor's monitor counts it."""
    engines = max(1, len(state.engines))
    return _in_window([(run, run.busy / engines) for run in state.recent], now)


def host_utilisation(state: DeviceState, now: float) -> float:
    """Return the share (0 to 1) of the host's CPU that this work took in the window that ends `now`."""
    return _in_window([(run, run.host) for run in state.recent], now)


def _in_window(costs: list[tuple[Execution, float]], now: float) -> float:
    """Return the share of the window that `costs` (milliseconds) fill, each spread evenly over its execution."""
    start, total = now - UTILISATION_WINDOW_MS, 0.0
    for run, cost in costs:
        length = run.done - run.link_start
        overlap = min(run.done, now) - max(run.link_start, start)
        if length > 0 and overlap > 0:
            total += cost * overlap / length
    return min(1.0, total / UTILISATION_WINDOW_MS)


def power(profile: DeviceProfile, busy: float) -> float:
    """Return the watts at a busy share of 0 to 1."""
    return profile.thermal.idle_power + (profile.thermal.max_power - profile.thermal.idle_power) * busy


def advance(state: DeviceState, profile: DeviceProfile, now: float) -> DeviceState:
    """Bring temperature to `now` and forget executions that left the window."""
    thermal = profile.thermal
    kept = tuple(run for run in state.recent if run.done > now - UTILISATION_WINDOW_MS)
    if math.isnan(state.temperature):
        start = thermal.ambient + thermal.idle_power * thermal.degrees_per_watt
        return replace(state, recent=kept, temperature=start, thermal_time=now)
    elapsed = max(0.0, now - state.thermal_time)
    target = thermal.ambient + power(profile, utilisation(state, now)) * thermal.degrees_per_watt
    temperature = target + (state.temperature - target) * math.exp(-elapsed / thermal.time_constant)
    return replace(state, recent=kept, temperature=temperature, thermal_time=max(now, state.thermal_time))


def read(state: DeviceState, profile: DeviceProfile, now: float) -> Reading:
    """Return what a monitor sees at `now`; `state` should have been advanced to it."""
    busy = utilisation(state, now)
    return Reading(
        utilisation=busy,
        memory_used=used_memory(state, profile),
        temperature=state.temperature,
        power=power(profile, busy),
        throttled=state.temperature > profile.thermal.throttle_at,
        instances=len(state.sessions),
        host_utilisation=host_utilisation(state, now),
    )
