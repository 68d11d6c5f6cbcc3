"""The detector's real process with a real Triton and cameras that do what they are told, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.calibration import tritonserver
from tests import unruly_clips

from edgedetector.api import names
from edgedetector.api.dataplane import (
    Decoder,
    Degradation,
    DetectorCamera,
    DetectorConfig,
    DetectorModel,
    FrameRate,
    ModelServing,
    ServingConfig,
    Tensor,
)
from edgedetector.api.wire import to_json
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds; far more than anything here takes
PROGRAM = (ROOT / "tests/e2e/unruly.py", ROOT / "bench/media_topology/camera.py")
MODEL = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(len(pb.get_input_tensor_by_name(one, "image").as_numpy())) for one in requests]

    def _answer(self, count):
        found = {"boxes": np.tile(np.float32([[[1, 1, 9, 9]]]), (count, 1, 1)),
                 "scores": np.full((count, 1), 0.9, np.float32), "classes": np.zeros((count, 1), np.int32)}
        return pb.InferenceResponse([pb.Tensor(name, value) for name, value in found.items()])
"""
CONFIG = """
name: "any" backend: "python" max_batch_size: 4
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 48, 64, 3 ] } ]
output [ { name: "boxes" data_type: TYPE_FP32 dims: [ 1, 4 ] }, { name: "scores" data_type: TYPE_FP32 dims: [ 1 ] },
         { name: "classes" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""
OUTPUTS = (Tensor("boxes", (1, 4), "FP32"), Tensor("scores", (1,), "FP32"), Tensor("classes", (1,), "INT32"))


def until(what: str, look: Callable[[], T], good: Callable[[T], bool] = bool) -> T:
    """Look until it is good; fail with what was seen last."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < deadline, f"{what}: last seen {seen!r}"
        time.sleep(0.05)


@contextlib.contextmanager
def process(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a program until the block ends, with what it says in `log`; yields its id."""
    variables = {**os.environ, **(environment or {})}
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink, env=variables) as running:
        try:
            yield running.pid
            assert running.poll() is None, f"it ended with {running.returncode}:\n{log.read_text()[-4000:]}"
        finally:
            running.kill()


@dataclass(frozen=True)
class Cameras:
    """Paths of `unruly.py`; any name is a camera."""

    port: int
    control: int

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}"

    def play(self, path: str, what: str, *, again: bool = False) -> dict[str, tuple[str, int]]:
        """Let a camera play something else; returns what each plays and how many watch."""
        query = f"path={path}&what={what}&again={int(again)}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/play?{query}", timeout=10) as answer:
            return {name: (played, watched) for name, (played, watched) in json.load(answer).items()}


@contextlib.contextmanager
def cameras(home: Path) -> Iterator[Cameras]:
    """Run the cameras until the block ends."""
    home.mkdir(parents=True)
    for path in PROGRAM:
        shutil.copy(path, home)
    (home / "clips.json").write_text(unruly_clips.document())
    found = Cameras(tritonserver.free_port(), tritonserver.free_port())
    options = ["--clips", str(home / "clips.json"), "--port", str(found.port), "--control", str(found.control)]
    with process([sys.executable, str(home / "unruly.py"), *options], home / "log"):

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return bool(found.play("nobody", "plain"))
            return False

        until("the cameras listen", answers)
        yield found


@dataclass(frozen=True)
class Pod:
    """A running detector."""

    port: int
    events_port: int
    pid: int
    log: Path
    seen: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return its own word of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def cameras(self) -> dict[str, dict[str, Any]]:
        """Return its cameras' states by name; none while it does not answer."""
        with contextlib.suppress(OSError):
            return {camera["name"]: camera for camera in self.state()["cameras"]}
        return {}

    def metric(self, series: str) -> float:
        """Return the value of a series as it is written, 0 if there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            lines = (line.rpartition(" ") for line in answer.read().decode().splitlines())
        return next((float(value) for name, _, value in lines if name == series), 0.0)

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next results."""
        url, found = f"http://127.0.0.1:{self.events_port}/events", list[dict[str, Any]]()
        with urllib.request.urlopen(url, timeout=PATIENCE) as stream:
            for line in stream:
                if line.startswith(b"data:"):
                    found.append(json.loads(line.removeprefix(b"data:")))
                if len(found) == count:
                    break
        return found


@contextlib.contextmanager
def detector(
    home: Path,
    media_url: str,
    *served: str,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Pod]:
    """Run Triton, with more arguments, and the detector's process on these cameras until the block ends."""
    paths = Paths.under(home)
    for directory in (paths.serving, paths.detector, paths.models, paths.sources / "any", paths.run):
        directory.mkdir(parents=True)
    (paths.sources / "any" / "model.py").write_text(MODEL)
    serving = ModelServing("any", 1, (), 4, 0, CONFIG, {"1/model.py": "model.py"})
    (paths.serving / names.FILE_ACCEPTED).write_text(to_json(ServingConfig("one", (serving,))))
    assert prepare(paths) == 0
    with tritonserver.running(
        tritonserver.prepare(), home, paths.models, "--disable-auto-complete-config", *arguments
    ) as server:
        config = DetectorConfig(
            detector="yard",
            namespace="site",
            generation=1,
            triton_url=server.grpc,
            media_url=media_url,
            models=(
                DetectorModel(
                    "any", (Tensor("image", (48, 64, 3), "UINT8"),), OUTPUTS, Decoder("none", ("x",), 0.1), 4
                ),
            ),
            cameras=tuple(DetectorCamera(name, name, ("any",), FrameRate(target=5.0, minimum=5.0)) for name in served),
            degradation=Degradation(enabled=False),
        )
        (paths.detector / names.FILE_DETECTOR).write_text(to_json(config))
        port, events_port = tritonserver.free_port(), tritonserver.free_port()
        variables = {
            "PYTHONPATH": str(ROOT / "operator"),
            "POD_NAME": "yard-triton-0",
            "DETECTOR_ADDRESS": "127.0.0.1",
            "DETECTOR_PORT": str(port),
            "DETECTOR_EVENTS_PORT": str(events_port),
            **(environment or {}),
        }
        command = [sys.executable, "-m", "edgedetector.detector", "run", "--root", str(home)]
        with process(command, home / "detector.log", variables) as pid:
            pod = Pod(port, events_port, pid, home / "detector.log")
            until("detections", lambda: [pod.cameras().get(name, {}).get("detecting") for name in served], all)
            yield pod
