"""The files of a release, made by the programs that make them: wheel, chart, and the archive that krew unpacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from releasing import changelog, chart, inventory, plugin, tools, tree
from releasing.__main__ import Release
from releasing.tree import ROOT, ReleaseError

SAID = changelog.Entry("0.1.0", "", ("One thing: it has changed.", "And another."))
OWN = "edgedetector/operator:0.1.0"
IMAGES = [
    chart.Image(OWN, "sha256:" + "1" * 64, ("linux/amd64",)),
    chart.Image("edgedetector/go2rtc:0.1.0", "sha256:" + "2" * 64, ("linux/amd64",)),
    chart.Image("nvcr.io/nvidia/tritonserver:24.10-py3"),
]


@pytest.fixture(scope="module")
def source() -> tree.Tree:
    return tree.read()


@pytest.fixture(scope="module")
def sources(source: tree.Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files; module, since every test reads the same."""
    target = tmp_path_factory.mktemp("sources")
    tree.copy(source, target)
    return target


@pytest.fixture(scope="module")
def wheel(source: tree.Tree, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; module, since building it takes seconds."""
    return tools.wheel(source, sources, tmp_path_factory.mktemp("wheel"))


def twice(make: Callable[[Path], Path], tmp_path: Path) -> Path:
    """Make a file in two folders, the second one in another second, and return it if both are the same."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        made.append(make(folder))
        second = int(time.time())
        while int(time.time()) == second:
            time.sleep(0.05)
    assert made[0].read_bytes() == made[1].read_bytes()
    return made[0]


def test_the_wheel_is_the_same_twice(source: tree.Tree, tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        tree.copy(source, folder / "sources")
        return tools.wheel(source, folder / "sources", folder)

    names = zipfile.ZipFile(twice(make, tmp_path)).namelist()
    assert "edgedetector/cli/__main__.py" in names
    assert all(name.startswith(("edgedetector/", "edgedetector-0.1.0.dist-info/")) for name in names)


def test_the_chart_is_the_same_twice_and_installs_what_was_released(
    source: tree.Tree, sources: Path, tmp_path: Path
) -> None:
    def make(folder: Path) -> Path:
        return chart.package(source, sources, IMAGES, SAID, output=folder, scratch=folder)

    packed = twice(make, tmp_path)
    assert packed.name == "edgedetector-0.1.0.tgz"
    rendered = yaml.safe_load_all(tools.run([tools.helm(), "template", "edgedetector", str(packed)]))
    (deployment,) = [obj for obj in rendered if obj and obj["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "edgedetector/operator@sha256:" + "1" * 64
    seen = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert json.loads(seen["EDGEDETECTOR_IMAGE_REPLACEMENTS"])["edgedetector/go2rtc:0.1.0"].endswith(
        "@sha256:" + "2" * 64
    )
    tools.run([tools.helm(), "lint", "--strict", str(packed)])


def test_artifact_hub_is_told_images_changes_licence_and_kinds(
    source: tree.Tree, sources: Path, tmp_path: Path
) -> None:
    packed = chart.package(source, sources, IMAGES, SAID, output=tmp_path, scratch=tmp_path)
    shown = yaml.safe_load(tools.run([tools.helm(), "show", "chart", str(packed)]))
    told: dict[str, Any] = {
        name.removeprefix("artifacthub.io/"): yaml.safe_load(text) for name, text in shown["annotations"].items()
    }
    assert told["license"] == "Apache-2.0"
    assert told["images"][0] == {
        "name": "operator", "image": f"{OWN}@sha256:" + "1" * 64, "platforms": ["linux/amd64"],
    }  # fmt: skip
    assert told["images"][2] == {
        "name": "nvidia-tritonserver", "image": "nvcr.io/nvidia/tritonserver:24.10-py3", "whitelisted": True,
    }  # fmt: skip
    assert told["changes"] == [{"description": change} for change in SAID.changes]
    assert {crd["kind"] for crd in told["crds"]} == {obj["kind"] for obj in told["crdsExamples"]}
    assert "signKey" not in told


def test_a_release_without_images_says_what_is_left_to_do_and_has_sums(source: tree.Tree, tmp_path: Path) -> None:
    output = tmp_path / "release"
    made = Release(source, SAID, output, tmp_path / "scratch")
    made.chart(made.images(wanted=False))
    text = made.close()
    assert (output / "RELEASE.txt").read_text() == text
    assert "chart edgedetector-0.1.0.tgz, 0 images by digest" in text
    assert "images were left out" in text
    assert "by its tag, not by digest: edgedetector/operator:0.1.0" in text
    assert "CHANGELOG.md calls it unreleased" in text
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=output, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert {path.name for path in output.iterdir()} == {
        "edgedetector-0.1.0.tgz", "licences.tsv", "sbom", "RELEASE.txt", "SHA256SUMS",
    }  # fmt: skip


def test_values_without_a_place_for_digests_are_refused() -> None:
    with pytest.raises(ReleaseError, match="imageDigests"):
        chart.pinned("image: {}\n", {OWN: "sha256:" + "1" * 64})


def test_a_chart_without_images_is_as_it_is_in_the_repository() -> None:
    values = (ROOT / chart.CHART / "values.yaml").read_text()
    assert chart.pinned(values, {}) == values


def test_kubectls_plugin_runs_from_the_unpacked_archive_with_nothing_installed(
    source: tree.Tree, wheel: Path, tmp_path: Path
) -> None:
    system, architecture = sys.platform, inventory.architecture()
    (platform,) = [one for one in plugin.PLATFORMS if (one.system, one.architecture) == (system, architecture)]
    listed = plugin.requirements(source, tmp_path / "requirements.txt")
    folders = plugin.install(listed, platform, tmp_path / "libraries")
    packed = plugin.pack(source, wheel, platform, folders, tmp_path)
    unpacked = tmp_path / "unpacked"
    with tarfile.open(packed) as archive:
        assert all(member.isfile() for member in archive), "krew takes no links"
        archive.extractall(unpacked, filter="data")
    for path in unpacked.rglob("*"):
        if path.name in {"RECORD", "direct_url.json"}:
            assert str(tmp_path) not in path.read_text()
    links = tmp_path / "bin"
    links.mkdir()
    (links / "kubectl-edgedetector").symlink_to(unpacked / "kubectl-edgedetector")  # as krew does
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (links / "python3").symlink_to(python)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": f"{links}:{os.defpath}", "HOME": str(tmp_path), "PYTHONNOUSERSITE": "1"}
        command = [str(links / arguments[0]), *arguments[1:]]
        return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)

    helped = run("kubectl-edgedetector", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "diagnose" in helped.stdout
    found = run("kubectl-edgedetector", "diagnose", "-f", "manifests/samples/one-camera/cpu.yaml", "-o", "json")
    assert found.returncode in {0, 1}, found.stderr
    assert json.loads(found.stdout)
    # What reaches out needs the Kubernetes client, of which half was left out.
    alone = run("kubectl-edgedetector", "--kubeconfig", "/nowhere", "status")
    assert alone.returncode == 2
    assert "Traceback" not in alone.stderr
    assert "pip install" not in alone.stderr
    loaded = subprocess.run(
        [str(python), "-c", "import kubernetes.client, kubernetes.config, kubernetes.stream, kubernetes.dynamic"],
        env={"PYTHONPATH": f"{unpacked}/lib/any:{unpacked}/lib/cp3{sys.version_info[1]}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert inventory.of_plugin([folders]), "every licence is known and accepted"
