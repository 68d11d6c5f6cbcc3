"""`python -m bench.calibration`: the reference's ladder on the emulated device through a real Triton.

Every rung loads the model anew, waits until it is warm and keeps more requests in flight than instances; small tensors
stand in for the real ones, since the device counts the bytes of the real ones itself (`elements_per_image`). Then an
open loop of 150 images a second shows the utilisation at the reference's many-stream load. Prints a table and ends
with one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tritonclient.grpc as triton
from bench.calibration import tritonserver
from emulator import simulate
from emulator.device import CALIBRATION
from emulator.profile import load, override, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "yolov8n"
DIMS = (3, 16, 16)
# A rung's throughput may be this far from the reference's.
TOLERANCE = 0.10
MANY_STREAMS = 150.0
CONFIG = """
name: "{model}"
backend: "dlnne"
max_batch_size: 32
input [ {{ name: "images" data_type: {type} dims: [ 3, 16, 16 ] }} ]
output [ {{ name: "output0" data_type: TYPE_FP32 dims: [ 84, 8 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_MODEL }} ]
{batching}
"""


@dataclass(frozen=True)
class Measured:
    """A rung as it was measured."""

    name: str
    target: float
    images_per_second: float
    ratio: float
    predicted: float
    p50_ms: float
    p99_ms: float
    utilisation: float
    host_utilisation: float
    requests: int
    errors: int


class Load:
    """Closed-loop or paced load by sync clients, one thread each."""

    def __init__(self, address: str, numpy_type: Any) -> None:
        self._address, self._type = address, numpy_type
        self._lock = threading.Lock()
        self.latencies: list[tuple[float, float]] = []
        """(end, milliseconds) of every answered request."""
        self.errors = 0

    def run(self, clients: int, seconds: float, pace: Callable[[], float] | None = None) -> None:
        """Send for `seconds`; `pace` gives the time at which the next request is due."""
        deadline = time.perf_counter() + seconds
        with ThreadPoolExecutor(clients) as pool:
            for future in [pool.submit(self._client, deadline, pace) for _ in range(clients)]:
                future.result()

    def _client(self, deadline: float, pace: Callable[[], float] | None) -> None:
        client = triton.InferenceServerClient(self._address)
        image = np.random.default_rng(0).random((1, *DIMS)).astype(self._type)
        tensor = triton.InferInput("images", image.shape, triton.np_to_triton_dtype(image.dtype))
        tensor.set_data_from_numpy(image)
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
    """Say one thing to the emulated device."""
    host, _, port = device.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
    if not answer["ok"]:
        raise RuntimeError(answer["error"])
    return answer


def _field(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document[part]
    return document


class Bench:
    """One tritonserver and one device for all rungs."""

    def __init__(
        self, server: tritonserver.Server, device: str, repository: Path, seconds: float, rungs: list[dict[str, Any]]
    ) -> None:
        self._server, self._device, self._repository, self._seconds = server, device, repository, seconds
        # What any rung changes, as the calibrated device has it: a rung starts from there.
        profile = to_dict(DEVICES["ks20"])
        self._baseline = {name: _field(profile, name) for rung in rungs for name in rung["set"]}
        self._client = triton.InferenceServerClient(server.grpc)

    def rung(self, rung: dict[str, Any]) -> Measured:
        """Measure one rung under a closed loop."""
        changes = {**self._baseline, **rung["set"]}
        ask(self._device, {"op": "configure", "set": changes})
        numpy_type = self._load(rung)
        load = Load(self._server.grpc, numpy_type)
        clients = rung["instances"] * 2 + 1
        samples: list[dict[str, Any]] = []
        watcher = threading.Thread(target=self._watch, args=(samples,))
        watcher.start()
        load.run(clients, self._seconds)
        watcher.join()
        return self._summary(rung, changes, load, samples)

    def paced(self, rung: dict[str, Any], rate: float) -> float:
        """Return the utilisation on `rung` at `rate` images a second."""
        ask(self._device, {"op": "configure", "set": {**self._baseline, **rung["set"]}})
        load = Load(self._server.grpc, self._load(rung))
        start, sent = time.perf_counter(), iter(range(10**9))
        samples: list[dict[str, Any]] = []
        watcher = threading.Thread(target=self._watch, args=(samples,))
        watcher.start()
        load.run(16, self._seconds, lambda: start + next(sent) / rate)
        watcher.join()
        return float(statistics.median(sample["utilisation"] for sample in samples))

    def _load(self, rung: dict[str, Any]) -> Any:
        fp16 = rung["precision"] == "fp16"
        directory = self._repository / MODEL
        (directory / "1").mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(
            model=MODEL, type="TYPE_FP16" if fp16 else "TYPE_FP32", instances=rung["instances"], batching=""
        )
        (directory / "config.pbtxt").write_text(text)
        self._client.load_model(MODEL)
        return np.float16 if fp16 else np.float32

    def _watch(self, samples: list[dict[str, Any]]) -> None:
        """Sample the device once a second in the measured part of the load."""
        end = time.perf_counter() + self._seconds * 0.95
        time.sleep(self._seconds * 0.25)
        while time.perf_counter() < end:
            samples.append(ask(self._device, {"op": "describe"}))
            time.sleep(0.5)

    def _summary(
        self, rung: dict[str, Any], changes: dict[str, Any], load: Load, samples: list[dict[str, Any]]
    ) -> Measured:
        """Throughput and latencies of the last four fifths."""
        last = max(end for end, _ in load.latencies)
        first = last - self._seconds * 0.8
        counted = sorted(latency for end, latency in load.latencies if end > first)
        rate = len(counted) / (last - first)
        predicted = simulate.closed_loop(
            override(DEVICES["ks20"], changes), instances=rung["instances"], precision=rung["precision"]
        )
        return Measured(
            name=rung["name"],
            target=rung["target"],
            images_per_second=round(rate, 1),
            ratio=round(rate / rung["target"], 3),
            predicted=round(predicted.images_per_second, 1),
            p50_ms=round(counted[len(counted) // 2], 1),
            p99_ms=round(counted[int(len(counted) * 0.99)], 1),
            utilisation=round(statistics.median(sample["utilisation"] for sample in samples), 2),
            host_utilisation=round(statistics.median(sample["hostUtilisation"] for sample in samples), 2),
            requests=len(load.latencies),
            errors=load.errors,
        )


DEVICES = load(CALIBRATION)


def table(rows: list[Measured]) -> str:
    """Return the rungs as a table of fixed width."""
    columns = {"target": 7, "measured": 9, "ratio": 6, "model": 7, "p50 ms": 7, "p99 ms": 7, "util": 5, "host": 5}
    lines = [" ".join([f"{'rung':38}", *(f"{name:>{width}}" for name, width in columns.items())])]
    lines += [
        f"{row.name:38} {row.target:7.0f} {row.images_per_second:9.1f} {row.ratio:6.3f} {row.predicted:7.1f}"
        f" {row.p50_ms:7.1f} {row.p99_ms:7.1f} {row.utilisation:5.0%} {row.host_utilisation:5.0%}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print; 1 if a rung is outside of the tolerance."""
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of load a rung")
    arguments = parser.parse_args()
    rungs = tomllib.loads(CALIBRATION.read_text())["rungs"]
    installation = tritonserver.prepare()
    print("EMULATED accelerator: simulated figures, calibrated to a published deployment's; real Triton 24.10\n")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = directory / "models"
        repository.mkdir()
        device = stack.enter_context(tritonserver.emulated_device(directory))
        environment = {"EMULATED_ACCELERATOR_ADDRESS": device}
        server = stack.enter_context(tritonserver.running(installation, directory, repository, environment=environment))
        bench = Bench(server, device, repository, arguments.seconds, rungs)
        rows = [bench.rung(rung) for rung in rungs]
        many = bench.paced(next(rung for rung in rungs if rung["target"] == 175.0), MANY_STREAMS)
    print(table(rows))
    print(f"\n{MANY_STREAMS:.0f} images/s in an open loop, FP16 rung: utilisation {many:.0%}")
    worst = max(abs(row.ratio - 1) for row in rows)
    print(json.dumps({
        "benchmark": "calibration",
        "emulated": True,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "triton": "24.10",
        "seconds_per_rung": arguments.seconds,
        "rungs": [asdict(row) for row in rows],
        "utilisation_at_150": round(many, 3),
        "worst_deviation": round(worst, 3),
        "within_tolerance": worst <= TOLERANCE,
    }))  # fmt: skip
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
