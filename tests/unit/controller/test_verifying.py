"""A test that is asked for is run once and told of, whatever is killed, restarted or asked for meanwhile."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.plan import scenarios

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.verification import Finding, Report
from edgedetector.api.wire import to_json
from edgedetector.cluster import diff, kinds
from edgedetector.controller import keys, verifying
from edgedetector.controller.profiles import Uses
from edgedetector.controller.watch import intent
from edgedetector.observe.verification import run
from edgedetector.plan import Settings
from edgedetector.status import verification

MANAGER = names.FIELD_MANAGER
WANTED = scenarios.load(scenarios.REPOSITORY / "manifests/samples/denglin-ks20.yaml")
KS20 = next(obj for obj in profiles.load() if obj["metadata"]["name"] == "denglin-ks20")
PROFILE = AcceleratorProfile.parse(KS20)
OTHER = Settings("edgedetector-system", "edgedetector/detector:another-release")


def owned(value: Any) -> dict[str, Any]:
    """Fields as the API server records them; of lists as a whole."""
    return {f"f:{name}": owned(below) for name, below in value.items()} if isinstance(value, dict) else {}


def stored(obj: dict[str, Any], uid: str) -> dict[str, Any]:
    """The object as the API server has it after an apply: with defaults, and with who owns what."""
    found = copy.deepcopy(obj)
    metadata = {key: value for key, value in obj["metadata"].items() if key not in {"name", "namespace"}}
    fields = owned(
        {"metadata": metadata, **{k: v for k, v in obj.items() if k not in {"apiVersion", "kind", "metadata"}}}
    )
    found["metadata"] |= {
        "uid": uid,
        "managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}],
    }
    found["spec"] |= {"parallelism": 1, "completions": 1}
    return found


def desired(before: dict[str, Any] | None, asked: str = "now", how: Settings = scenarios.SETTINGS) -> Any:
    found = verifying.desired(WANTED, PROFILE, how, asked=asked, before=before, manager=MANAGER)
    return next((obj for obj in found if obj["kind"] == "Job"), None)


def test_a_job_that_is_there_is_never_written_again_by_whatever_release() -> None:
    live = stored(desired(None), "j")
    for how in (scenarios.SETTINGS, OTHER):
        again = desired(live, how=how)
        assert diff.difference(again, live, MANAGER) == ""
    assert diff.difference(desired(None, how=OTHER), live, MANAGER).startswith("spec.template"), "it would be refused"


def test_a_job_of_another_request_or_profile_or_one_that_leaves_goes_first() -> None:
    live = stored(desired(None), "j")
    assert desired(live, asked="later") is None
    assert desired(live, asked="") is None
    other = copy.deepcopy(live)
    other["metadata"]["labels"][names.LABEL_PROFILE] = "nvidia"
    assert desired(other) is None
    assert desired(live | {"metadata": live["metadata"] | {"deletionTimestamp": "2026-11-23T07:00:00Z"}}) is None


def test_an_annotation_is_news_though_no_generation_tells_of_it() -> None:
    def detector(**annotations: str) -> dict[str, Any]:
        return {"metadata": {"generation": 1, "annotations": annotations}}

    assert intent(detector()) == intent(detector(other="x"))
    assert intent(detector()) != intent(detector(**{names.ANNOTATION_VERIFY: "now"}))
    assert intent(detector()) != intent(detector(**{names.ANNOTATION_TUNING: names.FROZEN}))
    assert intent(detector()) != intent(detector(**{names.ANNOTATION_RETUNE: "now"}))


def test_a_profile_hears_of_another_driver_and_forgets_those_of_users_that_go() -> None:
    woken: list[keys.Key] = []
    uses = Uses(woken.append)
    yard, dock = keys.detector("site", "yard"), keys.detector("site", "dock")
    uses(yard, "ks20")
    uses(dock, "ks20")
    woken.clear()
    for detector, versions, wakes in (
        (yard, {"1.0"}, True),
        (yard, {"1.0"}, False),
        (dock, {"1.0"}, False),
        (dock, {"2.0"}, True),
        (dock, set(), True),
    ):
        uses.drivers_of(detector, frozenset(versions))
        assert woken == ([keys.profile("ks20")] if wakes else [])
        woken.clear()
    assert uses.drivers("ks20") == {"1.0"}
    uses(yard, "")
    assert uses.drivers("ks20") == set()


class Objects:
    """A client with a test of the profile that is over, and an EdgeDetector or none."""

    def __init__(self, detector: dict[str, Any] | None) -> None:
        self.detector = detector

    async def list_known(self, kind: kinds.Kind, _namespace: str, _selector: str) -> tuple[dict[str, Any], ...]:
        if kind != kinds.JOB:
            return ()
        return (stored(desired(None), "j") | {"status": {"conditions": [{"type": "Failed", "status": "True"}]}},)

    async def get(self, _kind: kinds.Kind, _namespace: str, _name: str) -> dict[str, Any] | None:
        return self.detector


@pytest.mark.parametrize(
    ("text", "profile", "counts"), [("now", "denglin-ks20", 1), ("later", "denglin-ks20", 0), ("now", "nvidia", 0)]
)
async def test_only_a_test_that_its_detector_asks_for_counts_for_all(text: str, profile: str, counts: int) -> None:
    metadata = {"name": WANTED.name, "annotations": {names.ANNOTATION_VERIFY: text}}
    client = Objects({"metadata": metadata, "spec": {"acceleratorProfile": profile}})
    assert len(await verifying.runs(client, "denglin-ks20")) == counts  # type: ignore[arg-type]
    assert await verifying.runs(Objects(None), "denglin-ks20") == ()  # type: ignore[arg-type]


@dataclass
class Cluster:
    """What outlives every process."""

    annotation: str = ""
    status: dict[str, Any] = field(default_factory=dict)
    """`.status.verification` of the detector."""
    profile: dict[str, Any] = field(default_factory=dict)
    """Status of the profile."""
    job: dict[str, Any] | None = None
    pod: dict[str, Any] | None = None
    made: list[str] = field(default_factory=list)
    """Requests for which a Job was made."""
    clock: int = 0


class Passes(RuleBasedStateMachine):
    """Passes of both reconcilers in any order, each of which may be killed before each of its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.asked = 0

    @initialize()
    def begin(self) -> None:
        self.ask()

    @precondition(lambda self: self.asked < 3)
    @rule()
    def ask(self) -> None:
        self.asked += 1
        self.cluster.annotation = f"request {self.asked}"

    @rule(kill_after=st.integers(0, 2))
    def detector_pass(self, kill_after: int = 2) -> None:
        some = self.cluster
        request = some.annotation
        now = run(some.job, [some.pod] if some.pod else []) if some.job else None
        asked = verification.asked(request, some.status, now, some.profile)
        wanted = desired(some.job, request if asked and not asked.settled else "")
        if kill_after < 1:
            return
        if wanted is None:
            some.job = some.pod = None
        elif some.job is None:
            some.job = stored(wanted, f"job {len(some.made)}")
            some.made.append(request)
        else:
            assert diff.difference(wanted, some.job, MANAGER) == "", "nobody may change it"
        if kill_after < 2:
            return
        some.status = dict(asked.document) if asked else {}

    @rule(killed=st.booleans())
    def profile_pass(self, killed: bool = False) -> None:  # noqa: FBT001, FBT002
        some = self.cluster
        runs = [run(some.job, [some.pod] if some.pod else [])] if some.job else []
        known = verification.known({**KS20, "status": some.profile}, runs, ["1.0"])
        if not killed:
            some.profile = known.fields

    @precondition(lambda self: self.cluster.job is not None)
    @rule(finds=st.booleans())
    def pod_ends(self, finds: bool) -> None:  # noqa: FBT001
        some = self.cluster
        assert some.job is not None
        if some.pod is not None:
            return
        some.clock += 1
        capabilities = (Finding("instanceChangeInPlace", supported=True, verified=True),)
        report = Report("", PROFILE.spec.basis, "1.0", "2.51.0", "people", capabilities)
        words = to_json(report) if finds else "Killed"
        ended = {"exitCode": 0, "message": words, "finishedAt": f"2026-11-23T07:00:{some.clock:02d}Z"}
        status = {"containerStatuses": [{"name": names.CONTAINER_DETECTOR, "state": {"terminated": ended}}]}
        metadata = {"name": "x", "uid": "p", "ownerReferences": [{"uid": some.job["metadata"]["uid"]}]}
        some.pod = {"metadata": metadata, "spec": {}, "status": {"phase": "Succeeded", **status}}

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert len(self.cluster.made) == len(set(self.cluster.made))

    @invariant()
    def an_answer_is_recorded(self) -> None:
        some = self.cluster
        if some.status.get("state") in {"Complete", "Failed"}:
            assert some.profile["verification"]["time"] >= some.status["time"]

    def teardown(self) -> None:
        """Nobody kills anybody any more: the last request is answered, and no Job is left."""
        for _ in range(4):
            self.detector_pass()
            if self.cluster.job is not None:
                self.pod_ends(finds=True)
            self.profile_pass()
        some = self.cluster
        assert (some.job, some.status["observed"]) == (None, some.annotation)
        assert some.status["state"] in {"Complete", "Failed"}


TestPasses = Passes.TestCase
TestPasses.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
