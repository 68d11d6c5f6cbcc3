"""Closed-loop and paced load on a model of the emulated device, through a real Triton."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tritonclient.grpc as triton
from emulator.device import choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.calibration.tritonserver import Server

MODEL = "yolov8n"
# Small tensors stand in for 3 x 640 x 640: the device counts the bytes of the real ones itself.
DIMS = (3, 16, 16)
CONFIG = """
name: "{model}"
backend: "dlnne"
max_batch_size: {largest}
input [ {{ name: "images" data_type: {type} dims: [ 3, 16, 16 ] }} ]
output [ {{ name: "output0" data_type: TYPE_FP32 dims: [ 84, 8 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_MODEL }} ]
"""


@dataclass(frozen=True)
class Case:
    """A device in a state, and how it is served."""

    name: str
    device: str
    instances: int = 1
    batch: int = 1
    """Images a request; there is no dynamic batching, so that the device is measured and not the batcher."""
    precision: str = "fp32"
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What a case gave."""

    images_per_second: float
    p50_ms: float
    p99_ms: float
    utilisation: float
    host_utilisation: float
    requests: int
    errors: int


class Bench:
    """One tritonserver and one device process for all cases."""

    def __init__(self, server: Server, device: str, repository: Path, seconds: float) -> None:
        self._server, self._device, self._repository, self._seconds = server, device, repository, seconds
        self._client = triton.InferenceServerClient(server.grpc)

    def closed_loop(self, case: Case) -> Measured:
        """Keep two requests an instance and one more in flight."""
        self._serve(case)
        return self._measure(case, case.instances * 2 + 1, None)

    def paced(self, case: Case, rate: float) -> Measured:
        """Send `rate` images a second, however long they take."""
        self._serve(case)
        sent, start = iter(range(10**9)), time.perf_counter()
        return self._measure(case, 16, lambda: start + next(sent) * case.batch / rate)

    def _serve(self, case: Case) -> None:
        """Make the device that of the case and load the model on it."""
        if self._client.is_model_ready(MODEL):
            self._client.unload_model(MODEL)
        deadline = time.monotonic() + 30
        while ask(self._device, {"op": "describe"})["instances"]:
            if time.monotonic() > deadline:
                raise RuntimeError("the device still holds the model of the last case")
            time.sleep(0.02)
        ask(self._device, {"op": "configure", "device": case.device, "set": case.changes})
        directory = self._repository / MODEL
        (directory / "1").mkdir(parents=True, exist_ok=True)
        largest, data_type = choose(case.device).max_batch, f"TYPE_{case.precision.upper()}"
        text = CONFIG.format(model=MODEL, largest=largest, type=data_type, instances=case.instances)
        (directory / "config.pbtxt").write_text(text)
        self._client.load_model(MODEL)

    def _measure(self, case: Case, clients: int, pace: Callable[[], float] | None) -> Measured:
        load = _Load(self._server.grpc, case)
        samples: list[dict[str, Any]] = []
        watcher = threading.Thread(target=self._watch, args=(samples,))
        watcher.start()
        load.run(clients, self._seconds, pace)
        watcher.join()
        last = max(end for end, _ in load.latencies)
        first = last - self._seconds * 0.8  # the first fifth warms up
        counted = sorted(latency for end, latency in load.latencies if end > first)
        return Measured(
            images_per_second=round(len(counted) * case.batch / (last - first), 1),
            p50_ms=round(counted[len(counted) // 2], 1),
            p99_ms=round(counted[int(len(counted) * 0.99)], 1),
            utilisation=round(statistics.median(sample["utilisation"] for sample in samples), 3),
            host_utilisation=round(statistics.median(sample["hostUtilisation"] for sample in samples), 3),
            requests=len(load.latencies),
            errors=load.errors,
        )

    def _watch(self, samples: list[dict[str, Any]]) -> None:
        """Look at the device twice a second while the load is warm."""
        end = time.perf_counter() + self._seconds * 0.95
        time.sleep(self._seconds * 0.25)
        while time.perf_counter() < end:
            samples.append(ask(self._device, {"op": "describe"}))
            time.sleep(0.5)


class _Load:
    """Sync clients, a thread each."""

    def __init__(self, address: str, case: Case) -> None:
        self._address, self._case = address, case
        self._lock = threading.Lock()
        self.latencies: list[tuple[float, float]] = []
        """(end, milliseconds) of every answered request."""
        self.errors = 0

    def run(self, clients: int, seconds: float, pace: Callable[[], float] | None) -> None:
        """Send for `seconds`; `pace` gives the time at which the next request is due."""
        deadline = time.perf_counter() + seconds
        with ThreadPoolExecutor(clients) as pool:
            for future in [pool.submit(self._client, deadline, pace) for _ in range(clients)]:
                future.result()

    def _client(self, deadline: float, pace: Callable[[], float] | None) -> None:
        client = triton.InferenceServerClient(self._address)
        kind = np.float16 if self._case.precision == "fp16" else np.float32
        images = np.random.default_rng(0).random((self._case.batch, *DIMS)).astype(kind)
        tensor = triton.InferInput("images", images.shape, triton.np_to_triton_dtype(images.dtype))
        tensor.set_data_from_numpy(images)
        while (start := time.perf_counter()) < deadline:
            if pace is not None:
                with self._lock:
                    due = pace()
                time.sleep(max(0.0, due - start))
                start = time.perf_counter()
            try:
                client.infer(MODEL, [tensor])
            except triton.InferenceServerException:
                with self._lock:
                    self.errors += 1
                continue
            end = time.perf_counter()
            with self._lock:
                self.latencies.append((end, (end - start) * 1e3))


def ask(device: str, request: dict[str, Any]) -> dict[str, Any]:
    """Say one thing to the emulated device.

    Raises
    ------
    RuntimeError
        With what the device says, if it refuses.
    """
    host, _, port = device.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
    if not answer["ok"]:
        raise RuntimeError(answer["error"])
    return answer
