"""The detector's real process while the time of day jumps: days ahead, and back to years ago."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from tests.unit.detector import realpod

DAY = 86400
NEAR = 3600.0  # seconds; whatever the machine does, a frame is not that late
OPENS = 'edgedetector_camera_opens_total{camera="gate"}'

pytestmark = [
    pytest.mark.tritonserver,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt-get install gcc"),
]


class Clock:
    """The time of day of a process."""

    def __init__(self, home: Path) -> None:
        self._file, library = home / "shift", home / "clockshift.so"
        self._file.write_bytes(struct.pack("q", 0))
        source = Path(__file__).with_name("clockshift.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self._file)}

    def jump(self, seconds: int) -> None:
        """Let it be off by so much."""
        with self._file.open("r+b") as file:  # in place: the process has it mapped
            file.write(struct.pack("q", seconds))


def test_a_clock_that_jumps_ends_no_session_and_no_detection(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    with (
        realpod.cameras(tmp_path / "cameras") as cameras,
        realpod.detector(tmp_path / "pod", cameras.url, "gate", environment=clock.environment) as pod,
    ):
        before, opens = pod.cameras()["gate"], pod.metric(OPENS)
        for seconds in (DAY, -20_000 * DAY, 3, 0):
            clock.jump(seconds)
            events = pod.events(20)
            # The first may have been on its way.
            shown = datetime.fromisoformat(events[-1]["frame"]["capturedAt"]).timestamp()
            assert abs(shown - (time.time() + seconds)) < NEAR, "the process saw the jump"
            ages = [event["frame"]["ageSeconds"] for event in events]
            assert min(ages) >= 0
            assert max(ages) < NEAR
            assert pod.cameras()["gate"] == before, f"the same as ever after {seconds} s"
        assert pod.metric(OPENS) == opens == 1
        log = pod.log.read_text()
    assert "Stalled" not in log
    assert "Traceback" not in log
