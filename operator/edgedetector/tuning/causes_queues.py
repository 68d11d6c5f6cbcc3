"""Causes that are waits: what Triton is told (instances, batches, delay), and the way to Triton. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgedetector.tuning import remedies
from edgedetector.tuning import stations as at
from edgedetector.tuning.findings import Bottleneck, Confidence, Finding
from edgedetector.tuning.signals import Curve, ModelSignals
from edgedetector.tuning.stations import Case, milliseconds, percent, share


def delays(case: Case) -> Iterator[Finding]:
    """Yield requests that wait for company that does not come: a queue delay without a queue."""
    for model in case.signals.models:
        waited, delay = unexplained_wait(model), model.knobs.max_queue_delay_microseconds / 1e6
        whole = model.whole
        if whole is None or model.busy is None or model.busy >= at.IDLE_INSTANCE or waited > 1.5 * delay:
            continue
        if waited < at.LEAST_WAIT:
            continue
        part = min(1.0, (waited + joined(model)) / whole)
        if part < at.QUEUE_PART:
            continue
        yield Finding(
            Bottleneck.SCHEDULING, part,
            f"a request waits {milliseconds(model.queue)} of its {milliseconds(whole)}, with a queue delay of"
            f" {milliseconds(delay)} and instances busy {percent(model.busy)}",
            remedies.LESS_DELAY, curable=True, confidence=Confidence.MEASURED, model=model.name,
        )  # fmt: skip


def unexplained_wait(model: ModelSignals) -> float:
    """Return the seconds in Triton's queue that its load does not explain.

    What it explains: for one of n instances ``T busy^(sqrt(2 (n + 1)) - 1) / 2 n (1 - busy)`` is waited at random
    arrivals and even executions (Sakasegawa's approximation of the M/D/n queue, 1977).
    """
    busy, count = min(model.busy or 0.0, 0.99), max(1, model.knobs.instances)
    crowd: float = busy ** (math.sqrt(2.0 * (count + 1)) - 1.0) / (2.0 * count * (1.0 - busy))
    return max(0.0, model.queue - (model.execution or 0.0) * crowd)


def joined(model: ModelSignals) -> float:
    """Return the seconds by which executions are longer for company that instances are not too busy to do without."""
    if model.execution is None:
        return 0.0
    curve, count = model.curve or assumed(model, model.execution), max(1, model.knobs.instances)
    for size in range(1, int(model.batch) + 1):
        if model.rate * curve.an_image(size) / count < at.IDLE_INSTANCE:
            return max(0.0, model.execution - curve.an_image(size) * size)
    return 0.0


def assumed(model: ModelSignals, execution: float) -> Curve:
    """Return a curve through the one point that was seen."""
    each = execution / (at.UNTRIED_FIXED + model.batch)
    return Curve(fixed=at.UNTRIED_FIXED * each, each=each)


def instances(case: Case) -> Finding | None:
    """Find instances that are busy while device, link and processors are not: more of them overlap."""
    signals, model = case.signals, case.signals.busiest
    if not case.full or (case.host_full and not case.fed) or model.more_instances_helped is False:
        return None
    if signals.utilization is not None and signals.utilization >= at.REACHED:
        return None
    count, most = max(1, model.knobs.instances), case.situation.limits.max_instances
    limits = case.situation.limits
    # Of device and processors no more may be used than what the limits leave.
    device = signals.utilization if signals.utilization is not None else limits.accelerator / at.FASTER_ENGINE
    load = max(
        device / limits.accelerator,
        (0.0 if case.fed else signals.host or 0.0) / limits.host,
        case.link_load(),
        count / (count + 1),
    )
    # One more instance can at most do as much again; where the link shows, it may only move the wait.
    part = share(1.0 / load) * (at.MOVED if case.link_load() else 1.0)
    if count >= most and not (signals.utilization is not None and model.cap < model.largest):
        return None
    busy = "not known" if signals.utilization is None else percent(signals.utilization)
    known = signals.utilization is not None and signals.host is not None and not case.link_load()
    sure = known and (count == 1 or model.more_instances_helped)
    return Finding(
        Bottleneck.SCHEDULING, part,
        f"{_instances(count)} {percent(model.busy or 0.0)} of the time while the device's utilisation is {busy}",
        remedies.MORE_INSTANCES if count < most else remedies.OTHER_INSTANCES, curable=True,
        confidence=Confidence.LIKELY if sure else Confidence.POSSIBLE, model=model.name,
    )  # fmt: skip


def _instances(count: int) -> str:
    return "1 instance executes" if count == 1 else f"{count} instances execute"


def batches(case: Case) -> Finding | None:
    """Find batches that end at a cap that is not the engine's while requests wait."""
    model = case.signals.busiest
    waiting = model.queue * model.rate
    queued = waiting >= 1.0 or case.starved
    capped = model.batch >= 0.8 * model.cap
    if not (case.full and queued and capped) or model.cap >= model.largest or (case.host_full and not case.fed):
        return None
    tried, larger = model.curve, min(model.largest, at.MOST_STEPS * model.cap)
    gain = _gain_of(model, larger)
    # Bytes cross the link one by one, whatever the batch.
    link = case.link_load()
    gain = 1.0 / (link + (1.0 - link) / gain)
    # Bytes and the host's work grow with the images, whatever the batch.
    room = 1.0 / max(case.others("device"), 1e-3)
    said = (
        f"batches end at {model.cap} images, the engine takes {model.largest}, and {waiting:.0f} frames wait in Triton"
    )
    if tried is None:
        said = f"{said}, and no other size was seen yet"
    return Finding(
        Bottleneck.SCHEDULING, share(min(gain, room)), said, remedies.LARGER_BATCHES, curable=True,
        confidence=Confidence.POSSIBLE if tried is None else Confidence.LIKELY, model=model.name,
    )  # fmt: skip


def _gain_of(model: ModelSignals, larger: int) -> float:
    """Return the factor by which an image is cheaper in batches of `larger`, at least 1.

    Beyond the sizes that were seen no more is expected than where only one was: instances wait for each other within
    an execution, which makes a line through near sizes flatter than the device's own.
    """
    guess = assumed(model, 1.0)
    curves = [guess] if model.curve is None else [model.curve] if larger <= model.curve.seen else [model.curve, guess]
    gains = [curve.an_image(model.batch) / curve.an_image(larger) for curve in curves if curve.an_image(larger) > 0]
    return max(1.0, min(gains, default=1.0))


def transport(case: Case) -> Iterator[Finding]:
    """Yield exchanges far longer than Triton needs: copies and serialisation on the way."""
    signals = case.signals
    if signals.transport == "SharedMemory":
        return
    how = {"Grpc": "tensors travel by gRPC", "Http": "tensors travel by HTTP"}.get(
        signals.transport, "how tensors travel is not known"
    )
    for model in signals.models:
        steps = sum(step.request for step in signals.steps if step.boxes_of == model.name)
        if model.exchange is None or model.request is None:
            continue
        gap = model.exchange - model.request - steps
        # Of the exchange, not of the frame's whole time: what waits for a free slot waits for the same.
        part = min(1.0, gap / model.exchange)
        if part < at.QUEUE_PART or gap < at.LEAST_WAIT:
            continue
        # Instances that have no room do not wait for the way to them, and on a full node everything takes longer.
        harmless = case.full or (case.host_full and signals.stage("request") < at.REQUEST_PART)
        yield Finding(
            Bottleneck.TRANSPORT, part * (at.SECOND if harmless else 1.0),
            f"a request takes {milliseconds(model.exchange)} in the detector and {milliseconds(model.request)} of it in"
            f" Triton; {how}",
            remedies.transport(signals.transport), curable=False,
            confidence=Confidence.LIKELY if case.host_full or not signals.transport or signals.host is None
            else Confidence.MEASURED, model=model.name,
        )  # fmt: skip
