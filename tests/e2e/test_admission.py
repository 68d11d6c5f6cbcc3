"""What the API server refuses, in words that help, each beside a twin that it accepts; none repeats a password.

All manifests go to the server with one kubectl for each way of applying; each one's answer is judged by itself. What
refuses a change of a resource that exists is tried on a bare API server, where nothing acts upon what is created.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cluster as driver
from edgedetector.api import names
from harness import Kubectl
from manifests import CANARY, Case, cases

if TYPE_CHECKING:
    from tests.apiserver import Server

CASES = cases()
WAYS = {
    "client": ("apply", "--validate=strict"),
    "server": ("apply", "--validate=strict", "--server-side", "--field-manager=admission"),
}
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_way = pytest.mark.parametrize("way", WAYS)

Objects = Mapping[str, dict[str, Any]]
Answers = dict[str, str]
"""Name of a file -> what kubectl printed about the object in it; empty if nothing."""

REFUSED = {f"bad-{number}": case.refused for number, case in enumerate(CASES)}
TWINS = {f"good-{number}": case.twin for number, case in enumerate(CASES)}
FILES = {case.name: (f"bad-{number}", f"good-{number}") for number, case in enumerate(CASES)}


def send(folder: Path, kubeconfig: Path, objects: Objects, *arguments: str) -> tuple[Answers, Answers]:
    """Apply a file an object with one kubectl; return what it printed and what it complained of."""
    for name, obj in objects.items():
        (folder / f"{name}.json").write_text(json.dumps(obj))
    command = [driver.build("kubectl"), "--kubeconfig", kubeconfig, *arguments, "--filename", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return by_file(done.stdout, objects), by_file(done.stderr, objects)


def by_file(text: str, objects: Objects) -> Answers:
    """Return the lines that name an object or its file."""
    lines = text.splitlines()
    return {name: "\n".join(filter(_names(name, obj).search, lines)) for name, obj in objects.items()}


def _names(file: str, obj: dict[str, Any]) -> re.Pattern[str]:
    return re.compile(rf"[\"'/ ]({re.escape(file)}[.]json|{re.escape(obj['metadata']['name'])})[\"'; ]")


@pytest.fixture(scope="module")
def refusals(operator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """Way of applying -> what was said of the wrong manifests."""
    found = {}
    for way, arguments in WAYS.items():
        folder = tmp_path_factory.mktemp(f"refused-{way}")
        printed, found[way] = send(folder, driver.kubeconfig(), REFUSED, "--namespace", "default", *arguments)
        assert {name: text for name, text in printed.items() if text} == {}, "accepted"
    return found


@pytest.fixture(scope="module")
def acceptances(operator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Answers, Answers]]:
    """Way of applying -> what was printed of the twins, and complained of; nothing is left behind."""
    dry = ("--namespace", "default", "--dry-run=server")
    return {
        way: send(tmp_path_factory.mktemp(f"accepted-{way}"), driver.kubeconfig(), TWINS, *dry, *arguments)
        for way, arguments in WAYS.items()
    }


@each_way
@each_case
def test_a_wrong_resource_is_refused_with_field_and_remedy_and_its_twin_accepted(
    refusals: dict[str, Answers], acceptances: dict[str, tuple[Answers, Answers]], way: str, case: Case
) -> None:
    bad, good = FILES[case.name]
    answer = refusals[way][bad]
    assert case.at in indexed(answer), answer
    assert re.search(case.because, answer), answer
    assert CANARY not in answer
    printed, complaints = acceptances[way]
    assert printed[good].endswith("(server dry run)"), complaints[good]
    assert complaints[good] == ""


def test_there_are_enough_of_them(refusals: dict[str, Answers], acceptances: dict[str, Any]) -> None:
    twins = {json.dumps(case.twin["spec"], sort_keys=True) for case in CASES}
    found = Counter(case.refused["kind"] for case in CASES)
    print(f"refused {dict(found)}, accepted as many twins, {len(twins)} of them different; each in {len(WAYS)} ways")
    assert found.total() >= 250
    assert len(twins) >= 150


def indexed(answer: str) -> str:
    """Return the answer with elements of lists by number, as they are in all these manifests: the first ones."""
    return re.sub(r'\[(?:name|key)="[^"]*"\]', "[0]", answer)


MERGED = ("a camera for no model",)
"""Server-side apply takes an empty set for nothing said: the field goes, which means all models."""


def test_a_change_is_judged_as_a_new_resource_is(apiserver: Server, tmp_path: Path) -> None:
    """On a bare API server the twin exists, and the wrong manifest is applied over it; it stays as it was."""
    namespace = "admission"
    apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    changed = [case for case in CASES if case.at != "metadata.name" and case.name not in MERGED]
    twins = {f"good-{n}": case.twin for n, case in enumerate(changed)}
    changes = {f"bad-{n}": {**case.refused, "metadata": case.twin["metadata"]} for n, case in enumerate(changed)}
    for folder in ("twins", "changes"):
        (tmp_path / folder).mkdir()
    here = ("--namespace", namespace)
    _, complaints = send(tmp_path / "twins", apiserver.kubeconfig, twins, *here, *WAYS["server"])
    assert {name: text for name, text in complaints.items() if text} == {}
    before = generations(apiserver, namespace)
    force = ("--force-conflicts",)
    printed, answers = send(tmp_path / "changes", apiserver.kubeconfig, changes, *here, *WAYS["server"], *force)
    assert {name: text for name, text in printed.items() if text} == {}, "accepted"
    for number, case in enumerate(changed):
        answer = answers[f"bad-{number}"]
        assert case.at.rpartition(".")[0] in indexed(answer), answer  # a field that goes takes an emptied object along
        assert CANARY not in answer
    assert len(before) == len(changed)
    assert generations(apiserver, namespace) == before


def generations(apiserver: Server, namespace: str) -> dict[str, int]:
    group = f"/apis/{names.API_VERSION}"
    paths = (f"{group}/namespaces/{namespace}/edgedetectors", f"{group}/acceleratorprofiles")
    items = [item["metadata"] for path in paths for item in apiserver.get(path)["items"]]
    return {item["name"]: item["generation"] for item in items}


def test_kubectl_explains_every_field(operator: Kubectl) -> None:
    """What the API server publishes has a description for each field, and `kubectl explain` finds them."""
    document = json.loads(driver.kubectl("get", "--raw", f"/openapi/v3/apis/{names.API_VERSION}"))
    schemas = {schema["x-kubernetes-group-version-kind"][0]["kind"]: schema
               for name, schema in document["components"]["schemas"].items()
               if name.startswith("dev.edgedetector.") and not name.endswith("List")}  # fmt: skip
    for kind in ("EdgeDetector", "AcceleratorProfile"):
        fields = dict(published(schemas[kind], kind.lower()))
        assert [path for path, text in fields.items() if not text] == []
        listed = driver.kubectl("explain", kind, "--recursive")
        assert {path.rpartition(".")[2] for path in fields} - set(
            re.findall(r"^ +(\w+)\t", listed, re.MULTILINE)
        ) == set()
        deepest = sorted(fields, key=lambda path: path.count("."))[-4:]
        for path in (f"{kind.lower()}.spec", *deepest):
            said = " ".join(driver.kubectl("explain", path).split())
            assert fields[path] in said, path
        print(f"{kind}: {len(fields)} fields, all explained")


def published(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield path and description of every field below a published schema, those of Kubernetes' own types left out."""
    for name, below in schema.get("properties", {}).items():
        if name == "metadata":
            continue
        yield f"{path}.{name}", " ".join(below.get("description", "").split())
        yield from published(below, f"{path}.{name}")
        yield from published(below.get("items", {}), f"{path}.{name}")
