"""The detector's process tells Triton's container when it leaves, and says at /state how it reaches Triton."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.unit.media.conftest import answers, free_port, wait_for

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorConfig, DetectorState
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector.farewell import FORGOTTEN
from edgedetector.detector.repository import Paths


@pytest.mark.parametrize(("replicas", "seconds"), [("", 1), ("localhost", FORGOTTEN)])
def test_a_process_that_is_told_to_end_says_when_triton_may(tmp_path: Path, replicas: str, seconds: int) -> None:
    paths = Paths.under(tmp_path)
    for directory in (paths.detector, paths.run, paths.models, paths.serving):
        directory.mkdir(parents=True)
    paths.key.write_text("key")
    farewell = paths.run / names.FILE_LEAVING
    farewell.write_text("of a process before\n")
    config = DetectorConfig("yard", "site", 1, f"127.0.0.1:{free_port()}", "rtsp://127.0.0.1:1", replicas)
    (paths.detector / names.FILE_DETECTOR).write_text(to_json(config))
    port = free_port()
    ports = {"DETECTOR_PORT": str(port), "DETECTOR_EVENTS_PORT": str(free_port()), "DETECTOR_ADDRESS": "127.0.0.1"}
    command = [sys.executable, "-m", "edgedetector.detector", "run", "--root", str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | ports) as process:
        wait_for("the detector", lambda: answers(port), 60)
        assert not farewell.exists()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state") as answer:
            state = from_json(DetectorState, answer.read().decode())
        assert state.transport == ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert farewell.read_text() == f"{seconds}\n"
