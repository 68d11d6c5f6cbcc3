"""ED08xx: whether a Prometheus takes what is there to be scraped and alerted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli import selectors
from edgedetector.cli.codes.base import Case, Code, Fields, Scope, Severity
from edgedetector.cli.codes.reasons import on
from edgedetector.cli.snapshot import Cluster, Object

_FIELDS: Final = {"ServiceMonitor": "serviceMonitor", "PrometheusRule": "rule"}
"""Kind -> how the fields of a Prometheus begin that select it."""


@dataclass(frozen=True, slots=True)
class _Miss:
    """An object whose labels fit no Prometheus that looks where it is."""

    object: str
    prometheus: str
    """The one whose labels are named."""
    selector: str
    change: str
    """Of the object's labels."""


def _where(obj: Object) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _told(obj: Object) -> str:
    return f"{obj['kind']} {_where(obj)}"


def _monitors(objects: Iterable[Object]) -> Iterator[Object]:
    return (obj for obj in objects if obj["kind"] in _FIELDS)


def _blind(prometheus: Object, obj: Object, cluster: Cluster) -> str:
    """Return the field by which a Prometheus looks at nothing of the kind where an object is; empty: it looks there."""
    spec, field = prometheus.get("spec") or {}, _FIELDS[obj["kind"]]
    if spec.get(f"{field}Selector") is None:
        return f"{field}Selector"
    space, spaces = obj["metadata"]["namespace"], spec.get(f"{field}NamespaceSelector")
    if spaces is None:  # its own alone
        looks = prometheus["metadata"]["namespace"] == space
    else:
        known = (cluster.namespaces or {}).get(space)
        looks = known is None or selectors.fits(spaces, {"kubernetes.io/metadata.name": space, **known})
    return "" if looks else f"{field}NamespaceSelector"


def _missed(objects: Iterable[Object], cluster: Cluster) -> Iterator[_Miss]:
    """Yield the objects that have labels which no Prometheus selects, although one looks where they are."""
    for obj in _monitors(objects):
        labels = obj["metadata"].get("labels") or {}
        looking = [one for one in cluster.prometheuses or () if not _blind(one, obj, cluster)]
        chosen = [(one, one["spec"][f"{_FIELDS[obj['kind']]}Selector"]) for one in looking]
        if chosen and not any(selectors.fits(selector, labels) for _, selector in chosen):
            prometheus, selector = chosen[0]
            change = selectors.mend(selector, labels)
            said = str(change) if change else f"nothing fits: correct the selector of Prometheus {_where(prometheus)}"
            yield _Miss(_told(obj), _where(prometheus), selectors.told(selector), said)


def not_picked_up(case: Case) -> Iterator[Fields]:
    """Yield what of an EdgeDetector no Prometheus selects, although there is one."""
    for one in _missed(case.subject.children, case.snapshot.cluster):
        yield {"object": one.object, "prometheus": one.prometheus, "selector": one.selector, "change": one.change}


def chart_not_picked_up(case: Case) -> Iterator[Fields]:
    """Yield what of the chart and of exporters no Prometheus selects: once, however many objects."""
    cluster = case.snapshot.cluster
    missed = sorted(_missed(cluster.monitored or (), cluster), key=_cause)
    for (prometheus, selector, change), found in groupby(missed, key=_cause):
        objects = ", ".join(one.object for one in found)
        yield {
            "object": "the operator's release",
            "objects": objects,
            "prometheus": prometheus,
            "selector": selector,
            "change": change,
        }


def _cause(one: _Miss) -> tuple[str, str, str]:
    return one.prometheus, one.selector, one.change


def not_looked_at(case: Case) -> Iterator[Fields]:
    """Yield namespaces in which no Prometheus looks for a kind that we have there."""
    cluster = case.snapshot.cluster
    children = (obj for subject in case.snapshot.subjects for obj in subject.children)
    ours = {
        (obj["kind"], obj["metadata"]["namespace"]): obj for obj in _monitors((*children, *(cluster.monitored or ())))
    }
    for (kind, space), obj in sorted(ours.items()):
        blind = [(one, _blind(one, obj, cluster)) for one in cluster.prometheuses or ()]
        if blind and all(field for _, field in blind):
            prometheus, field = blind[0]
            yield {
                "object": f"Prometheus {_where(prometheus)}",
                "kind": kind,
                "space": space,
                "prometheus": _where(prometheus),
                "field": field,
            }


def no_prometheus(case: Case) -> Iterator[Fields]:
    """Yield that the definitions are there, and nobody scrapes."""
    cluster = case.snapshot.cluster
    if cluster.prometheuses == () and "ServiceMonitor" in (cluster.monitoring or ()):
        yield {"object": "monitoring.coreos.com"}


CODES: Final = (
    Code(
        "ED0804",
        "The Prometheus Operator is not installed",
        Severity.WARNING,
        "{said}",
        "install it (kube-prometheus-stack brings it), or set spec.monitoring.enabled to false",
        on(c.REASON_MONITORING_NOT_INSTALLED),
    ),
    Code(
        "ED0805",
        "No Prometheus picks it up",
        Severity.WARNING,
        "it lacks the labels by which Prometheus {prometheus} selects: {selector}",
        "in spec.monitoring.labels, or in the chart's monitoring.labels for all: {change}",
        not_picked_up,
    ),
    Code(
        "ED0806",
        "There is no Prometheus",
        Severity.INFO,
        "the Prometheus Operator's definitions are installed, and there is no object of kind Prometheus: nobody"
        " scrapes",
        "create one (manifests/prometheus is for one box), or have another agent read ServiceMonitors",
        no_prometheus,
        Scope.CLUSTER,
    ),
    Code(
        "ED0809",
        "No Prometheus looks into a namespace",
        Severity.WARNING,
        "no Prometheus looks for a {kind} in namespace {space}; of {prometheus} it is {field} that leaves it out",
        "set spec.{field} of Prometheus {prometheus} to {{}}, which takes all, or to what fits",
        not_looked_at,
        Scope.CLUSTER,
    ),
    Code(
        "ED0810",
        "No Prometheus picks up the operator",
        Severity.WARNING,
        "{objects}: without the labels by which Prometheus {prometheus} selects: {selector}",
        "in the chart's monitoring.labels: {change} (helm upgrade, docs/monitoring.md)",
        chart_not_picked_up,
        Scope.CLUSTER,
    ),
)
