"""What rules and dashboards call Triton's series is what a real Triton serves."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from bench.calibration import tritonserver
from tests.unit.plan import exposed
from tests.unit.triton.test_on_triton import write

pytestmark = pytest.mark.tritonserver


def test_triton_has_the_series_that_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "models", "UINT8")
    port = tritonserver.free_port()
    arguments = ["--allow-metrics=true", "--metrics-address=127.0.0.1", f"--metrics-port={port}", "--load-model=*"]
    (tmp_path / "triton").mkdir()
    installation = tritonserver.prepare()
    with tritonserver.running(installation, tmp_path / "triton", tmp_path / "models", *arguments):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    assert set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) >= exposed.TRITON
