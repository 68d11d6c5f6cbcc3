"""Causes at the device: its link to the host, and what it computes. Pure."""

from __future__ import annotations

from edgedetector.tuning import remedies
from edgedetector.tuning import stations as at
from edgedetector.tuning.findings import Bottleneck, Confidence, Finding
from edgedetector.tuning.signals import ModelSignals
from edgedetector.tuning.stations import Case, milliseconds, percent, share


def link(case: Case) -> Finding | None:
    """Find a device that waits while its instances work: few lanes, copies, or bytes that explain the wait."""
    signals, busy = case.signals, case.signals.utilization
    if (busy is not None and busy >= at.DEVICE_BUSY) or not (case.loaded or case.slow or case.lanes_missing):
        return None
    speed, signs = case.bandwidth(), _link_signs(case)
    if not signs:
        return None
    load = case.link_load() or 0.5
    gain = (
        1.0 / (1.0 - (1.0 - 1.0 / at.WIDER) * load) if case.single else load / max(case.others("link"), load / at.WIDER)
    )
    if not case.loaded:
        gain = 1.0 / (1.0 - share(gain) * _execution_part(signals.busiest)) if case.slow else 1.0
    sure = len(signs) > 1 and busy is not None and signals.host is not None
    likely = busy is not None and (signals.host is not None or case.lanes_missing or speed is None)
    waits = (
        f"the device is busy {percent(busy or 0.0)} while its instances execute {percent(signals.active)} of the time"
    )
    return Finding(
        Bottleneck.LINK, share(gain),
        ", ".join([*([waits] if busy is not None else []), *signs]),
        remedies.link(signals.busiest.known, narrow=case.lanes_missing or speed is not None),
        curable=False,
        confidence=Confidence.MEASURED if sure else Confidence.LIKELY if likely else Confidence.POSSIBLE,
    )  # fmt: skip


def _link_signs(case: Case) -> list[str]:
    signals, signs = case.signals, list[str]()
    if case.lanes_missing:
        signs.append(f"its link has {signals.pcie_width:g} lane{'' if signals.pcie_width == 1 else 's'}")
    if case.copies >= at.COPY_BOUND:
        signs.append(f"copying in and out takes {percent(case.copies)} of an execution")
    if (speed := case.bandwidth()) is not None:
        signs.append(f"as if its link carried {speed / 1e9:.1g} GB/s (x1 carries about 1, x4 about 4)")
    if signs and signals.busiest.more_instances_helped is False and case.full:
        signs.append("and more instances served no more")
    return signs


def _execution_part(model: ModelSignals) -> float:
    """Return the share of a frame's time that its execution takes, 0 if it is not known."""
    return min(1.0, model.execution / model.whole) if model.execution and model.whole else 0.0


def compute(case: Case) -> Finding | None:
    """Find a device that computes nearly always, or executions that take most of a frame's time."""
    signals, busy, model = case.signals, case.device, case.signals.busiest
    by_time = _execution_part(model) >= at.SLOW_BY_EXECUTION and case.slow and not case.loaded
    if busy is None:
        return _assumed_compute(case, by_time=by_time) if case.full or by_time else None
    if by_time and busy >= at.DEVICE_BUSY * signals.active:
        gain, said = 1.0 / (1.0 - share(at.FASTER_ENGINE) * _execution_part(model)), _execution_said(model)
    elif busy >= at.DEVICE_BUSY and case.loaded and not case.behind:
        alone = 1.0 / (1.0 - share(at.FASTER_ENGINE) * busy)
        gain = min(alone if case.single else at.FASTER_ENGINE, 1.0 / max(case.others("device"), 1.0 / at.FASTER_ENGINE))
        used = percent(signals.utilization or 0.0)
        said = f"the device is busy {used} with batches of {model.batch:.1f} on average{case.at_present}"
    else:
        return None
    return Finding(
        Bottleneck.MODEL_COMPUTE, share(gain), said, remedies.compute(model.known), curable=False,
        confidence=Confidence.MEASURED if signals.host is not None else Confidence.LIKELY, model=model.name,
    )  # fmt: skip


def _execution_said(model: ModelSignals) -> str:
    return f"an execution takes {milliseconds(model.execution or 0.0)} of a frame's {milliseconds(model.whole or 0.0)}"


def _assumed_compute(case: Case, *, by_time: bool) -> Finding | None:
    """Find it without the device's utilisation: instances are full, and nothing says that anything else is."""
    model = case.signals.busiest
    if case.host_full or case.link_load():
        return None
    often = f"instances execute {percent(model.busy or 0.0)} of the time with batches of {model.batch:.1f} on average"
    said = _execution_said(model) if by_time else f"{often}{case.at_present}"
    return Finding(
        Bottleneck.MODEL_COMPUTE, share(at.FASTER_ENGINE), said, remedies.compute(model.known), curable=False,
        confidence=Confidence.POSSIBLE, model=model.name,
    )  # fmt: skip
