"""What it costs a pod to count and to be asked for its load, and the operator to make a window of it.

Times are of this process alone. A real Triton is asked for the statistics of four models; what is made of the answer
is measured with statistics in which each has executed every batch size up to 32, since it grows with them.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.calibration import tritonserver
from tritonclient.grpc import service_pb2

from edgedetector.api.dataplane import ModelServing, ModelState
from edgedetector.api.observation import Observation
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector.batching import Outcome
from edgedetector.detector.gauges import Seen
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.observing import Observer
from edgedetector.observe.windows import window
from edgedetector.triton.client import Client
from edgedetector.tuning.window import Knobs

MODELS, SIZES = 4, 32
FRAMES = 200_000
LOOKS = 200
MODEL = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([]) for _ in requests]
"""
CONFIG = """
name: "{name}" backend: "python" max_batch_size: 32
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 1 ] }} ] output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""
NAMES = tuple(f"model-{number}" for number in range(MODELS))


class Pod:
    """What the observer asks of the applier."""

    loads, trial = 0, None
    wanted: Mapping[str, ModelServing] = {name: ModelServing(name, 1, (), 32, 0, "") for name in NAMES}
    states = tuple(ModelState(name, "Ready", "", "one", 1) for name in NAMES)


def full(name: str, times: int) -> Any:
    """Return the statistics of a model that has executed every batch size."""
    found = service_pb2.ModelStatistics(name=name, inference_count=times, execution_count=times)
    for size in range(1, SIZES + 1):
        batch = found.batch_stats.add(batch_size=size)
        for part in (batch.compute_input, batch.compute_infer, batch.compute_output):
            part.count, part.ns = times, times * 10_000_000
    return found


def counting(threads: int) -> float:
    """Return microseconds of CPU for what is counted of a frame that is alone in its request."""
    ledger = Ledger()

    def work() -> None:
        for _ in range(FRAMES // threads):
            ledger.offered("people")
            ledger.answered("people", 0.0123, [0.0345])
            ledger.settled("people", Outcome.SERVED)

    began, running = time.process_time(), [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return (time.process_time() - began) / FRAMES * 1e6


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the median CPU and wall milliseconds of this process for a piece of work."""
    cpu, wall = [], []
    for _ in range(LOOKS):
        began = time.process_time(), time.perf_counter()
        work()
        cpu.append((time.process_time() - began[0]) * 1e3)
        wall.append((time.perf_counter() - began[1]) * 1e3)
    return statistics.median(cpu), statistics.median(wall)


def observer(ask: Callable[[float], Mapping[str, Any]]) -> Observer:
    """Return an observer that looks each time, with full histograms and metrics of 35 cameras."""
    ledger, metrics, now = Ledger(), Metrics(), iter(range(10**9))
    for name in NAMES:
        for step in range(2_000):
            ledger.answered(name, step * 0.001, [step * 0.001])
    for camera in range(35):
        metrics.add_camera(f"camera-{camera}", 5.0)
    return Observer(
        statistics=ask,
        serving=Pod(),
        ledger=ledger,
        metrics=metrics,
        demand=lambda: dict.fromkeys(NAMES, 175.0),
        device=lambda _now: Seen(),
        transport=lambda: "SharedMemory",
        boot="b",
        clock=lambda: float(next(now)),
    )


def asking() -> tuple[float, float]:
    """Return milliseconds for a question to a real Triton with four models."""
    with tempfile.TemporaryDirectory() as home:
        directory, repository = Path(home), Path(home, "models")
        for name in NAMES:
            (repository / name / "1").mkdir(parents=True)
            (repository / name / "1" / "model.py").write_text(MODEL)
            (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name))
        with (
            tritonserver.running(tritonserver.prepare(), directory, repository) as server,
            Client(server.grpc) as client,
        ):
            for name in NAMES:
                client.load(name)
            return milliseconds(lambda: client.all_statistics(timeout=5.0))


def windowing(text: str) -> tuple[float, float]:
    """Return milliseconds for what the operator does with an answer: read it, and make a window of two."""
    before = from_json(Observation, text)
    knobs = {"one": dict.fromkeys(NAMES, Knobs())}

    def work() -> None:
        after = replace(from_json(Observation, text), at=before.at + 10.0)
        found = window(before, after, pod="p", knobs=knobs, percentile=99, now=10.0, start=0.0)
        assert not found.disturbed, found.disturbed  # noqa: S101 - a bench that measures the wrong thing must end

    return milliseconds(work)


def main() -> None:
    """Print the table."""
    told = {name: full(name, 10_000) for name in NAMES}
    looking = observer(lambda _timeout: told)
    text = to_json(looking.observation())
    load = f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}"
    print(f"{MODELS} models, {SIZES} batch sizes each, {len(text) / 1000:.0f} kB; {load}")
    for threads in (1, 8):
        print(f"counting a frame, {threads} threads: {counting(threads):.2f} us of CPU")
    rows = {
        "asking Triton": asking(),
        "an observation of the answer, as JSON": milliseconds(lambda: to_json(looking.observation())),
        "the operator's reading of it, and a window": windowing(text),
    }
    for name, (cpu, wall) in rows.items():
        print(f"{name}: {cpu:.2f} ms of CPU, {wall:.2f} ms")


if __name__ == "__main__":
    main()
