"""krew's manifest keeps krew's rules, and every rule is looked at."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from releasing import krew, plugin
from releasing.tree import ROOT, ReleaseError

TEMPLATE = (ROOT / "manifests/krew/edgedetector.yaml").read_text()
SUMS = {platform.name.upper(): "0" * 64 for platform in plugin.PLATFORMS}


@pytest.fixture
def manifest() -> dict[str, Any]:
    filled: dict[str, Any] = yaml.safe_load(krew.fill(TEMPLATE, "0.1.0", "https://example.com/releases/", SUMS))
    return filled


def test_the_manifest_serves_each_platform_with_the_archive_of_its_own(manifest: dict[str, Any]) -> None:
    assert krew.faults(manifest) == []
    served = {
        (one["selector"]["matchLabels"]["os"], one["selector"]["matchLabels"]["arch"]): one
        for one in manifest["spec"]["platforms"]
    }
    assert set(served) == {(platform.system, platform.architecture) for platform in plugin.PLATFORMS}
    for (system, architecture), one in served.items():
        file = f"kubectl-edgedetector_v0.1.0_{system}_{architecture}.tar.gz"
        assert one["uri"] == f"https://example.com/releases/{file}"
        assert one["bin"] in plugin.PROGRAMS
    for python in plugin.PYTHONS:
        assert python in manifest["spec"]["caveats"]


def test_each_platform_bears_the_sum_of_its_archive() -> None:
    sums = {name: f"{number:064x}" for number, name in enumerate(SUMS)}
    filled = yaml.safe_load(krew.fill(TEMPLATE, "0.1.0", "https://example.com", sums))
    for one in filled["spec"]["platforms"]:
        labels = one["selector"]["matchLabels"]
        assert one["sha256"] == sums[f"{labels['os']}_{labels['arch']}".upper()]


def test_a_platform_without_an_archive_is_refused() -> None:
    with pytest.raises(ReleaseError, match="SHA256_DARWIN_ARM64"):
        krew.fill(TEMPLATE, "0.1.0", "https://example.com", {k: v for k, v in SUMS.items() if k != "DARWIN_ARM64"})


def test_archives_without_https_are_refused() -> None:
    with pytest.raises(ReleaseError, match="https"):
        krew.fill(TEMPLATE, "0.1.0", "http://example.com", SUMS)


MISTAKES: list[tuple[str, Any, str]] = [
    ("kind", "Plugins", "apiVersion and kind"),
    ("apiVersion", "krew.googlecontainertools.github.com/v1alpha1", "apiVersion and kind"),
    ("metadata.name", "other", "metadata.name"),
    ("spec.version", "0.1.0", "semantic version"),
    ("spec.version", "v0.1", "semantic version"),
    ("spec.version", "v01.1.0", "semantic version"),
    ("spec.shortDescription", "", "shortDescription"),
    ("spec.shortDescription", "a\nb", "shortDescription"),
    ("spec.shortDescription", "a" * 71, "70 characters"),
    ("spec.description", "a " * 41, "80 characters"),
    ("spec.homepage", "example.com", "homepage"),
    ("spec.platforms", [], "platforms is empty"),
    ("spec.platforms.0.uri", "", "uri"),
    ("spec.platforms.0.uri", "https://example.com/a.tar.xz", "uri"),
    ("spec.platforms.0.sha256", "A" * 64, "sha256"),
    ("spec.platforms.0.bin", "", "bin"),
    ("spec.platforms.0.bin", "../kubectl", "bin"),
    ("spec.platforms.0.files", [], "files"),
    ("spec.platforms.0.files", [{"from": "a"}], "files"),
    ("spec.platforms.0.selector", {}, "selector"),
    ("spec.platforms.0.selector.matchLabels.os", "plan9", "does not run on plan9"),
    ("spec.platforms.0.selector.matchLabels.arch", "arm64", "linux/arm64 is served 2 times"),
]


@pytest.mark.parametrize(("path", "value", "said"), MISTAKES)
def test_a_mistake_is_named(manifest: dict[str, Any], path: str, value: Any, said: str) -> None:
    wrong: Any = copy.deepcopy(manifest)
    below = wrong
    *steps, last = path.split(".")
    for step in steps:
        below = below[int(step) if step.isdigit() else step]
    below[last] = value
    assert any(said in sentence for sentence in krew.faults(wrong)), krew.faults(wrong)
