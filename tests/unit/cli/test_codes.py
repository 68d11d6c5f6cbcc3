"""Each code is provoked, is silent at the nearest thing that looks like it, and has a page that says the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.cli.cases import CASES, Change, spec, told
from tests.unit.cli.worlds import NOW, ROOT, SHIPPED, World

import codes
from edgedetector.cli import files
from edgedetector.cli.codes import CODES, Scope, Severity, diagnose
from edgedetector.cli.errors import ForbiddenError
from edgedetector.status.remedies import REMEDIES

FILES_ALONE = {"ED0005", "ED0014"}
BY_ID = {code.id: code for code in CODES}


def found(world: World) -> set[str]:
    result = diagnose(world.snapshot())
    assert not result.gaps, "no check fails on what it is given"
    return {one.code for one in result.findings}


def test_a_healthy_fleet_is_silent(world: World) -> None:
    assert found(world) == set()


def test_there_are_as_many_codes_as_promised() -> None:
    assert len(CODES) >= 40
    assert sum(code.scope is not Scope.SPECIFICATION for code in CODES) >= 25
    assert len({code.id for code in CODES}) == len(CODES)
    assert len({code.title for code in CODES}) == len(CODES)


def test_each_code_has_what_provokes_it_and_what_must_not() -> None:
    assert set(CASES) | FILES_ALONE == set(BY_ID)


@pytest.mark.parametrize("code", sorted(CASES))
def test_a_code_is_provoked_and_nothing_else_is_told(code: str) -> None:
    world, pair = World(), CASES[code]

    pair.provoked(world)

    assert found(world) == {code} | pair.also


@pytest.mark.parametrize("code", sorted(CASES))
def test_the_nearest_look_alike_is_silent(code: str) -> None:
    world = World()

    CASES[code].alike(world)

    assert code not in found(world)


@pytest.mark.parametrize("code", sorted(CASES))
def test_evidence_and_remedy_are_filled_and_one_line(code: str) -> None:
    world = World()
    CASES[code].provoked(world)

    for one in diagnose(world.snapshot()).findings:
        if one.code == code:
            assert one.evidence
            assert one.remedy
            assert "\n" not in one.evidence + one.remedy
            assert "{name}" not in one.remedy


# Pages


@pytest.mark.parametrize("code", sorted(BY_ID))
def test_a_page_says_what_the_registry_says(code: str) -> None:
    page = (ROOT / BY_ID[code].page).read_text()

    head, _, rest = page.partition(codes.MARK)
    assert head == codes.head(BY_ID[code]), "python hack/codes.py writes it"
    cause, _, remedy = rest.partition("\n## What helps\n")
    assert len(cause.split()) >= 15, "a person wrote why this happens"
    assert len(remedy.split()) >= 8, "and what to do"


def test_no_page_is_left_over() -> None:
    pages = {page.stem for page in (ROOT / "docs/codes").glob("ED*.md")}

    assert pages == set(BY_ID)


def test_the_list_of_pages_has_every_code() -> None:
    text = (ROOT / "docs/codes/README.md").read_text()

    for code in CODES:
        assert f"| [{code.id}]({code.id}.md) | {code.severity} | {code.scope} | {code.title} |" in text


# Files


def write(tmp_path: Path, obj: object) -> str:
    path = tmp_path / "yard.yaml"
    path.write_text(json.dumps(obj))
    return str(path)


def plain(world: World) -> dict[str, object]:
    obj = copy.deepcopy(world.detector)
    del obj["status"]
    obj["metadata"] = {"name": "yard"}
    return obj


def told_of_file(path: str) -> set[str]:
    return {one.code for one in diagnose(files.read([path], NOW)).findings}


def test_a_good_file_is_silent(world: World, tmp_path: Path) -> None:
    assert told_of_file(write(tmp_path, plain(world))) == set()


@pytest.mark.parametrize("sample", ["cpu", "denglin-ks20", "nvidia"])
def test_no_sample_has_an_error_or_a_warning(sample: str) -> None:
    result = diagnose(files.read([str(ROOT / f"manifests/samples/{sample}.yaml")], NOW))

    assert [one for one in result.findings if one.severity is not Severity.INFO] == []


@pytest.mark.parametrize("code", sorted(code for code in CASES if BY_ID[code].scope is Scope.SPECIFICATION))
def test_what_a_specification_says_wrong_is_told_of_files(code: str, tmp_path: Path) -> None:
    world = World()
    CASES[code].provoked(world)
    objects = {"kind": "List", "items": [plain(world), world.profile]}

    assert code in told_of_file(write(tmp_path, objects))


def test_a_profile_that_no_file_brings_is_told(world: World, tmp_path: Path) -> None:
    obj = plain(world)
    obj["spec"]["acceleratorProfile"] = "orin"  # type: ignore[index]
    other = copy.deepcopy(SHIPPED["cpu"])
    other["metadata"]["name"] = "orin"

    assert told_of_file(write(tmp_path, obj)) == {"ED0005"}
    assert "ED0005" not in told_of_file(write(tmp_path, {"kind": "List", "items": [obj, other]}))


def test_memory_that_nobody_states_is_told_where_there_is_a_device(world: World, tmp_path: Path) -> None:
    del world.detector["spec"]["tuning"]["bounds"]["acceleratorMemory"]
    assert told_of_file(write(tmp_path, plain(world))) == {"ED0014"}

    world.detector["spec"]["acceleratorProfile"] = "cpu"
    assert told_of_file(write(tmp_path, plain(world))) == set()


def test_a_password_in_an_address_is_told_and_never_repeated(world: World, tmp_path: Path) -> None:
    world.detector["spec"]["cameras"][0]["url"] = "rtsp://viewer:c4nary@gate.cams.svc:554/main"

    result = diagnose(files.read([write(tmp_path, plain(world))], NOW))

    assert {one.code for one in result.findings} == {"ED0004"}
    assert "c4nary" not in repr(result)


# Whatever stands in an object, no check fails and no password is repeated

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.just("c4nary") | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "url", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("models", "cameras", "tuning", "serving", "scaling", "outputs", "resources", "acceleratorProfile", "suspend")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_nonsense_in_a_file_is_a_finding_and_no_failure(tmp_path: Path, field: str, value: object) -> None:
    obj = plain(World())
    obj["spec"][field] = value  # type: ignore[index]

    result = diagnose(files.read([write(tmp_path, obj)], NOW))

    assert not result.gaps
    assert "c4nary" not in repr(result).replace("names c4nary", "")


def test_a_check_that_fails_is_a_gap_and_the_others_go_on(world: World) -> None:
    world.detector["status"]["cameras"] = [{"state": "Failing"}]
    world.gauge(pcieWidth=1.0)

    result = diagnose(world.snapshot())

    assert "ED0601" in {one.code for one in result.findings}
    assert any(gap.what.startswith("ED0502") for gap in result.gaps)


def test_what_may_not_be_read_is_no_finding(world: World) -> None:
    for path in ("/api/v1/nodes", "/apis/node.k8s.io/v1/runtimeclasses", "/apis/apps/v1/deployments"):
        world.refused[path] = ForbiddenError("forbidden")
    world.refused["/api/v1/namespaces/site/secrets/gate"] = ForbiddenError("forbidden")
    world.existing.clear()
    snapshot = world.snapshot()

    told = {one.code for one in diagnose(snapshot).findings}

    assert told == {"ED0306", "ED0309"}, "of the Secret dock and the claim, which may be asked for"
    assert {gap.what for gap in snapshot.gaps} >= {"nodes", "RuntimeClasses", "Deployments of the operator"}


@pytest.mark.parametrize(
    ("code", "beside"),
    [
        ("ED0206", lambda w: w.unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node selector.")),
        ("ED0204", told("ServerReady", "Unschedulable", "Insufficient denglin.com/gpu")),
        ("ED0310", told("ServerReady", "Unavailable", "exceeded quota")),
        ("ED0017", spec(nodeSelector={"zone": "yard"})),
    ],
)
def test_one_cause_is_one_finding(world: World, code: str, beside: Change) -> None:
    CASES[code].provoked(world)
    beside(world)

    assert found(world) == {code}


def test_a_replica_more_that_finds_no_accelerator_is_no_finding(world: World) -> None:
    second = copy.deepcopy(world)
    second.unscheduled("0/1 nodes are available: 1 Insufficient denglin.com/gpu.")
    world.pods.append({**second.pods[0], "metadata": {**second.pods[0]["metadata"], "name": "yard-triton-2"}})

    assert found(world) == set()


@pytest.mark.parametrize("reason", sorted(REMEDIES))
def test_whatever_the_operator_says_that_somebody_has_to_mend_has_a_code(world: World, reason: str) -> None:
    if reason in {"CamerasFailing", "CameraUnauthorized"}:  # told of each camera by its own state
        world.camera("gate", state="Failing" if reason == "CamerasFailing" else "Unauthorized", detecting=False)
    world.stalled("ServerReady", reason)

    assert found(world)
