"""What the API server refuses, in words that help, each beside a twin that it accepts; none repeats a password."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import cluster as driver
from harness import Kubectl

DATA = Path(__file__).parent / "data" / "invalid"
BASE: dict[str, Any] = yaml.safe_load((DATA / "base.yaml").read_text())
CASES: list[dict[str, Any]] = yaml.safe_load((DATA / "cases.yaml").read_text())
CANARY = "canary-password"
LONG_URL = f"rtsp://gate/{CANARY}/".ljust(513, "a")


def changed(path: str, value: Any) -> dict[str, Any]:
    obj = copy.deepcopy(BASE)
    at: Any = obj
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
    if value is None:
        del at[last]
    else:
        at[last] = LONG_URL if value == "LONG_URL" else value
    return obj


def dry_run(obj: dict[str, Any]) -> tuple[int, str]:
    done = subprocess.run(
        [driver.build("kubectl"), "--kubeconfig", driver.kubeconfig(), "--namespace", "default",
         "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"],
        input=json.dumps(obj), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_wrong_resource_is_refused_with_the_remedy(operator: Kubectl, case: dict[str, Any]) -> None:
    code, answer = dry_run(changed(case["path"], case["refused"]))
    assert code != 0, answer
    assert re.search(case["because"], answer), answer
    assert CANARY not in answer
    if "accepted" in case:
        code, answer = dry_run(changed(case["path"], case["accepted"]))
        assert code == 0, answer
