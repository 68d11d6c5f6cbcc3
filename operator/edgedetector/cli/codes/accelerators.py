"""ED02xx: accelerators, their profiles, and the nodes that offer them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from edgedetector.api import conditions as c
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import parse_quantity
from edgedetector.cli.codes.base import Case, Code, Fields, Severity
from edgedetector.cli.codes.reasons import on
from edgedetector.cli.snapshot import Object, condition

STATE: Final = "node.kubernetes.io/"
"""Prefix of the taints that the node controller sets."""


def no_profile(case: Case) -> Iterator[Fields]:
    """Yield that the cluster has no profile of this name; an operator of some namespaces has them as files."""
    known = case.snapshot.cluster.profiles
    if known and case.profile not in known:
        yield {"known": ", ".join(sorted(known))}
    elif not known:
        for one in on(c.REASON_PROFILE_NOT_FOUND)(case):
            yield {**one, "known": "unknown"}


def wrong_profile(case: Case) -> Iterator[Fields]:
    """Yield what is wrong with the profile."""
    if case.subject.profile is None:
        yield from on(c.REASON_INVALID_PROFILE)(case)
        return
    try:
        AcceleratorProfile.parse(case.subject.profile)
    except InvalidSpecError as error:
        yield {"object": f"AcceleratorProfile {case.profile}", "said": str(error)}


def no_runtime_class(case: Case) -> Iterator[Fields]:
    """Yield a runtime class that pods ask for and nobody has made."""
    profile, known = case.accelerator, case.snapshot.cluster.runtime_classes
    if profile is not None and known is not None and profile.spec.runtime_class_name:
        wanted = profile.spec.runtime_class_name
        if wanted not in known:
            yield {"object": f"RuntimeClass {wanted}", "wanted": wanted, "known": ", ".join(sorted(known)) or "none"}


def no_resource(case: Case) -> Iterator[Fields]:
    """Yield that no node offers the accelerator: its device plugin does not run."""
    profile, nodes = case.accelerator, case.snapshot.cluster.nodes
    if profile is None or nodes is None or not profile.spec.resource.name:
        return
    wanted = profile.spec.resource.name
    if not any(_offers(node, wanted) for node in nodes):
        yield {"resource": wanted, "count": len(nodes)}


def _offers(node: Object, resource: str) -> bool:
    text = str(((node.get("status") or {}).get("allocatable") or {}).get(resource, "0"))
    try:
        return parse_quantity(text) > Decimal(0)
    except ValueError:
        return False


def no_node(case: Case) -> Iterator[Fields]:
    """Yield labels that pods ask for and no node that offers the accelerator has."""
    profile, detector, nodes = case.accelerator, case.detector, case.snapshot.cluster.nodes
    if profile is None or detector is None or nodes is None or detector.spec.suspend:
        return
    wanted = {**profile.spec.node_selector, **detector.spec.node_selector}
    resource = profile.spec.resource.name
    able = [node for node in nodes if not resource or _offers(node, resource)]
    if wanted and able and not any(_labels(node).items() >= wanted.items() for node in able):
        missing = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        yield {"labels": missing, "nodes": ", ".join(node["metadata"]["name"] for node in able[:3])}


def _labels(node: Object) -> dict[str, Any]:
    return dict(node["metadata"].get("labels") or {})


def tainted(case: Case) -> Iterator[Fields]:
    """Yield that all nodes with the accelerator keep pods away."""
    profile, detector, nodes = case.accelerator, case.detector, case.snapshot.cluster.nodes
    if profile is None or detector is None or not nodes or detector.spec.suspend:
        return
    resource = profile.spec.resource.name
    able = [node for node in nodes if not resource or _offers(node, resource)]
    tolerated = [one.manifest() for one in (*profile.spec.tolerations, *detector.spec.tolerations)]
    against = [taint for node in able if (taint := _against(node, tolerated))]
    if able and len(against) == len(able):
        yield {"taint": against[0], "nodes": ", ".join(node["metadata"]["name"] for node in able[:3])}


def _against(node: Object, tolerations: list[dict[str, object]]) -> str:
    """Return the first taint that none of the tolerations bears, empty if there is none."""
    for taint in (node.get("spec") or {}).get("taints") or ():
        # What the cluster itself says of a node, that it is cordoned or not ready, is told by codes of its own.
        hard = taint.get("effect") in {"NoSchedule", "NoExecute"} and not taint["key"].startswith(STATE)
        if hard and not any(_bears(one, taint) for one in tolerations):
            return f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
    return ""


def _bears(toleration: dict[str, object], taint: Object) -> bool:
    if toleration.get("effect") not in {None, taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, taint["key"]}
    return (toleration.get("key"), toleration.get("value") or "") == (taint["key"], taint.get("value", ""))


def taken(case: Case) -> Iterator[Fields]:
    """Yield who has the accelerator."""
    yield from on(c.REASON_ACCELERATOR_TAKEN)(case)


def used_up(case: Case) -> Iterator[Fields]:
    """Yield that nodes offer the accelerator and none is free; that none offers any is ED0204."""
    if not list(no_resource(case)):
        yield from on(c.REASON_ACCELERATOR_MISSING)(case)


def unverified(case: Case) -> Iterator[Fields]:
    """Yield that nobody has seen what the profile says."""
    yield from _verified(case, "NeverVerified", "VerificationFailed")


def another_driver(case: Case) -> Iterator[Fields]:
    """Yield that what was seen counts no more."""
    yield from _verified(case, "DriverChanged", "ProfileChanged")


def _verified(case: Case, *reasons: str) -> Iterator[Fields]:
    found = condition(case.subject.profile, "Verified") if case.subject.profile is not None else {}
    if found.get("reason") in reasons:
        said = str(found.get("message", "")).partition("; ")[0]
        yield {"object": f"AcceleratorProfile {case.profile}", "said": said}


def exporter_held(case: Case) -> Iterator[Fields]:
    """Yield that the profile's exporter does not run on all its nodes."""
    found = ((case.subject.profile or {}).get("status") or {}).get("exporters") or {}
    desired, ready = found.get("desired", 0), found.get("ready", 0)
    if ready < desired:
        yield {"object": f"AcceleratorProfile {case.profile}", "ready": ready, "desired": desired}


CODES: Final = (
    Code(
        "ED0201",
        "The accelerator profile does not exist",
        Severity.ERROR,
        "spec.acceleratorProfile names {profile}; there is: {known}",
        "kubectl -n {namespace} edit edgedetector {name} and correct spec.acceleratorProfile, or create the profile",
        no_profile,
    ),
    Code(
        "ED0202",
        "The accelerator profile is wrong",
        Severity.ERROR,
        "{said}",
        "whoever administers it: kubectl edit acceleratorprofile {profile}",
        wrong_profile,
    ),
    Code(
        "ED0203",
        "The runtime class does not exist",
        Severity.ERROR,
        "profile {profile} asks for RuntimeClass {wanted}; there is: {known}",
        "install the vendor's container runtime with its RuntimeClass, or correct spec.runtimeClassName of"
        " AcceleratorProfile {profile}",
        no_runtime_class,
    ),
    Code(
        "ED0204",
        "No node offers the accelerator",
        Severity.ERROR,
        "none of {count} nodes has {resource} in status.allocatable",
        "start the vendor's device plugin on the node with the card and see its log; driver and plugin must fit",
        no_resource,
    ),
    Code(
        "ED0205",
        "Another EdgeDetector has the accelerator",
        Severity.ERROR,
        "{said}",
        "suspend or delete the other one, add an accelerator, or use another acceleratorProfile",
        taken,
    ),
    Code(
        "ED0206",
        "No node has the labels",
        Severity.ERROR,
        "pods ask for {labels}, which none of the nodes with the accelerator has ({nodes})",
        "kubectl label node NODE {labels}, or correct spec.nodeSelector of EdgeDetector or profile",
        no_node,
    ),
    Code(
        "ED0207",
        "A taint keeps the pods away",
        Severity.ERROR,
        "the nodes with the accelerator ({nodes}) have the taint {taint}, which nobody tolerates",
        "add a toleration of it to spec.tolerations, or remove it: kubectl taint node NODE {taint}-",
        tainted,
    ),
    Code(
        "ED0208",
        "The accelerator is in use",
        Severity.ERROR,
        "{said}",
        "see who has it (kubectl describe node), stop that, or add an accelerator",
        used_up,
    ),
    Code(
        "ED0209",
        "The profile was never verified on this card",
        Severity.INFO,
        "{said}",
        "kubectl edgedetector verify-profile -n {namespace} {name}",
        unverified,
    ),
    Code(
        "ED0210",
        "What was verified counts no more",
        Severity.WARNING,
        "{said}",
        "kubectl edgedetector verify-profile -n {namespace} {name}; the former driver makes it count again, too",
        another_driver,
    ),
    Code(
        "ED0211",
        "The device cannot be opened",
        Severity.ERROR,
        "{said}",
        "add the group that owns the device (ls -l /dev on the node) to spec.podSecurity.supplementalGroups of"
        " AcceleratorProfile {profile}",
        on(c.REASON_DEVICE_NOT_ACCESSIBLE),
    ),
    Code(
        "ED0212",
        "The accelerator's exporter does not run",
        Severity.WARNING,
        "{ready} of {desired} exporters of profile {profile} are ready: its figures are missing",
        "kubectl get pods -A -l edgedetector.dev/accelerator-profile={profile}, and describe the one that is not ready",
        exporter_held,
    ),
)
