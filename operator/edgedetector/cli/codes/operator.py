"""ED01xx: operator, definitions, and whether what was asked for was acted upon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import edgedetector
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.cli import schema
from edgedetector.cli.codes.base import Case, Code, Fields, Scope, Severity
from edgedetector.cli.codes.reasons import on
from edgedetector.cli.snapshot import Object, age

SEEN_WITHIN: Final = 60.0
"""Seconds in which an operator that runs has seen a change: it takes one or two."""
_KINDS: Final = {"edgedetectors": "EdgeDetector", "acceleratorprofiles": "AcceleratorProfile"}


def definition_missing(case: Case) -> Iterator[Fields]:
    """Yield definitions that are not there, or not established."""
    found = case.snapshot.cluster.definitions
    for plural in _KINDS if found is not None else ():
        name = f"{plural}.{names.GROUP}"
        crd = (found or {}).get(name)
        if crd is None:
            yield {"object": f"CustomResourceDefinition {name}", "what": "does not exist"}
        elif not _established(crd):
            yield {"object": f"CustomResourceDefinition {name}", "what": "is not established"}


def _established(crd: Object) -> bool:
    found = (crd.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in found)


def definition_older(case: Case) -> Iterator[Fields]:
    """Yield definitions that lack fields of this release: those are dropped without a word."""
    for plural, kind in _KINDS.items():
        crd = (case.snapshot.cluster.definitions or {}).get(f"{plural}.{names.GROUP}")
        if crd is None:
            continue
        lacking = sorted(schema.shipped_fields(kind) - schema.fields(schema.served(crd)))
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""  # noqa: PLR2004 - a line's worth
            name = f"{plural}.{names.GROUP}"
            yield {"object": f"CustomResourceDefinition {name}", "fields": ", ".join(lacking[:3]) + more}


def not_running(case: Case) -> Iterator[Fields]:
    """Yield that no operator runs, as far as one may see."""
    found = case.snapshot.cluster.operators
    if found is None or any(_available(one) for one in found):
        return
    if not found:
        yield {"object": "the operator", "what": "no Deployment of it exists", "help": _INSTALL}
    for one in found:
        space, name = one["metadata"]["namespace"], one["metadata"]["name"]
        help_ = f"kubectl -n {space} describe deployment {name}; kubectl -n {space} logs deployment/{name}"
        yield {"object": f"Deployment {space}/{name}", "what": "it has no available replica", "help": help_}


_INSTALL: Final = (
    "helm install edgedetector charts/edgedetector --namespace edgedetector-system --create-namespace --wait"
)


def _available(deployment: Object) -> bool:
    return ((deployment.get("status") or {}).get("availableReplicas") or 0) > 0


def other_version(case: Case) -> Iterator[Fields]:
    """Yield an operator of another release than this command line."""
    for one in case.snapshot.cluster.operators or ():
        version = (one["metadata"].get("labels") or {}).get("app.kubernetes.io/version", "")
        if version and version != edgedetector.__version__:
            where = f"Deployment {one['metadata']['namespace']}/{one['metadata']['name']}"
            yield {"object": where, "version": version, "ours": edgedetector.__version__}


def several(case: Case) -> Iterator[Fields]:
    """Yield that more than one operator runs; several may, of namespaces of their own."""
    running = [one for one in case.snapshot.cluster.operators or () if _available(one) and not _watched(one)]
    if len(running) > 1:
        names_ = ", ".join(f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in running)
        yield {"object": "the operator", "names": names_}


def _watched(deployment: Object) -> str:
    """Return the namespaces that an operator is confined to; empty: none, it serves all."""
    template = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    variables = [entry for one in template.get("containers") or () for entry in one.get("env") or ()]
    return next((one.get("value", "") for one in variables if one["name"] == "EDGEDETECTOR_NAMESPACES"), "")


def stale(case: Case) -> Iterator[Fields]:
    """Yield a change that the operator has not seen for a minute."""
    metadata = case.subject.obj["metadata"]
    seen, wanted = case.subject.status.get("observedGeneration", 0), metadata.get("generation", 0)
    times = [one.get("time", "") for one in metadata.get("managedFields") or () if one.get("subresource") != "status"]
    changed = max([metadata.get("creationTimestamp", ""), *times])
    waited = age(case.snapshot, changed)
    if seen < wanted and waited is not None and waited > SEEN_WITHIN:
        yield {"seen": seen, "wanted": wanted, "minutes": f"{waited / 60:.0f}"}


CODES: Final = (
    Code(
        "ED0101",
        "A definition is missing",
        Severity.ERROR,
        "{object} {what}",
        "install the chart with crds.install=true, or kubectl apply --server-side -f crds/",
        definition_missing,
        Scope.CLUSTER,
    ),
    Code(
        "ED0102",
        "A definition is of an older release",
        Severity.WARNING,
        "{object} does not know {fields}: what a specification says there is dropped",
        "kubectl apply --server-side -f crds/ of the release that runs (helm upgrade does it with crds.install=true)",
        definition_older,
        Scope.CLUSTER,
    ),
    Code(
        "ED0103",
        "The operator does not run",
        Severity.ERROR,
        "{what}: detections go on, but nothing that is changed takes effect",
        "{help}",
        not_running,
        Scope.CLUSTER,
    ),
    Code(
        "ED0104",
        "Operator and command line are of different releases",
        Severity.WARNING,
        "the operator is {version}, this command line is {ours}: codes and fields may not fit",
        "use the command line of release {version}, or upgrade the operator",
        other_version,
        Scope.CLUSTER,
    ),
    Code(
        "ED0105",
        "Two operators serve all namespaces",
        Severity.ERROR,
        "{names} both write the same objects",
        "uninstall one of them, or confine each to namespaces of its own (watchNamespaces)",
        several,
        Scope.CLUSTER,
    ),
    Code(
        "ED0106",
        "The last change was not seen",
        Severity.ERROR,
        "generation {wanted} was written {minutes} minutes ago, and the operator has acted on {seen}",
        "see whether it runs and watches this namespace: kubectl get deployments -A -l"
        " app.kubernetes.io/name=edgedetector-operator; its log has why",
        stale,
    ),
    Code(
        "ED0107",
        "The API server refuses an object",
        Severity.ERROR,
        "{said}",
        "allow it: the words name the right (RBAC), quota or Pod Security level that stands against it",
        on(c.REASON_APPLY_FAILED),
    ),
    Code(
        "ED0108",
        "A name is taken",
        Severity.ERROR,
        "{said}",
        "rename the EdgeDetector {name}, or remove the object that is not the operator's",
        on(c.REASON_NAME_TAKEN),
    ),
    Code(
        "ED0109",
        "A defect of the operator",
        Severity.ERROR,
        "{said}",
        "kubectl edgedetector report -n {namespace} {name}, and send it with an issue",
        on(c.REASON_INTERNAL_ERROR),
    ),
    Code(
        "ED0110",
        "The operator refuses the specification",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} edit edgedetector {name}, and correct the field that the words name",
        on(c.REASON_INVALID_SPEC),
    ),
)
