"""Programs built from Go modules, kept by the hash of what they are built from."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import gomodules, locks, paths, progress

KUBERNETES = "v1.35.4"
"""Not 1.36: that wants a CRI call which Debian 12's containerd 1.6 does not have."""

_STAMP = {
    "k8s.io/component-base/version.gitVersion": KUBERNETES,
    "k8s.io/component-base/version.gitMajor": "1",
    "k8s.io/component-base/version.gitMinor": "35",
    "k8s.io/component-base/version.gitTreeState": "clean",
    "k8s.io/client-go/pkg/version.gitVersion": KUBERNETES,
    "k8s.io/client-go/pkg/version.gitMajor": "1",
    "k8s.io/client-go/pkg/version.gitMinor": "35",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one Go module becomes programs.

    `outputs` maps a program's name to the package it is built from; `links` maps a further name to the program
    that answers to it; `stamp` sets string variables at link time; `patches` replaces files of
    dependencies (see gomodules.patched); `expect` tells a person how long it takes.
    """

    module: str
    outputs: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    stamp: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, str] = field(default_factory=dict)
    expect: str = ""


_MULTICALL = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")

_ARGO_CD = ("argocd-repo-server", "argocd-application-controller", "argocd-git-ask-pass")

RECIPES: Mapping[str, Recipe] = {
    "kubernetes": Recipe(
        module="kubernetes",
        outputs={"node": "./node", "coredns": "./coredns"},
        links=dict.fromkeys(_MULTICALL, "node"),
        stamp=_STAMP,
        expect="about 5 min on 2 cores when nothing is cached",
    ),
    "pause": Recipe(module="pause", outputs={"pause": "."}, expect="a few seconds"),
    "go2rtc": Recipe(
        module="go2rtc", outputs={"go2rtc": "github.com/AlexxIT/go2rtc"}, expect="about 35 s when nothing is cached"
    ),
    "monitoring": Recipe(
        module="monitoring",
        outputs={
            "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
            "prometheus-operator": "github.com/prometheus-operator/prometheus-operator/cmd/operator",
            "prometheus-config-reloader": (
                "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader"
            ),
        },
        stamp={"github.com/prometheus/common/version.Version": "3.8.1"},
        patches={"github.com/prometheus/prometheus:plugins/plugins.go": "patches/plugins.go.txt"},
        expect="about 4 min on 2 cores when nothing is cached",
    ),
    "metrics-server": Recipe(
        module="metrics-server",
        outputs={"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
        expect="about 2 min when nothing is cached",
    ),
    # 3.2.12 does not compile as it is tagged; 3.3 needs a nested module that no proxy serves.
    "argo-cd": Recipe(
        module="argo-cd",
        outputs={"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
        links=dict.fromkeys(_ARGO_CD, "argocd"),
        expect="about 5 min on 2 cores when nothing is cached",
    ),
    "kustomize": Recipe(
        module="kustomize",
        outputs={"kustomize": "sigs.k8s.io/kustomize/kustomize/v5"},
        expect="about 16 s when nothing is cached",
    ),
}


def program(name: str) -> Path:
    """Path of a program, built first if it has to be."""
    return build(recipe_of(name)) / name


def recipe_of(name: str) -> str:
    """The recipe that makes a program; raises KeyError for a program that none makes."""
    for key, recipe in RECIPES.items():
        if name in recipe.outputs or name in recipe.links:
            return key
    raise KeyError(name)


def is_built(recipe_name: str) -> bool:
    """Whether the programs of a recipe lie in the cache."""
    return _folder(recipe_name).is_dir()


def build(recipe_name: str) -> Path:
    """Directory with a recipe's programs, built first if it has to be. One Go build runs at a time: each takes
    every core and gigabytes of memory."""
    folder = _folder(recipe_name)
    if folder.is_dir():
        return folder
    with locks.exclusive("go-build"):
        if not folder.is_dir():
            _build(RECIPES[recipe_name], recipe_name, folder)
    return folder


def module_source(recipe_name: str, dependency: str) -> Path:
    """Directory of a dependency's own files, in Go's module cache."""
    return gomodules.source(_source(recipe_name), dependency)


def _source(recipe_name: str) -> Path:
    return paths.SOURCE / "go" / RECIPES[recipe_name].module


def _folder(recipe_name: str) -> Path:
    return paths.cache() / "go" / f"{recipe_name}-{_fingerprint(recipe_name)}"


def _fingerprint(recipe_name: str) -> str:
    recipe = RECIPES[recipe_name]
    settings = [sorted(part.items()) for part in (recipe.outputs, recipe.links, recipe.stamp, recipe.patches)]
    digest = hashlib.sha256(repr(settings).encode())
    source = _source(recipe_name)
    for file in sorted(p for p in source.rglob("*") if p.is_file() and p.suffix in {".go", ".mod", ".sum", ".txt"}):
        digest.update(f"\0{file.relative_to(source)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _build(recipe: Recipe, name: str, folder: Path) -> None:
    if shutil.which("go") is None:
        raise SystemExit("Go is needed to build the local cluster, and no 'go' is on the PATH")
    flags = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in recipe.stamp.items())])
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(".building-*"):  # of a build that was killed; this one holds the lock
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        result = Path(scratch) / "result"
        result.mkdir()
        modfile = gomodules.patched(_source(name), recipe.patches, Path(scratch)) if recipe.patches else None
        choice = [f"-modfile={modfile}"] if modfile else []
        for output, package in recipe.outputs.items():
            with progress.stage(f"go build {output}", expect=recipe.expect):
                subprocess.run(
                    ["go", "build", *choice, "-ldflags", flags, "-o", str(result / output), package],
                    cwd=_source(name),
                    env=gomodules.environment(),
                    check=True,
                )
        for link, target in recipe.links.items():
            (result / link).symlink_to(target)
        result.rename(folder)
