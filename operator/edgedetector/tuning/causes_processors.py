"""Causes on the node's processors: decoding, boxes, or all of it; and frames that never come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from edgedetector.tuning import causes, remedies
from edgedetector.tuning.causes import Case, percent, share
from edgedetector.tuning.findings import Bottleneck, Confidence, Finding
from edgedetector.tuning.signals import ModelSignals, Signals

STREAM_STAGES = ("read", "decode", "motion")
"""What the detector does with every frame of a stream, whether it is inferred or not."""
BOX_STAGES = ("boxes", "track")
"""What grows with the objects in a frame."""


def host(case: Case) -> Finding | None:
    """The node's processors are full while the device has room; what takes them decides the class."""
    signals = case.signals
    if signals.host is None or not case.host_full:
        return None
    load = signals.host / causes.BOTH
    gain = min(load, 1.0) / max(case.others("host"), load / causes.WIDER)
    own = _own(case)
    streams, boxes, request = (part * (own or 1.0) for part in _parts(signals))
    bottleneck, remedy = Bottleneck.HOST_CPU, _relief(case)
    if streams >= causes.STREAM_PART and streams >= boxes:
        bottleneck, remedy = Bottleneck.STREAMING, remedies.streaming(case.known)
    elif boxes >= causes.POST_PART:
        bottleneck, remedy = Bottleneck.POST_PROCESSING, remedies.post_processing(signals.busiest.known)
    elif request >= causes.REQUEST_PART and signals.transport != "SharedMemory":
        bottleneck, remedy = Bottleneck.TRANSPORT, remedies.transport(signals.transport)
    device = signals.utilization
    sure = device is not None and signals.cores > 0
    return Finding(
        bottleneck, share(gain), f"{_host_said(case)}{_stages_said(case, own)}", remedy, curable=False,
        confidence=Confidence.MEASURED if sure and device < causes.DEVICE_BUSY else Confidence.LIKELY,
    )  # fmt: skip


def _parts(signals: Signals) -> tuple[float, float, float]:
    """Return the shares of streams, boxes and requests in the detector's CPU, were all offered frames inferred.

    A full node loses frames between decoding and inference, and what comes before weighs more the fuller it is.
    """
    offered = sum(model.offered for model in signals.models)
    lost = max(1.0, offered / signals.rate) if signals.rate > 0 else 1.0
    cores = {name: cores * (1.0 if name in STREAM_STAGES else lost) for name, cores in signals.stages.items()}
    total = sum(cores.values())
    streams, boxes, request = (
        sum(cores.get(name, 0.0) for name in names) / total if total > 0 else 0.0
        for names in (STREAM_STAGES, BOX_STAGES, ("request",))
    )
    return streams, boxes, request


def _own(case: Case) -> float | None:
    """Return the detector's share of what the node's processors do, None if that is not known."""
    signals, processors = case.signals, case.known.processors
    if not processors or not signals.host or not signals.cores:
        return None
    return min(1.0, signals.cores / (signals.host * processors))


def _host_said(case: Case) -> str:
    device = case.signals.utilization
    busy = "" if device is None else f" while the device is busy {percent(device)}"
    return f"the node's processors are busy {percent(case.signals.host or 0.0)}{busy}"


def _stages_said(case: Case, own: float | None) -> str:
    signals = case.signals
    if not signals.cores:
        return "; what takes them is not known"
    most = sorted(signals.stages, key=lambda name: (-signals.stages[name], name))[:2]
    parts = " and ".join(f"{name} {percent(signals.stage(name))}" for name in most)
    whose = "" if own is None else f", whose stages are {percent(own)} of that"
    return f"; of the detector{whose}, {parts}"


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
    return f"{remedies.HOST}{'; ' if also else ''}{', '.join(also)}{' take work off it' if also else ''}"


def steps(case: Case) -> Iterator[Finding]:
    """A post-processing step inside Triton has no room while the model's instances have."""
    for step in case.signals.steps:
        if (step.busy or 0.0) < causes.FULL or case.full:
            continue
        count, most = max(1, step.knobs.instances), case.situation.limits.max_instances
        room = not case.host_full and count < most
        yield Finding(
            Bottleneck.POST_PROCESSING, share(min((count + 1) / count, 1.0 / max(case.others(), 0.25))),
            f"the post-processing step of {step.known.boxes_of} executes {percent(step.busy or 0.0)} of the time with"
            f" {count} instance{'s' if count > 1 else ''}, the model {percent(case.busy)}",
            remedies.MORE_STEPS if room else remedies.post_processing(_of(case, step).known), curable=room,
            confidence=Confidence.MEASURED, model=step.known.boxes_of,
        )  # fmt: skip


def _of(case: Case, step: ModelSignals) -> ModelSignals:
    return next((model for model in case.signals.models if model.name == step.known.boxes_of), case.signals.busiest)


def one_thread(case: Case) -> Iterator[Finding]:
    """One stage takes about a core, frames are lost, and neither node nor instances are full."""
    signals = case.signals
    if not case.starved or case.full or case.host_full:
        return
    for names, bottleneck, remedy in (
        (BOX_STAGES, Bottleneck.POST_PROCESSING, remedies.post_processing(signals.busiest.known)),
        (STREAM_STAGES, Bottleneck.STREAMING, remedies.streaming(case.known)),
    ):
        cores = sum(signals.stages.get(name, 0.0) for name in names)
        if cores >= causes.ONE_CORE and signals.stage(*names) >= causes.POST_PART:
            yield Finding(
                bottleneck, share(1.0 / max(case.others(), 0.25)) * signals.stage(*names),
                f"{' and '.join(names)} take {cores:.1f} cores, {percent(signals.stage(*names))} of the detector's, and"
                f" frames are lost while instances are busy {percent(case.busy)}",
                remedy, curable=False, confidence=Confidence.LIKELY,
            )  # fmt: skip


def absent(case: Case) -> Finding | None:
    """Frames do not come to be inferred although nothing behind them is full, and nobody gave them up."""
    signals = case.signals
    demand, offered = (sum(getattr(model, name) for model in signals.models) for name in ("demand", "offered"))
    missing = 1.0 - offered / demand if demand > 0 else 0.0
    if missing <= 2 * causes.LOST or case.known.motion_gated or case.starved or case.full:
        return None
    # A node with no room at all decodes too little itself.
    if (signals.host or 0.0) >= causes.BOTH:
        return None
    decode = signals.stage(*STREAM_STAGES)
    return Finding(
        Bottleneck.STREAMING, missing,
        f"of {demand:.0f} frames a second that are wanted {offered:.0f} come to be inferred, while instances are busy"
        f" {percent(case.busy)}",
        remedies.DELIVERY if decode < causes.STREAM_PART else f"{remedies.DELIVERY}; {remedies.streaming(case.known)}",
        curable=False, confidence=Confidence.LIKELY if signals.host is not None else Confidence.POSSIBLE,
    )  # fmt: skip
