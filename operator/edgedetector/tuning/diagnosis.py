"""What limits a box: from windows to causes in order, each with evidence and remedy. Pure.

A cause's share is the part of a frame's time that its cure is expected to give back, from how loaded the other stations
(device, link, processors, instances) are; so causes of different kinds compare. Where throughput suffers, every cause
counts; where only latency does, its own; where nothing does, the box has room, and what was found is told after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgedetector.tuning import causes_device, causes_processors, causes_queues, remedies
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.findings import Bottleneck, Confidence, Diagnosis, Finding
from edgedetector.tuning.known import Known
from edgedetector.tuning.signals import signals as read
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.stations import Case, percent
from edgedetector.tuning.window import Configuration, Window

IDLE: Final = 0.45
"""Load of the fullest station below which most of the capacity idles: more than twice as much would fit. Chosen;
the reference asks to show idle capacity and gives no figure. Headroom alone needs less than twice."""
FLAW: Final = 0.35
"""Share of a frame's time from which a wait is a flaw to be named first even where the objective is kept: the
reference's delay was 40 % of 250 ms, and its transport half of 50 ms. Chosen below both."""
CURABLE_FIRST: Final = 0.05
"""Added to the share of what the tuner can do: of two causes as large as one another the one that costs nothing,
unless it is a guess."""
LONGEST: Final = 500
"""Characters of the message: `status` holds 512."""


def diagnose(
    windows: Sequence[Window],
    situation: Situation,
    known: Known | None = None,
    visits: Sequence[Visit] = (),
    configuration: Configuration | None = None,
) -> Diagnosis:
    """Return what limits a configuration.

    Parameters
    ----------
    windows
        The last minutes, oldest first, of any pods; disturbed ones and other configurations' are passed over.
    situation
        Limits, engines, bounds.
    known
        What specification and profile tell besides.
    visits
        Configurations that were in force before: they tell whether instances helped and what batches cost.
    configuration
        The one that is asked for; None: the one that was in force last, which may be on trial in one pod.
    """
    known = known or Known()
    found = read(windows, situation, known, visits, configuration)
    if found is None:
        return _written([_nothing_seen(windows)], ())
    case = Case(found, situation, known)
    return _written(_ordered(case), tuple(_unknown(case)))


def _ordered(case: Case) -> list[Finding]:
    """Return all findings, the bottleneck first."""
    # Frames that never come are lost whatever else could be faster.
    absent = causes_processors.absent(case)
    found = [*([absent] if absent else []), *sorted(_found(case), key=_weight, reverse=True)]
    if case.loaded or case.slow:
        cause = [finding for finding in found if finding.share > 0 or finding.confidence is Confidence.MEASURED]
        return found if cause else [_unknown_cause(case), *found]
    first = [finding for finding in found if _is_first(finding)]
    return [*first, _room(case), *[finding for finding in found if finding not in first]]


def _is_first(finding: Finding) -> bool:
    """Return whether something is wrong although the box keeps up."""
    return finding.share >= FLAW or (finding.bottleneck is Bottleneck.STREAMING and finding.share > 0)


def _weight(finding: Finding) -> tuple[float, str]:
    sure = finding.confidence is not Confidence.POSSIBLE
    return finding.share + (CURABLE_FIRST if finding.curable and sure else 0.0), finding.bottleneck.value


def _found(case: Case) -> list[Finding]:
    one = [
        causes_device.link(case), causes_device.compute(case),
        causes_queues.instances(case), causes_queues.batches(case),
        causes_processors.host(case), causes_processors.one_thread(case),
    ]  # fmt: skip
    return [
        *[finding for finding in one if finding is not None],
        *causes_queues.delays(case), *causes_queues.transport(case),
        *causes_processors.steps(case),
    ]  # fmt: skip


def _room(case: Case) -> Finding:
    """Say how much is free where nothing limits."""
    load = max(case.busy * case.relief, case.signals.utilization or 0.0, case.signals.host or 0.0)
    demand = sum(model.demand for model in case.signals.models)
    # With no frame inferred nothing was measured: neither room nor the lack of it.
    idle, seen = load <= IDLE, case.signals.rate > 0
    said = _loads(case)
    if not seen:
        bottleneck, said = Bottleneck.NONE, f"no frame was inferred, and {demand:.0f} a second are wanted"
    else:
        bottleneck = Bottleneck.IDLE if idle else Bottleneck.NONE
    efficient = case.situation.goal is Goal.EFFICIENCY and _instances_to_give(case)
    return Finding(
        bottleneck, max(0.0, 1.0 - load) if seen else 0.0, said,
        (remedies.IDLE_INSTANCES if _instances_to_give(case) else remedies.IDLE) if idle and seen else remedies.NOTHING,
        curable=efficient and idle and seen,
        confidence=Confidence.POSSIBLE if not seen else Confidence.MEASURED if _all_seen(case) else Confidence.LIKELY,
    )  # fmt: skip


def _all_seen(case: Case) -> bool:
    return case.signals.utilization is not None and case.signals.host is not None


def _instances_to_give(case: Case) -> bool:
    return any(model.knobs.instances > case.situation.limits.min_instances for model in case.signals.models)


def _loads(case: Case) -> str:
    found = case.signals
    said = f"instances are busy {percent(found.busiest.busy or 0.0)}"
    if found.utilization is not None:
        said = f"{said}, the device {percent(found.utilization)}"
    return said if found.host is None else f"{said}, the node's processors {percent(found.host)}"


def _unknown_cause(case: Case) -> Finding:
    lost = "cameras get less than they are meant to have" if case.signals.degraded > 0 else "frames are lost"
    what = [text for is_so, text in ((case.starved, lost), (case.slow, "the latency objective is not kept")) if is_so]
    said = f"{' and '.join(what) or 'a limit is near'}, and no figure says why: {_loads(case)}"
    return Finding(Bottleneck.UNKNOWN, 0.0, said, remedies.MEASURE, curable=False, confidence=Confidence.POSSIBLE)


def _nothing_seen(windows: Sequence[Window]) -> Finding:
    reasons = sorted({window.disturbed for window in windows if window.disturbed})
    said = f"no undisturbed window was seen yet ({'; '.join(reasons)})" if reasons else "nothing was measured yet"
    return Finding(
        Bottleneck.UNKNOWN, 0.0, said, "wait for the next one", curable=False, confidence=Confidence.POSSIBLE
    )


def _unknown(case: Case) -> list[str]:
    """Return a clause for each figure that would have been needed."""
    found = case.signals
    said = []
    if found.utilization is None:
        told = case.known.exporter_tells_utilization
        why = "its exporter gave no usable figure" if told else "no exporter of the profile tells it"
        said.append(f"the accelerator's utilisation is not known, since {why}")
    if found.host is None:
        said.append("how busy the node's processors are is not known")
    if not found.cores:
        said.append("what the detector's stages take is not known")
    if not found.bytes:
        said.append("how many bytes a frame has is not known, so a narrow link shows only where the exporter tells")
    if any(model.exchange is None for model in found.models):
        said.append("how long requests take in the detector is not known")
    return said


def _written(findings: list[Finding], unknown: tuple[str, ...]) -> Diagnosis:
    first = findings[0]
    headline = remedies.HEADLINES[first.bottleneck]
    if first.confidence is Confidence.POSSIBLE and first.bottleneck is not Bottleneck.UNKNOWN:
        # A name keeps its capital.
        headline = f"Possibly {headline if headline.startswith('Triton') else headline[0].lower() + headline[1:]}"
    # What is missing belongs into the sentence only where it leaves the finding open.
    missing = f" ({unknown[0]})" if unknown and first.confidence is Confidence.POSSIBLE else ""
    # Evidence gives way to the remedy, which is what somebody on call needs.
    said = _cut(f"{first.evidence}{missing}", LONGEST - len(f"{headline}: ; {first.remedy}"))
    return Diagnosis(tuple(findings), remedies.LIMITS[first.bottleneck], f"{headline}: {said}; {first.remedy}", unknown)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
