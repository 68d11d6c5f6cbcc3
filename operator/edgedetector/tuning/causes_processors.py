"""Causes on the node's processors: decoding, boxes, or all of it; and frames that never come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from edgedetector.tuning import remedies
from edgedetector.tuning import stations as at
from edgedetector.tuning.findings import Bottleneck, Confidence, Finding
from edgedetector.tuning.signals import ModelSignals, Signals, StepSignals
from edgedetector.tuning.stations import BOX_STAGES, STREAM_STAGES, Case, percent, share


def host(case: Case) -> Finding | None:
    """Find processors that are full while the device has room; what takes them decides the class."""
    signals = case.signals
    if signals.host is None or not case.host_full:
        return None
    load = (case.host or 0.0) / at.REACHED
    gain, own = min(load, 1.0) / max(case.others("host"), load / at.WIDER), case.own
    # What the detector does is no reason for a queue in Triton.
    part = share(gain) * (at.SECOND if case.fed else 1.0)
    streams, boxes, request = (of * (own or 1.0) for of in _parts(signals))
    bottleneck, remedy = Bottleneck.HOST_CPU, _relief(case)
    if streams >= at.STREAM_PART and streams >= boxes:
        bottleneck, remedy = Bottleneck.STREAMING, remedies.streaming(case.known)
    elif boxes >= at.POST_PART:
        bottleneck, remedy = Bottleneck.POST_PROCESSING, remedies.post_processing(signals.busiest.known)
    elif request >= at.REQUEST_PART and signals.transport != "SharedMemory":
        bottleneck, remedy = Bottleneck.TRANSPORT, remedies.transport(signals.transport)
    device = signals.utilization
    # What is drawn out to the demand is no measurement of it.
    sure = device is not None and device < at.DEVICE_BUSY and signals.cores > 0 and case.need == 1.0
    return Finding(
        bottleneck, part, f"{_host_said(case)}{_stages_said(case, own)}", remedy, curable=False,
        confidence=Confidence.MEASURED if sure else Confidence.LIKELY,
    )  # fmt: skip


def _parts(signals: Signals) -> tuple[float, float, float]:
    """Return the shares of streams, boxes and requests in the detector's CPU, were all offered frames inferred.

    A full node loses frames between decoding and inference, and what comes before weighs more the fuller it is.
    """
    lost = max(1.0, signals.offered / signals.rate) if signals.rate > 0 else 1.0
    cores = {name: cores * (1.0 if name in STREAM_STAGES else lost) for name, cores in signals.stages.items()}
    total = sum(cores.values())
    streams, boxes, request = (
        sum(cores.get(name, 0.0) for name in names) / total if total > 0 else 0.0
        for names in (STREAM_STAGES, BOX_STAGES, ("request",))
    )
    return streams, boxes, request


def _host_said(case: Case) -> str:
    device = case.signals.utilization
    busy = "" if device is None else f" while the device is busy {percent(device)}"
    return f"the node's processors are busy {percent(case.signals.host or 0.0)}{busy}{case.at_present}"


def _stages_said(case: Case, own: float | None) -> str:
    signals = case.signals
    if not signals.cores:
        return "; what takes them is not known"
    most = sorted(signals.stages, key=lambda name: (-signals.stages[name], name))[:2]
    parts = f"of the detector's stages {' and '.join(f'{name} has {percent(signals.stage(name))}' for name in most)}"
    if own is None:
        return f"; {parts}"
    rest = ", Triton or other processes have the rest" if own < at.HALF else ""
    return f"; the detector has {percent(own) if own >= at.SHOWN else 'next to nothing'} of that{rest}; {parts}"


def _relief(case: Case) -> str:
    """Return what helps a node whose work is spread over many stages: what is not done best already."""
    signals, model = case.signals, case.signals.busiest
    also = []
    if signals.transport != "SharedMemory":
        also.append("shared memory instead of messages")
    if model.known.raw:
        also.append("NMS in the model or as a step in Triton")
    if case.known.idle_substreams or case.known.no_substream:
        also.append("sub-streams")
    return f"{remedies.HOST}{'; ' if also else ''}{', '.join(also)}{' would take work off it' if also else ''}"


def steps(case: Case) -> Iterator[Finding]:
    """Yield post-processing steps inside Triton that have no room while the model's instances have."""
    for step in case.signals.steps:
        if step.busy < at.FULL or case.full:
            continue
        load, count = case.others("device") if case.behind else case.others(), step.instances
        room, limits = not case.host_full, case.situation.limits
        curable = room and step.tuned and count < limits.max_post_processing
        more = remedies.MORE_STEPS if curable else remedies.WIDER_STEPS if step.tuned else remedies.OWN_STEPS
        yield Finding(
            Bottleneck.POST_PROCESSING, share(min((count + 1) / count, 1.0 / max(load, 0.25))),
            f"the post-processing step of {step.boxes_of} executes {percent(step.busy)} of the time with"
            f" {count} instance{'s' if count > 1 else ''}, the model {percent(case.busy)}",
            more if room else remedies.post_processing(_of(case, step).known), curable=curable,
            confidence=Confidence.MEASURED, model=step.boxes_of,
        )  # fmt: skip


def _of(case: Case, step: StepSignals) -> ModelSignals:
    return next((model for model in case.signals.models if model.name == step.boxes_of), case.signals.busiest)


def one_thread(case: Case) -> Finding | None:
    """Find boxes that take about a core while frames are lost, and neither node nor instances are full."""
    signals = case.signals
    cores, part = sum(signals.stages.get(name, 0.0) for name in BOX_STAGES), signals.stage(*BOX_STAGES)
    full = case.full or case.host_full or any(step.busy >= at.FULL for step in signals.steps)
    if not case.starved or full or cores < at.ONE_CORE or part < at.POST_PART:
        return None
    return Finding(
        Bottleneck.POST_PROCESSING, share(1.0 / max(case.others(), 0.25)) * part,
        f"boxes take {cores:.1f} cores, {percent(part)} of the detector's, and frames are lost while instances are busy"
        f" {percent(case.busy)}",
        remedies.post_processing(signals.busiest.known), curable=False, confidence=Confidence.LIKELY,
    )  # fmt: skip


def absent(case: Case) -> Finding | None:
    """Find frames that do not come to be inferred although nothing behind them is full, and nobody gave them up."""
    signals = case.signals
    demand, offered = signals.demand, signals.offered
    missing = 1.0 - offered / demand if demand > 0 else 0.0
    if missing <= 2 * at.LOST or case.known.motion_gated or case.starved or case.full:
        return None
    # More than instances and device have room for would not help.
    room = max(case.busy * case.relief, case.device or 0.0)
    # A node with no room at all decodes too little itself.
    if (signals.host or 0.0) >= at.REACHED:
        return None
    decode = signals.stage(*STREAM_STAGES)
    return Finding(
        Bottleneck.STREAMING, min(missing, 1.0 - room),
        f"of {demand:.0f} frames a second that are wanted {offered:.0f} come to be inferred, while instances are busy"
        f" {percent(case.busy)}",
        remedies.DELIVERY if decode < at.STREAM_PART else f"{remedies.DELIVERY}; {remedies.streaming(case.known)}",
        curable=False, confidence=Confidence.LIKELY if signals.host is not None else Confidence.POSSIBLE,
    )  # fmt: skip
