"""What others do to a detector's children is undone, and what happened while nobody looked is caught up with."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest
from bench.reconcile import rig
from tests import apiserver as bare

import api
import cluster as driver
import pause
import sites
from edgedetector import plan
from edgedetector.api import conditions, names
from edgedetector.cluster import kinds
from edgedetector.controller.discovery import MEMORY
from harness import Kubectl, poll
from promises import promises

NAMESPACE: Final = "healing"
TWIN: Final = "healing-twin"
PROFILE: Final = "healing"
DUE_SECONDS: Final = 10.0
BACK_SECONDS: Final = 2 * MEMORY + DUE_SECONDS
"""A kind is asked for again within twice the operator's memory of it."""
DOWN_SECONDS: Final = 600.0

GATE: Final = {"name": "gate", "url": "rtsp://camera:8554/vtest"}
DOCK: Final = {"name": "dock", "url": "rtsp://camera:8554/mirrored"}
NOWHERE: Final = {"nodeSelector": {"example.com/no-such": "node"}}
"""For detectors of which only the children count."""

_GENERATION: Final = re.compile(r'\\"generation\\":\d+')
"""In a document inside a ConfigMap: that of a detector with a past is higher."""

Object = dict[str, Any]
Edit = Callable[[Object], Object]

FIELDS: Final[dict[str, Edit]] = {
    "ConfigMap": lambda obj: {"data": dict.fromkeys(obj["data"], "{}")},
    "Service": lambda _: {"spec": {"selector": {"app": "another"}}},
    "Deployment": lambda _: {"spec": {"revisionHistoryLimit": 7}},
    "DaemonSet": lambda _: {"spec": {"revisionHistoryLimit": 7}},
    "HorizontalPodAutoscaler": lambda _: {"spec": {"maxReplicas": 9}},
    "PodDisruptionBudget": lambda _: {"spec": {"selector": {"matchLabels": {"app": "another"}}}},
    "NetworkPolicy": lambda _: {"spec": {"podSelector": {"matchLabels": {"app": "another"}}}},
    "ServiceMonitor": lambda _: {"spec": {"endpoints": []}},
    "PrometheusRule": lambda _: {"spec": {"groups": []}},
}
"""Kind -> what somebody does to a field of it. A kind that is new to the operator has to be named here."""

EVERY_KIND: Final = {kind for _, kind in (*sites.STANDING_KINDS, *plan.PROFILE_CHILD_KINDS)}

# No more than these: a child that is put right too often is taken for one that two controllers fight over.

EDITS: Final[dict[str, Edit]] = {
    "a field is edited": lambda obj: FIELDS[obj["kind"]](obj),
    "the parent's label is taken away": lambda _: {
        "metadata": {"labels": {names.LABEL_DETECTOR: None, names.LABEL_PROFILE: None}}
    },
    "the owner is taken away": lambda _: {"metadata": {"ownerReferences": None}},
}


def profile(images: dict[str, str]) -> Object:
    """Return a profile whose exporter runs anywhere."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": PROFILE},
        "spec": {
            "triton": {
                "image": images["triton-cpu"],
                "version": "24.10",
                "backend": "python",
                "instanceKind": "KIND_CPU",
                "modelFile": "model.py",
                "sharedMemory": "64Mi",
            },
            "media": {"image": images["go2rtc"]},
            "exporter": {
                "image": images["emulated-exporter"],
                "port": 9400,
                "files": [{"path": "/etc/exporter/metrics.csv", "content": "A, gauge, anything\n"}],
                "metrics": [{"name": "utilization", "metric": "A", "unit": "percent"}],
            },
        },
    }


@dataclass(frozen=True)
class LostKinds:
    """What came of it when ServiceMonitor and PrometheusRule were no kinds any more, and then were again."""

    missing: Object
    """The condition MonitoringReady meanwhile."""
    followed: float
    """Seconds until a camera that was added meanwhile stood in the media server's ConfigMap."""
    back: float
    """Seconds until both objects were there again."""
    present: Object
    """The condition then."""
    alive: bool
    """Whether the operator is the process that it was."""
    stalled: tuple[str, ...]
    """What the detector said whenever it was Stalled, and Events of a failure to apply."""


def lose_kinds() -> LostKinds:
    """Take the definitions of the optional kinds away under a running operator, and put them back."""
    site, definitions = "site-0", bare.monitoring_crds("real")
    obj = sites.detector("yard", GATE)
    obj["metadata"]["namespace"] = site
    with bare.start() as server:
        rig.install(server)
        with rig.operator(server) as operator:
            rig.await_profiles(server)
            server.apply(obj)
            optional = [kinds.of(*kind).path(site, "yard") for kind in plan.CHILD_KINDS if kind[1] in kinds.OPTIONAL]

            def there() -> bool:
                return all(server.get(path) for path in optional)

            def condition() -> Object:
                found = (server.get(server.path(obj)) or {}).get("status", {}).get("conditions", [])
                return next((c for c in found if c["type"] == conditions.MONITORING_READY), {"status": ""})

            bare.until("the objects are there", there)
            since = server.get(server.path(obj))["metadata"]["resourceVersion"]
            bare.until("they count", lambda: condition()["status"] == conditions.TRUE)
            for definition in definitions:
                server.delete(definition)
            bare.until("nothing serves them", lambda: not any(server.get(path) for path in optional))
            # One after the other they stop being served, and the operator may look in between.
            both = "PrometheusRule and ServiceMonitor"
            bare.until("the condition names both", lambda: both in condition().get("message", ""))
            missing, started = condition(), time.monotonic()
            more = {**obj, "spec": {**obj["spec"], "cameras": [GATE, DOCK]}}
            server.apply(more)
            media = kinds.of("v1", "ConfigMap").path(site, names.media("yard"))
            wanted = names.stream("dock")
            bare.until("the operator goes on", lambda: wanted in json.dumps(server.get(media)))
            followed, started = time.monotonic() - started, time.monotonic()
            server.define(*definitions)
            bare.until("the objects are there again", there)
            back = time.monotonic() - started
            bare.until("the condition is true again", lambda: condition()["status"] == conditions.TRUE)
            alive = operator.process.poll() is None
            return LostKinds(missing, followed, back, condition(), alive, _stalled(server, obj, since))


def _stalled(server: bare.Server, obj: Object, since: str) -> tuple[str, ...]:
    """Return what a detector said since a version when it was Stalled, and its Events of a failure to apply.

    A moment of it is enough for Helm and Argo CD to give up, so every version is looked at, not every poll.
    """
    now = server.get(server.path(obj))["metadata"]["resourceVersion"]
    collection, _, name = server.path(obj).rpartition("/")
    query = f"?watch=true&fieldSelector=metadata.name={name}&resourceVersion={since}"
    stalled: list[str] = []
    with server.session.get(server.url + collection + query, stream=True, timeout=60) as answer:
        for line in answer.iter_lines():
            version = json.loads(line)["object"]
            found = version["status"]["conditions"]
            stalled += [
                c["message"] for c in found if c["type"] == conditions.STALLED and c["status"] == conditions.TRUE
            ]
            if version["metadata"]["resourceVersion"] == now:
                break
    events = server.get(kinds.EVENT.path(obj["metadata"]["namespace"]))["items"]
    return (*stalled, *(e["note"] for e in events if e["reason"] == conditions.REASON_APPLY_FAILED))


@pytest.fixture(scope="module")
def lost_kinds() -> Iterator[Future[LostKinds]]:
    """The story of the kinds that went away, told on an API server of its own while the tests below run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lose_kinds)


@pytest.fixture(scope="module")
def yard(demo: Kubectl, images: dict[str, str], lost_kinds: object) -> Iterator[Kubectl]:
    """A detector with a camera and every kind of child, on a profile with an exporter. Module: it takes a while."""
    sites.namespace(NAMESPACE)
    driver.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(profile(images)))
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(
        sites.model(),
        *sites.camera(images["camera"]),
        sites.detector(
            "yard", GATE, profile=PROFILE, scaling={"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilization": 100}
        ),
        sites.detector("second", GATE, **NOWHERE),
        sites.detector("third", GATE, **NOWHERE),
    )
    poll("every kind of child", lambda: of_detector() | of_profile(), lambda found: found >= EVERY_KIND)
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    driver.kubectl("delete", "acceleratorprofile", PROFILE, "--wait=false")


def of_detector(name: str = "yard") -> set[str]:
    """Return the kinds of children that a detector has."""
    return {kind for kind, _ in api.children(NAMESPACE, name, plan.CHILD_KINDS)}


def of_profile() -> set[str]:
    """Return the kinds of children that the profile has."""
    selector = f"{names.LABEL_PROFILE}={PROFILE}"
    found = {
        kind[1]: api.items(kinds.of(*kind), driver.SYSTEM_NAMESPACE, selector) for kind in plan.PROFILE_CHILD_KINDS
    }
    return {kind for kind, objects in found.items() if objects}


def substance(obj: Object) -> Object:
    """Return what the operator decides of a child: no versions, no addresses, no number that an autoscaler writes."""
    metadata = obj["metadata"]
    spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in {"clusterIP", "clusterIPs"}}
    if obj["kind"] == "Deployment":
        spec.pop("replicas", None)
    rest = {k: v for k, v in obj.items() if k not in {"metadata", "status", "spec"}}
    return rest | {"spec": spec, "labels": metadata.get("labels"), "owners": metadata.get("ownerReferences")}


def path_of(obj: Object) -> tuple[kinds.Kind, str, str]:
    """Return kind, namespace and name."""
    return kinds.of(obj["apiVersion"], obj["kind"]), obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def heal(what: str, before: list[Object], harm: Callable[[Object], None], *, anew: bool = False) -> None:
    """Harm all these objects at once and see each of them as it was."""
    started = time.monotonic()
    for obj in before:
        harm(obj)

    def unlike() -> list[str]:
        return [obj["metadata"]["name"] for obj in before if not _is_as_before(obj, anew=anew)]

    poll(f"{before[0]['kind']}: {what}", unlike, lambda found: not found, every=0.1)
    took = time.monotonic() - started
    promises.note(f"{before[0]['kind']}, {len(before)} of them, {what}: as before", took, DUE_SECONDS)


def _is_as_before(obj: Object, *, anew: bool) -> bool:
    now = api.get(*path_of(obj))
    if now is None or now["metadata"].get("deletionTimestamp"):
        return False
    return substance(now) == substance(obj) and (now["metadata"]["uid"] != obj["metadata"]["uid"]) == anew


def hurt_in_every_way(objects: list[Object]) -> None:
    """Edit the objects of a kind, take label and owner away, and delete them."""
    assert objects, "the detector has no such child"
    for what, edit in EDITS.items():

        def change(obj: Object, edit: Edit = edit) -> None:
            changed = api.patch(*path_of(obj), edit(obj))
            assert substance(changed or {}) != substance(obj), "nothing was harmed"

        heal(what, objects, change)
    heal("deleted", objects, lambda obj: api.delete(*path_of(obj)), anew=True)


@pytest.mark.parametrize("kind", sites.STANDING_KINDS, ids=lambda kind: kind[1])
def test_a_child_of_a_detector_heals(yard: Kubectl, kind: tuple[str, str]) -> None:
    hurt_in_every_way(api.items(kinds.of(*kind), NAMESPACE, f"{names.LABEL_DETECTOR}=yard"))


@pytest.mark.parametrize("kind", plan.PROFILE_CHILD_KINDS, ids=lambda kind: kind[1])
def test_a_child_of_a_profile_heals(yard: Kubectl, kind: tuple[str, str]) -> None:
    hurt_in_every_way(api.items(kinds.of(*kind), driver.SYSTEM_NAMESPACE, f"{names.LABEL_PROFILE}={PROFILE}"))


def test_the_operator_goes_on_without_an_optional_kind_and_makes_its_objects_once_it_is_back(
    lost_kinds: Future[LostKinds],
) -> None:
    told = lost_kinds.result()
    promises.note("a camera edit followed without the optional kinds", told.followed, DUE_SECONDS)
    promises.note("objects of an optional kind that came back", told.back, BACK_SECONDS)
    assert told.alive
    assert told.stalled == ()
    assert told.missing["reason"] == conditions.REASON_MONITORING_NOT_INSTALLED
    assert "PrometheusRule and ServiceMonitor" in told.missing["message"]
    assert told.present["reason"] == conditions.REASON_MONITORING_CONFIGURED


def test_what_changed_while_no_operator_was_there_is_caught_up_with(yard: Kubectl, operator: Kubectl) -> None:
    with pause.stopped(operator):
        second = turn_everything_over(yard)
    started = time.monotonic()
    assert_caught_up(yard, second)
    print(f"caught up with everything {time.monotonic() - started:.0f} s after the operator was back")


@pytest.mark.soak
def test_ten_minutes_without_an_operator_are_caught_up_with(yard: Kubectl, operator: Kubectl) -> None:
    with pause.stopped(operator):
        second = turn_everything_over(yard)
        time.sleep(DOWN_SECONDS)  # the point of it: watches, caches and tokens of that age are of no use any more
    assert_caught_up(yard, second)


def turn_everything_over(yard: Kubectl) -> str:
    """Change whatever can be changed of the detectors and their children; return the UID of the new `second`."""
    changed = {
        "cameras": [{**GATE, "url": DOCK["url"]}, DOCK],
        "serving": {"instances": 2, "preferredBatchSizes": [2], "maxQueueDelay": "2ms"},
        "monitoring": {"scrapeInterval": "20s", "labels": {"release": "other"}},
        "scaling": {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilization": 95},
    }
    yard("label", "edgedetector", "yard", "team=red")
    sites.change(NAMESPACE, "yard", **changed)
    for kind, name in (
        (("v1", "Service"), names.triton("yard")),
        (("v1", "ConfigMap"), names.media("yard")),
        (("apps/v1", "Deployment"), names.media("yard")),
        (("monitoring.coreos.com/v1", "PrometheusRule"), "yard"),
    ):
        api.delete(kinds.of(*kind), NAMESPACE, name)
    for obj in api.children(NAMESPACE, "yard", plan.CHILD_KINDS).values():
        api.patch(*path_of(obj), FIELDS[obj["kind"]](obj))
    yard("delete", "edgedetector", "second", "third", "--wait")
    yard.apply(sites.detector("second", DOCK, **NOWHERE, serving={"instances": 3}), sites.detector("fourth", **NOWHERE))
    second: str = yard.get("edgedetector", "second")["metadata"]["uid"]
    return second


def assert_caught_up(yard: Kubectl, second: str) -> None:
    """The children are what they would be if the detectors had been made just now, and detections flow."""

    def owners(name: str) -> set[str]:
        found = api.children(NAMESPACE, name, plan.CHILD_KINDS).values()
        return {owner["uid"] for obj in found for owner in obj["metadata"]["ownerReferences"]}

    poll("children of the new second", lambda: owners("second"), lambda found: found == {second})
    fixed = {kind for _, kind in sites.STANDING_KINDS} - {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
    poll("all of them", lambda: of_detector("second"), lambda found: found >= fixed)
    poll("no children of third", lambda: owners("third"), lambda found: not found)
    poll("children of fourth", lambda: of_detector("fourth"), lambda found: found >= fixed)
    sites.wait_ready(NAMESPACE, "yard")
    sites.namespace(TWIN)
    spec = yard.get("edgedetector", "yard")["spec"]
    Kubectl(TWIN).apply({**sites.detector("yard"), "spec": spec})
    try:
        poll("children like those of a new detector", differences, lambda found: not found)
    finally:
        driver.kubectl("delete", "namespace", TWIN, "--wait=false")


def differences() -> list[str]:
    """Return the children of `yard` that are not like those of its twin, which has no past."""
    old, new = (_neutral(space) for space in (NAMESPACE, TWIN))
    return sorted(str(key) for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _neutral(space: str) -> dict[tuple[str, str], str]:
    found = {}
    for key, obj in api.children(space, "yard", plan.CHILD_KINDS).items():
        content = substance(obj)
        content["spec"].pop(
            "strategy", None
        )  # makes room for replicas that find no node, hence not the same everywhere
        content["owners"] = [{k: v for k, v in owner.items() if k != "uid"} for owner in content["owners"]]
        text = json.dumps(content, sort_keys=True).replace(TWIN, NAMESPACE)
        found[key] = _GENERATION.sub("", text)
    return found
