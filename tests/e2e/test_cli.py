"""`kubectl edgedetector` as a user runs it, on the demo and beside a detector that lacks its model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster as driver
import sites
from edgedetector.api import names
from harness import Kubectl, poll

BROKEN = "cli-broken"
NO_FINDING, FOUND, BLIND = 0, 1, 2


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kubectl, and nothing else of ours: the PATH of whoever runs the plugin. Module: nothing changes."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "kubectl").symlink_to(driver.build("kubectl"))
    return folder


def run(plugin: Path, *arguments: str, namespace: str = driver.DEMO_NAMESPACE) -> subprocess.CompletedProcess[str]:
    """Run the plugin; its exit code and what it says are the test's to judge."""
    environment = os.environ | {
        "KUBECONFIG": str(driver.kubeconfig()),
        "PATH": f"{plugin}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, "-m", "edgedetector.cli", *arguments, "-n", namespace],
        check=False, capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip


def told(plugin: Path, *arguments: str, namespace: str = driver.DEMO_NAMESPACE) -> Any:
    """What a command says to programs."""
    return json.loads(run(plugin, *arguments, "-o", "json", namespace=namespace).stdout)


@pytest.fixture(scope="module")
def broken(operator: Kubectl) -> Iterator[Kubectl]:
    """A detector whose model's ConfigMap is not there. Module: it takes a pod."""
    sites.namespace(BROKEN)
    kubectl = Kubectl(BROKEN)
    kubectl.apply(
        sites.detector("lacking", {"name": "gate", "url": f"rtsp://camera.{driver.DEMO_NAMESPACE}:8554/vtest"})
    )
    yield kubectl
    driver.kubectl("delete", "namespace", BROKEN, "--wait=false")


def test_a_healthy_detector_is_ready_and_nothing_is_found(demo: Kubectl, plugin: Path) -> None:
    found = run(plugin, "status", "yard")
    assert found.returncode == NO_FINDING, found.stderr
    assert found.stdout.startswith(f"{demo.namespace}/yard  Ready"), found.stdout
    poll(
        "nothing is found",
        lambda: run(plugin, "diagnose", "yard", "--failure-threshold", "error"),
        lambda seen: seen.returncode == NO_FINDING,
    )


@pytest.mark.usefixtures("broken")
def test_what_is_wrong_is_found_with_its_remedy(plugin: Path) -> None:
    def findings() -> list[dict[str, str]]:
        return list(told(plugin, "diagnose", "lacking", namespace=BROKEN)["findings"])

    seen = poll("the model is missed", findings, lambda found: any("any-model" in one["evidence"] for one in found))
    missed = next(one for one in seen if "any-model" in one["evidence"])
    assert missed["severity"] == "Error"
    assert missed["remedy"]
    assert missed["page"] == f"docs/codes/{missed['code']}.md"
    assert run(plugin, "diagnose", "lacking", namespace=BROKEN).returncode == FOUND
    assert run(plugin, "status", "lacking", namespace=BROKEN).stdout.startswith(f"{BROKEN}/lacking  Broken")


def test_what_is_not_there_is_one_line_with_the_way_out(plugin: Path) -> None:
    found = run(plugin, "status", "no-such-detector")
    assert found.returncode == BLIND
    assert not found.stdout
    assert len(found.stderr.strip().splitlines()) == 1
    assert "no-such-detector" in found.stderr


def test_freezing_and_resuming_reach_the_status(demo: Kubectl, plugin: Path) -> None:
    def annotated() -> str:
        return str(demo.get("edgedetector", "yard")["metadata"].get("annotations", {}).get(names.ANNOTATION_TUNING))

    assert run(plugin, "tune", "yard", "--freeze").returncode == NO_FINDING
    assert annotated() == names.FROZEN
    assert run(plugin, "tune", "yard", "--resume").returncode == NO_FINDING
    assert annotated() != names.FROZEN


def test_the_report_is_readable_and_knows_what_runs(demo: Kubectl, plugin: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.zip"
    found = run(plugin, "report", "yard", "--file", str(path))
    assert found.returncode == NO_FINDING, found.stderr
    with zipfile.ZipFile(path) as report:
        assert report.testzip() is None
        held = {name: report.read(name).decode(errors="replace") for name in report.namelist()}
    pods = [pod["metadata"]["name"] for pod in sites.pods(demo.namespace, "yard", names.COMPONENT_TRITON)]
    assert pods
    assert all(any(pod in text for text in held.values()) for pod in pods)


def test_top_shows_what_the_camera_and_the_model_do(demo: Kubectl, plugin: Path) -> None:
    def seen() -> Any:
        return told(plugin, "top", "yard", "--once")["detectors"]

    def flows(found: Any) -> bool:
        there = bool(found and found[0]["models"] and found[0]["cameras"])
        return there and all((camera["inferred"] or 0) > 0 for camera in found[0]["cameras"])

    poll(f"frames of {demo.namespace}/yard are inferred", seen, flows)


def test_trace_says_where_the_time_goes_and_leaves_nothing_on(demo: Kubectl, plugin: Path) -> None:
    found = run(plugin, "trace", "yard", "--requests", "10", "-o", "json")
    assert found.returncode == NO_FINDING, found.stderr
    text = json.dumps(json.loads(found.stdout))
    assert "people" in text
    picture = run(plugin, "trace", "yard", "--requests", "5")
    assert picture.returncode == NO_FINDING, picture.stderr
    assert {"network", "queue", "compute"} <= {line.split()[0] for line in picture.stdout.splitlines() if line.strip()}
    (pod,) = sites.pods(demo.namespace, "yard", names.COMPONENT_TRITON)
    listed = demo("exec", pod["metadata"]["name"], "-c", "detector", "--", "ls", "/dev/shm")
    assert "edgedetector-trace" not in listed, "what was traced is read and removed"


def test_bench_says_what_the_box_can_take_beside_its_camera(demo: Kubectl, plugin: Path) -> None:
    found = run(plugin, "bench", "yard", "--seconds", "10", "-o", "json")
    assert found.returncode == NO_FINDING, found.stderr
    bench = json.loads(found.stdout)
    assert bench["stopped"]
    alone, *loaded = bench["steps"]
    assert alone["concurrency"] == 0
    assert alone["cameras"] > 0, "its camera goes on"
    concurrency = [step["concurrency"] for step in loaded]
    assert concurrency == sorted(set(concurrency))
    for step in loaded:
        assert step["requests"] == 0 or 0 < step["p50"] <= step["p90"] <= step["p99"]
    assert bench["bottleneck"]["class"]
    assert bench["bottleneck"]["message"]
    listed = [pod["metadata"]["name"] for pod in sites.pods(demo.namespace, "yard", names.COMPONENT_TRITON)]
    assert bench["pod"] in listed
