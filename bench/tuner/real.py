"""A real Triton with a model that sleeps, under the cases of `judge.calibration`."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from bench.calibration import tritonserver
from judge.batcher import Batching
from judge.calibration import SETTLE, Case, Outcome, Overheads, outcome

MODEL = "sleeper"
FULL = 8
_CODE = """
import json, time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.base, self.image = (float(parameters[name]["string_value"]) for name in ("base", "image"))

    def execute(self, requests):
        due = time.monotonic()
        found = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        due += self.base + self.image * sum(map(len, found))
        answers = [pb.InferenceResponse([pb.Tensor("y", one)]) for one in found]
        time.sleep(max(0.0, due - time.monotonic()))
        return answers
"""
_CONFIG = """
name: "{model}" backend: "python" max_batch_size: {largest}
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
parameters {{ key: "base" value: {{ string_value: "{base}" }} }}
parameters {{ key: "image" value: {{ string_value: "{image}" }} }}
{batching}
"""


class Sleeper:
    """One tritonserver for all cases."""

    def __init__(self, server: tritonserver.Server, repository: Path) -> None:
        self._address, self._directory = server.grpc, repository / MODEL
        self._control = triton.InferenceServerClient(server.grpc)
        self.errors = 0

    def overheads(self, seconds: float) -> Overheads:
        """Measure what a real server adds, on loads that are not among the cases."""
        base, image = 0.015, 0.005
        self._serve(Case(-1, Batching(1, 1), base, image))
        latencies = self._closed(1, seconds)
        first = self._counted()
        execution = first["infer"] - base - image
        way = sum(latencies) / len(latencies) - first["request"]
        busy = self._closed(3, seconds)
        turn = seconds / len(busy) - self._counted()["infer"]
        self._serve(Case(-1, Batching(1, FULL), base, image))
        self._closed(2 * FULL, seconds)
        full = self.executions()[FULL][1] - base - image * FULL
        self._serve(Case(-1, Batching(4, 1), 0.0, 0.0))
        serial = seconds / len(self._closed(FULL, seconds))
        return Overheads(execution, max(0.0, (full - execution) / (FULL - 1)), max(0.0, turn), way, serial)

    def measure(self, case: Case, seconds: float) -> tuple[Outcome, list[float]]:
        """Return what a case gave, and when the requests of an open loop were sent, from its beginning."""
        self._serve(case)
        if case.flights:
            return outcome(self._closed(case.flights, seconds), seconds), []
        return self._open(case.rate, seconds, random.Random(case.number))

    def _serve(self, case: Case) -> None:
        serving = case.batching
        liked = f"preferred_batch_size: {list(serving.preferred)}" if serving.preferred else ""
        delay = f"max_queue_delay_microseconds: {round(serving.delay * 1e6)}"
        batching = f"dynamic_batching {{ {liked} {delay} }}" if serving.max_batch > 1 else ""
        text = _CONFIG.format(
            model=MODEL, largest=serving.max_batch, instances=serving.instances, base=case.base, image=case.image,
            batching=batching,
        )  # fmt: skip
        (self._directory / "1").mkdir(parents=True, exist_ok=True)
        (self._directory / "1" / "model.py").write_text(_CODE)
        (self._directory / "config.pbtxt").write_text(text)
        if self._control.is_model_ready(MODEL):
            self._control.unload_model(MODEL)
            deadline = time.monotonic() + 30
            while self._control.get_model_repository_index(as_json=True)["models"][0].get("state") != "UNAVAILABLE":
                if time.monotonic() > deadline:
                    raise TimeoutError("the model does not go")
                time.sleep(0.05)
        self._control.load_model(MODEL)
        # The first execution of an instance takes 0.1 s longer: once each, and no part of what is measured.
        self._closed(serving.instances * max(1, serving.max_batch), 0.0)
        self._before, self._warm = self._statistics(), self._by_size()

    def _statistics(self) -> tuple[float, float, float]:
        found = self._control.get_inference_statistics(MODEL).model_stats[0]
        infer = sum(_seconds(entry) for entry in found.batch_stats)
        return found.execution_count, infer, found.inference_stats.success.ns * 1e-9

    def _counted(self) -> dict[str, float]:
        """Return means since this was last asked; of requests of one image, one at a time."""
        before, self._before = self._before, self._statistics()
        executions, infer, request = (new - old for new, old in zip(self._before, before, strict=True))
        return {"infer": infer / executions, "request": request / executions}

    def executions(self) -> dict[int, tuple[int, float]]:
        """Return executions and their mean seconds by batch size, since the model was loaded and warm."""
        counted = {
            size: (count - self._warm.get(size, (0, 0.0))[0], seconds - self._warm.get(size, (0, 0.0))[1])
            for size, (count, seconds) in self._by_size().items()
        }
        return {size: (count, seconds / count) for size, (count, seconds) in counted.items() if count}

    def _by_size(self) -> dict[int, tuple[int, float]]:
        """Return executions and the sum of their seconds by batch size, since the model was loaded."""
        found = self._control.get_inference_statistics(MODEL).model_stats[0].batch_stats
        return {entry.batch_size: (entry.compute_infer.count, _seconds(entry)) for entry in found}

    def _closed(self, flights: int, seconds: float) -> list[float]:
        began = time.perf_counter()
        first, end = began + SETTLE, began + SETTLE + seconds
        found: list[list[float]] = [[] for _ in range(flights)]

        def client(number: int) -> None:
            with triton.InferenceServerClient(self._address) as asking:
                tensor = _tensor()
                time.sleep(number * 1e-4)
                while (sent := time.perf_counter()) < end:
                    asking.infer(MODEL, [tensor])
                    now = time.perf_counter()
                    if first <= now < end:
                        found[number].append(now - sent)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(flights)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one for part in found for one in part]

    def _open(self, rate: float, seconds: float, draw: random.Random) -> tuple[Outcome, list[float]]:
        latencies: list[float] = []
        sent: list[float] = []
        left = threading.Semaphore(0)
        with triton.InferenceServerClient(self._address) as asking:
            tensor = _tensor()
            for _ in range(3):
                asking.infer(MODEL, [tensor])
            began = due = time.perf_counter()
            while (due := due + draw.expovariate(rate)) < began + seconds:
                time.sleep(max(0.0, due - time.perf_counter()))
                now = time.perf_counter()
                sent.append(now - began)

                def answered(result: Any, error: Any, start: float = now) -> None:
                    taken = time.perf_counter()
                    self.errors += error is not None
                    if result is not None and taken < began + seconds:
                        latencies.append(taken - start)
                    left.release()

                asking.async_infer(MODEL, [tensor], answered)
            for _ in sent:
                left.acquire(timeout=30)
        return outcome(latencies, seconds), sent


def _seconds(entry: Any) -> float:
    return (entry.compute_input.ns + entry.compute_infer.ns + entry.compute_output.ns) * 1e-9


def _tensor() -> triton.InferInput:
    tensor = triton.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 1), np.float32))
    return tensor


@contextlib.contextmanager
def sleeper(directory: Path) -> Iterator[Sleeper]:
    """Run a tritonserver until the block ends."""
    repository = directory / "models"
    repository.mkdir()
    options = ("--disable-auto-complete-config", "--exit-timeout-secs=5")
    with tritonserver.running(tritonserver.prepare(), directory, repository, *options) as server:
        yield Sleeper(server, repository)


def chosen(cases: Sequence[Case], part: str) -> list[Case]:
    """Return the cases of a part, `first:end`; empty: all."""
    first, _, end = part.partition(":")
    return list(cases[int(first or 0) : int(end) if end else None])
