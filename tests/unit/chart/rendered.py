"""What the chart renders, by the real Helm, for the tests of the chart and for those of what it has to fit."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "edgedetector"
NAMESPACE = "edgedetector-system"


@functools.cache
def executable() -> str:
    """Return the path of Helm: the one that the local cluster uses. Once, since finding it may fetch it."""
    build = ROOT / "tests" / "e2e" / "node" / "build.py"
    done = subprocess.run([sys.executable, build, "helm"], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def template(
    *arguments: str, values: dict[str, Any] | None = None, release: str = "edgedetector"
) -> subprocess.CompletedProcess[str]:
    """Run `helm template`, whatever comes of it."""
    command = [executable(), "template", release, str(CHART), "--namespace", NAMESPACE, *arguments]
    return subprocess.run(
        [*command, "--values", "-"], input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )


def render(
    *arguments: str, values: dict[str, Any] | None = None, release: str = "edgedetector"
) -> list[dict[str, Any]]:
    """Return the objects of a release."""
    done = template(*arguments, values=values, release=release)
    assert done.returncode == 0, done.stderr
    return [obj for obj in yaml.load_all(done.stdout, yaml.CSafeLoader) if obj]  # definitions are long


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of one kind."""
    return [obj for obj in objects if obj["kind"] == kind]
