"""What status says of verification: at the detector that asked, how its test stands; at the profile, what counts. Pure.

A test's result is first recorded at the profile, then the detector's status says that its request was answered, and
only then the Job goes. Whatever is killed in between, the next pass finds where that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import conditions
from edgedetector.api.conditions import Condition
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.verification import (
    DRIVER_CHANGED,
    NEVER,
    PROFILE_CHANGED,
    Finding,
    Report,
    Verification,
    drivers_of,
    lapsed,
    verification_of,
)
from edgedetector.observe.verification import COMPLETE, FAILED, MAX_DRIVER, RUNNING, WAITING, Run

if TYPE_CHECKING:
    from edgedetector.api.profile import ProfileSpec

Json = dict[str, Any]

# Of a profile alone, as `Shipped` is.
VERIFIED: Final = "Verified"
REASON_VERIFIED: Final = "Verified"
REASON_NEVER_VERIFIED: Final = "NeverVerified"
REASON_DRIVER_CHANGED: Final = "DriverChanged"
REASON_PROFILE_CHANGED: Final = "ProfileChanged"
REASON_VERIFICATION_FAILED: Final = "VerificationFailed"

MAX_MESSAGE: Final = 1024
MAX_DRIVERS: Final = 16
# What a test can find out. What a profile names beyond these somebody has to vouch for.
TESTED: Final = frozenset({"instanceChangeInPlace", "coexistingReload", "memoryKnown"})
_HOW: Final = "annotate an EdgeDetector that uses it with edgedetector.dev/verify-profile and any new text"
_AGAIN: Final = (
    "until a new test the slow safe way is taken: annotate an EdgeDetector that uses it with"
    " edgedetector.dev/verify-profile and any new text"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How a request for a test stands, as the status of its detector says it."""

    document: Mapping[str, Any]
    answered: bool
    """Nothing more comes of it."""
    settled: bool = False
    """The status has said so before: a Job that is still there has no use any more."""


def asked(
    request: str,
    before: Mapping[str, Any],
    run: Run | None,
    profile: Mapping[str, Any] | None,
    *,
    own_pods: bool = False,
    holders: Mapping[str, tuple[str, ...]] | None = None,
) -> Asked | None:
    """Return how a request stands; None if nobody asks.

    Parameters
    ----------
    request
        Value of the annotation; empty: there is none.
    before
        What the detector's status says of verification.
    run
        The test, if its Job is there.
    profile
        Status of the AcceleratorProfile; None: profiles are files, which have none.
    own_pods
        Whether inference pods of the detector itself have a node.
    holders
        Resource -> other detectors that hold some of it.
    """
    if not request:
        return None
    if answered(request, before):
        return Asked(before, answered=True, settled=True)
    if run is None or run.request != request:
        return _on_its_way(request, WAITING, "its Job is about to be made")
    if not run.over:
        return _on_its_way(request, run.state, _waits(run, own_pods=own_pods, holders=holders or {}))
    if profile is not None and not recorded(run, profile):
        return _on_its_way(request, RUNNING, "it has ended, and its result is about to be recorded")
    document = {"observed": request, "state": run.state, "message": _ended(run, file=profile is None)}
    return Asked(document | ({"time": run.ended} if run.ended else {}), answered=True)


def answered(request: str, before: Mapping[str, Any]) -> bool:
    """Tell whether a detector's status says that this request needs nothing more."""
    return before.get("observed") == request and before.get("state") in {COMPLETE, FAILED}


def recorded(run: Run, profile: Mapping[str, Any]) -> bool:
    """Tell whether a profile's status holds this result or a later one."""
    return str((profile.get("verification") or {}).get("time", "")) >= run.ended


def _on_its_way(request: str, state: str, message: str) -> Asked:
    document = {"observed": request, "state": state, "message": message[:MAX_MESSAGE]}
    return Asked({key: value for key, value in document.items() if value}, answered=False)


def _waits(run: Run, *, own_pods: bool, holders: Mapping[str, tuple[str, ...]]) -> str:
    if run.problem is None:
        return run.message
    for resource in run.problem.lacking:
        if own_pods:
            return (
                f"it waits for {resource}, which this EdgeDetector's own pod holds; set spec.suspend to true until it"
                " is done, or add a second accelerator"
            )
        if others := holders.get(resource):
            return (
                f"it waits for {resource}, which EdgeDetector {', '.join(others)} holds; suspend that one until it is"
                " done, or add an accelerator"
            )
    return run.message


def _ended(run: Run, *, file: bool) -> str:
    if run.report is None:
        return f"the test found nothing: {run.message}; mend that and ask again with a new text"[:MAX_MESSAGE]
    found = "; ".join(_line(one) for one in (*run.report.capabilities, *run.report.metrics) if one.verified)
    if not file:
        return f"the status of its AcceleratorProfile has the evidence: {found}"[:MAX_MESSAGE]
    return (
        "this operator serves namespaces only, where profiles are files without a status: nothing counts but what the"
        f" file says. Mark there what was found: {found}"
    )[:MAX_MESSAGE]


def _line(found: Finding) -> str:
    return f"{found.name} {'yes' if found.supported else 'no'}"


def record(before: Verification, runs: Iterable[Run]) -> Verification:
    """Return what a profile's status is to hold once these tests are known: the last one that is over counts.

    One that found nothing leaves what an earlier one has found.
    """
    over = [run for run in runs if run.over and run.ended > before.time]
    if not over:
        return before
    last = max(over, key=lambda run: (run.ended, run.detector))
    head = replace(before, observed=last.request, detector=last.detector, time=last.ended, failure="")
    if last.report is None:
        # Of two in one moment the other one may have found something.
        measured = max((run for run in over if run.report), key=lambda run: run.ended, default=None)
        found = _with(head, measured.report, measured.ended) if measured and measured.report else head
        return replace(found, failure=last.message[:MAX_MESSAGE] or "no reason is known")
    return _with(head, last.report, last.ended)


def _with(head: Verification, report: Report, ended: str) -> Verification:
    return replace(
        head,
        measured=ended,
        basis=report.basis,
        driver=report.driver,
        triton=report.triton,
        model=report.model,
        capabilities=report.capabilities,
        metrics=report.metrics,
    )


def document(verification: Verification) -> Json:
    """Return `.status.verification`; empty if there was never a try."""
    if not verification.time:
        return {}
    plain = ("observed", "detector", "time", "failure", "measured", "basis", "driver", "triton", "model")
    told = {name: getattr(verification, name) for name in plain if getattr(verification, name)}
    lists = {"capabilities": verification.capabilities, "metrics": verification.metrics}
    return told | {name: [_finding(one) for one in found] for name, found in lists.items() if found}


def _finding(found: Finding) -> Json:
    plain = {"name": found.name, "supported": found.supported, "verified": found.verified}
    return plain | ({"evidence": found.evidence} if found.evidence else {})


def drivers(told: Iterable[str], before: Iterable[str], old: Verification, new: Verification) -> tuple[str, ...]:
    """Return the versions of the driver that are in use.

    Parameters
    ----------
    told
        By the pods that use it. While none tells, e.g. of a detector that is suspended for its test, it is the one that
        was just tested, or else what was told before.
    """
    found = tuple(sorted({driver[:MAX_DRIVER] for driver in told if driver}))
    if found:
        return found
    return (new.driver,) if new.measured != old.measured and new.driver else tuple(before)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a profile on real cards: fields of its status, and the condition that they make."""

    fields: Json
    condition: Condition


def known(obj: Json, runs: Iterable[Run], told: Iterable[str]) -> Known:
    """Return what is known once the tests that are over are counted.

    Parameters
    ----------
    obj
        The AcceleratorProfile as the API server has it.
    told
        Versions of the driver that pods tell of.

    Raises
    ------
    InvalidSpecError
        If the profile cannot be read.
    """
    status = obj.get("status") or {}
    old = verification_of(status)
    new = record(old, runs)
    in_use = drivers(told, drivers_of(status), old, new)
    found = {"drivers": list(in_use[:MAX_DRIVERS]), "verification": document(new)}
    # As it is written: what counts is said beside it.
    spec = AcceleratorProfile.parse({key: value for key, value in obj.items() if key != "status"}).spec
    return Known({name: value for name, value in found.items() if value}, judge(spec, new, in_use))


def kept(status: Mapping[str, Any]) -> Json:
    """Return the fields of a profile's status that are about verification."""
    return {name: status[name] for name in ("drivers", "verification") if status.get(name)}


def judge(spec: ProfileSpec, verification: Verification, in_use: Iterable[str]) -> Condition:
    """Return condition Verified of a profile.

    Parameters
    ----------
    spec
        As it is written.
    in_use
        Versions of the driver.
    """
    in_use = tuple(in_use)
    why = lapsed(verification, spec.basis, in_use)
    failed = f"; the last try found nothing: {verification.failure}" if verification.failure else ""
    if not why:
        return Condition(VERIFIED, conditions.TRUE, REASON_VERIFIED, _counts(verification) + failed)
    # What was said on the card is worth telling of even where nothing hangs on it.
    if why == NEVER and not failed and not _open(spec):
        text = "nothing that a test could find out is left open by the profile itself"
        return Condition(VERIFIED, conditions.TRUE, conditions.REASON_AS_EXPECTED, text)
    if failed and why == NEVER:
        text = f"the test found nothing: {verification.failure}; mend that and ask again with a new text"
        return _false(REASON_VERIFICATION_FAILED, text)
    return _false(*_LAPSED[why](spec, verification, in_use), failed)


def _false(reason: str, message: str, more: str = "") -> Condition:
    return Condition(VERIFIED, conditions.FALSE, reason, message + more)


def _open(spec: ProfileSpec) -> tuple[str, ...]:
    """Return what the profile says that the accelerator can do, and nobody has seen."""
    return tuple(one.name for one in spec.capabilities if one.name in TESTED and one.supported and not one.verified)


def _counts(verification: Verification) -> str:
    named = (
        f"with driver {verification.driver}"
        if verification.driver
        else ("with a driver of which the exporter names no version, so that a changed one goes unnoticed")
    )
    found = ", ".join(_line(one) for one in verification.capabilities if one.verified)
    return f"seen on the card {named} and Triton {verification.triton}: {found}"


def _never(spec: ProfileSpec, _verification: Verification, _in_use: tuple[str, ...]) -> tuple[str, str]:
    text = f"nobody has seen {', '.join(_open(spec))} on this accelerator, so the slow safe way is taken; {_HOW}"
    return REASON_NEVER_VERIFIED, text


def _profile(_spec: ProfileSpec, _verification: Verification, _in_use: tuple[str, ...]) -> tuple[str, str]:
    text = f"the profile names another Triton or exporter than the one that was tested; {_AGAIN}"
    return REASON_PROFILE_CHANGED, text


def _driver(_spec: ProfileSpec, verification: Verification, in_use: tuple[str, ...]) -> tuple[str, str]:
    was = f"driver {verification.driver}" if verification.driver else "a driver of unknown version"
    text = f"driver {', '.join(in_use)} is in use, and the test was made with {was}; {_AGAIN}"
    return REASON_DRIVER_CHANGED, text


_LAPSED: Final = {NEVER: _never, PROFILE_CHANGED: _profile, DRIVER_CHANGED: _driver}
