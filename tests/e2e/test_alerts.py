"""Each alert fires on the real Prometheus from a real fault, with its labels and its runbook, and ends with the fault.

Only time is scaled, by ten: Prometheus evaluates a copy of the very rules that the product made, with each duration
divided (`hastened.py`), and scrapes detectors every second instead of every ten. node-exporter has a stand-in, which
tells the kernel's own figures, and the card is the emulated one. Ends are waited for where they come within minutes:
the alerts of a slow burn end when their short window of two hours is clean, which takes twelve minutes here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

import cluster as driver
import hastened
import pause
import provoked
import sites
from edgedetector.plan.figures import LABEL_EDGEDETECTOR
from harness import Kubectl, poll
from prometheus import Prometheus, prometheus
from promises import promises
from provoked import NAMESPACE, Fault
from stages import ROOT

pytestmark = pytest.mark.soak

Object = dict[str, Any]

FACTOR: Final = 10
FIRES_SECONDS: Final = 480.0
"""3 % of a tenth of a day are 259 s, within which all others fire."""
ENDS_SECONDS: Final = 420.0
"""A tenth of the 30 minutes that must be clean for a fast burn to end, and what it takes to mend."""
SLOW: Final = ("EdgeDetectorDetectionSlowBurn", "EdgeDetectorLatencySlowBurn")
PASSES: Final = "alerts-operator"
"""Namespace of a detector that is edited all the time."""
EDIT_SECONDS: Final = 3.0
RUNBOOKS: Final = {path.stem for path in (ROOT / "docs" / "runbooks").glob("EdgeDetector*.md")}
OPERATORS: Final = {"EdgeDetectorOperatorDown", "EdgeDetectorOperatorFailing", "EdgeDetectorOperatorStuck"}


@dataclass
class Board:
    """The alerts of hastened rules, and what was said when each was first seen to fire."""

    server: Prometheus
    began: float = field(default_factory=time.monotonic)
    fired: dict[str, Object] = field(default_factory=dict)

    def active(self, wanted: Mapping[str, Mapping[str, str]], state: str = "") -> dict[str, Object]:
        """Return those of the alerts that are pending or firing now, or in this state; each with these labels once."""
        told = [alert for alert in self.server.active() if alert["state"].startswith(state)]
        found = {}
        for name, labels in wanted.items():
            exact = {"alertname": name, hastened.LABEL: str(FACTOR), **labels}
            ours = [alert for alert in told if exact.items() <= alert["labels"].items()]
            assert len(ours) <= 1, ours
            if ours:
                found[name] = ours[0]
        return found

    def fires(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Wait until each fires, once."""

        def missing() -> list[str]:
            for name, alert in self.active(wanted, "firing").items():
                if name not in self.fired:
                    self.fired[name] = alert
                    after = time.monotonic() - self.began
                    print(f"{name} fires after {after:.0f} s: {alert['annotations']['summary']}", flush=True)
            return sorted(wanted.keys() - self.fired.keys())

        poll("each alert fires", missing, lambda names: not names, FIRES_SECONDS, every=2)

    def ends(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Wait until each is over."""
        mended, lasting = time.monotonic(), set(wanted)

        def left() -> list[str]:
            for name in lasting - self.active(wanted).keys():
                lasting.remove(name)
                after = time.monotonic() - mended
                print(f"{name} is over {after:.0f} s after its fault was mended", flush=True)
            return sorted(lasting)

        poll("each alert is over", left, lambda names: not names, ENDS_SECONDS, every=2)


@pytest.fixture(scope="module")
def board(operator: Kubectl) -> Iterator[Board]:
    """What Prometheus says. Module: all look at the same one."""
    with prometheus() as server:
        yield Board(server)


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str], board: Board) -> Iterator[Kubectl]:
    """Detectors that are well, but for one whose model is not there, beside hastened copies of their rules."""
    if driver.existing():
        pytest.skip("go2rtc is killed on the node, whose processes are not ours")
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    profiles = {"apiVersion": "v1", "kind": "List", "items": provoked.profiles(images["emulated-exporter"])}
    driver.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(profiles))
    names = [obj["metadata"]["name"] for obj in provoked.detectors()]
    try:
        kubectl.apply(*provoked.beside(images), *provoked.detectors())
        _hasten(kubectl, names, board)
        yield kubectl
    finally:
        kubectl("delete", "edgedetector", *names, "--ignore-not-found")
        driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        driver.kubectl("delete", "acceleratorprofile", provoked.OWN_PROFILE, provoked.CARD_PROFILE)


def _hasten(kubectl: Kubectl, names: Collection[str], board: Board) -> None:
    """Have hastened copies of their rules evaluated, once the detectors are as they are meant to be."""
    for name in names:
        if name != "empty":
            sites.wait_ready(NAMESPACE, name)
    poll("no model", lambda: sites.conditions(NAMESPACE, "empty").get("ModelReady", ("",))[0], "False".__eq__)
    kubectl.apply(*(hastened.copy(kubectl.get("prometheusrule", name), FACTOR) for name in names))

    def recorded() -> set[str]:
        found = board.server.query(f'{{__name__=~"{hastened.LABEL}:.*",namespace="{NAMESPACE}"}}')
        return {series["metric"][LABEL_EDGEDETECTOR] for series in found}

    poll("each copy is evaluated", recorded, set(names).__eq__, 240.0)


def test_alerts_on_detectors_fire_on_faults_and_end_with_them(
    site: Kubectl, images: dict[str, str], board: Board
) -> None:
    # Only on a quiet machine are the processors idle before and after.
    busy = () if promises.strict else ("EdgeDetectorHighCPU",)
    faults = provoked.faults(site, images)
    wanted = {name: _labels(fault, labels) for fault in faults for name, labels in fault.alerts.items()}
    assert wanted.keys() == RUNBOOKS - OPERATORS
    from_the_start = ("EdgeDetectorModelNotLoaded", *busy)
    before = {name: labels for name, labels in wanted.items() if name not in from_the_start}
    poll("all well", lambda: board.active(before), lambda found: not found)
    board.began = time.monotonic()
    with contextlib.ExitStack() as mended:
        for fault in faults:
            mended.callback(fault.mend)
            fault.harm()
        board.fires(wanted)
    _told_well(board, site, wanted)
    board.ends({name: labels for name, labels in wanted.items() if name not in (*SLOW, *busy)})


def _labels(fault: Fault, labels: Mapping[str, str]) -> dict[str, str]:
    return {"edgedetector_namespace": NAMESPACE, LABEL_EDGEDETECTOR: fault.detector, **labels}


def _told_well(board: Board, kubectl: Kubectl, wanted: Collection[str]) -> None:
    """Severity and page are those of the rule that the product made, and no text has a hole."""
    made = [
        hastened.alerts(rule)
        for rule in kubectl.items("prometheusrules")
        if hastened.LABEL not in rule["metadata"]["name"]
    ]
    for name in wanted:
        alert = board.fired[name]
        rule = next(rules[name] for rules in made if name in rules)
        assert alert["labels"]["severity"] == rule["labels"]["severity"]
        page = alert["annotations"]["runbook_url"]
        assert page == rule["annotations"]["runbook_url"]
        assert (ROOT / page).read_text().startswith(f"# {name}\n")
        assert "<no value>" not in "".join(alert["annotations"].values())


@pytest.fixture
def operators_rule(operator: Kubectl) -> Iterator[Kubectl]:
    """A hastened copy of the chart's rules, and the operator scraped as much oftener; the namespace's kubectl."""
    (rule,) = [r for r in operator.items("prometheusrules") if hastened.alerts(r).keys() == OPERATORS]
    copy = hastened.copy(rule, FACTOR)
    name = rule["metadata"]["name"]
    (monitor,) = [m for m in operator.items("servicemonitors") if m["metadata"]["name"] == name]
    sites.namespace(PASSES)
    try:
        operator.apply(copy)
        _scraped(operator, monitor, "3s")
        yield operator
    finally:
        driver.kubectl("delete", "namespace", PASSES, "--wait=false")
        _scraped(operator, monitor, monitor["spec"]["endpoints"][0]["interval"])
        operator("delete", "prometheusrule", copy["metadata"]["name"], "--ignore-not-found")


def test_alerts_on_the_operator_fire_when_it_may_do_nothing_or_is_gone(operators_rule: Kubectl, board: Board) -> None:
    operator, nothing = operators_rule, dict[str, str]()
    denied = {"EdgeDetectorOperatorFailing": {"subject": "EdgeDetector"}, "EdgeDetectorOperatorStuck": nothing}
    gone = {"EdgeDetectorOperatorDown": nothing}
    scrapes = "count_over_time(edgedetector_operator_queued_keys[15s]) > 3"
    poll("it is scraped often", lambda: board.server.query(scrapes), bool)
    with _edited(Kubectl(PASSES)):
        poll("all well", lambda: board.active(denied | gone), lambda found: not found)
        board.began = time.monotonic()
        with _without_rights(operator):
            board.fires(denied)
        board.ends(denied)
    board.began = time.monotonic()
    with pause.stopped(operator):
        board.fires(gone)
    board.ends(gone)
    _told_well(board, operator, OPERATORS)


@contextlib.contextmanager
def _without_rights(operator: Kubectl) -> Iterator[None]:
    """Take the operator its rights while the block runs."""
    account = operator.items("deployments")[0]["spec"]["template"]["spec"]["serviceAccountName"]
    bindings = json.loads(driver.kubectl("get", "clusterrolebindings", "-o", "json"))["items"]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": operator.namespace}
    found = [each for each in bindings if subject.items() <= (each.get("subjects") or [{}])[0].items()]
    assert found

    def set_subjects(subjects: list[Object]) -> None:
        for each in found:
            change = json.dumps({"subjects": subjects})
            driver.kubectl("patch", "clusterrolebinding", each["metadata"]["name"], "--type=merge", "-p", change)

    set_subjects([])
    try:
        yield
    finally:
        set_subjects([subject])


@contextlib.contextmanager
def _edited(namespace: Kubectl) -> Iterator[None]:
    """Edit a detector every few seconds while the block runs, so that there is always a pass to be made."""
    over, edited = threading.Event(), threading.Event()
    namespace.apply(sites.model(), sites.detector("edited", suspend=True))  # without a pod

    def edit() -> None:
        for count in itertools.count():
            sites.change(namespace.namespace, "edited", monitoring={"labels": {"edited": str(count)}})
            edited.set()
            if over.wait(EDIT_SECONDS):
                return

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        assert edited.wait(60)
        yield
    finally:
        over.set()
        thread.join()


def _scraped(operator: Kubectl, monitor: Object, interval: str) -> None:
    endpoints = [{**endpoint, "interval": interval} for endpoint in monitor["spec"]["endpoints"]]
    change = json.dumps({"spec": {"endpoints": endpoints}})
    operator("patch", "servicemonitor", monitor["metadata"]["name"], "--type=merge", "-p", change)
