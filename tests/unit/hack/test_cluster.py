"""Which cluster demo and tests may use."""

from collections.abc import Callable
from pathlib import Path

import pytest

import cluster
import demo


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\ncurrent-context: production\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def test_a_shell_that_points_at_a_cluster_does_not_make_it_the_tests_cluster(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEDETECTOR_CONTEXTS", raising=False)
    assert not cluster.existing()
    assert cluster.kubeconfig() != kubeconfig


@pytest.mark.parametrize("allowed", ["kind-dev", "kind-dev,staging", "product", "production-2"])
def test_a_context_that_is_not_listed_is_refused(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv("EDGEDETECTOR_CONTEXTS", allowed)
    uses: list[Callable[[], object]] = [
        cluster.create,
        lambda: cluster.kubectl("version"),
        lambda: cluster.helm("list"),
        demo.prepare_stages()[0].action,
    ]
    for use in uses:
        with pytest.raises(cluster.ContextRefusedError, match="production"):
            use()


def test_a_listed_context_is_used(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEDETECTOR_CONTEXTS", "kind-dev,production")
    cluster.check_context()
    assert cluster.kubeconfig() == kubeconfig


def test_a_kubeconfig_without_a_context_is_refused(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    monkeypatch.setenv("EDGEDETECTOR_CONTEXTS", ",")
    with pytest.raises(cluster.ContextRefusedError):
        cluster.check_context()


def test_only_images_of_ours_that_were_built_are_replaced() -> None:
    replaced = cluster.replacements({"triton-cpu": "edgedetector/triton-cpu:local"})
    assert list(replaced.values()) == ["edgedetector/triton-cpu:local"]
