"""`python -m bench.shared_memory`: one client and one Triton, tensors in shared memory against tensors in the message.

The model answers with a checksum of every byte that it got, which the client compares; it does no more, so transport is
what is measured. FP32 and FP16 3x640x640 and uint8 640x640x3, one and eight requests in flight. The two transports take
turns in short rounds of one run, in an order that changes, so that what else the machine does meets both. Client CPU is
this process's, all threads, the writing of the input included. Prints a table and one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from bench.calibration import tritonserver

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.slots import Pool
from edgedetector.triton.tensors import Signature
from edgedetector.triton.transport import Transport

KEY = "bench"
TIMEOUT = 30.0
# What the issue asks for: FP32, one in flight, p50 through gRPC / p50 through shared memory.
TARGET = 2.0
KINDS = {"FP32": (3, 640, 640), "FP16": (3, 640, 640), "UINT8": (640, 640, 3)}
MODEL = """
import zlib
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "images").as_numpy() for request in requests]
        sums = [np.array([[zlib.crc32(np.ascontiguousarray(row))] for row in data], np.uint32) for data in inputs]
        return [pb.InferenceResponse([pb.Tensor("checksum", one)]) for one in sums]
"""


@dataclass(frozen=True)
class Case:
    """What is sent, and how many at once."""

    kind: str
    in_flight: int


@dataclass
class Measured:
    """What one transport gave in all rounds of a case."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    wrong: int = 0

    def summary(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.seconds, n=100, method="inclusive")
        return {
            "requests": len(self.seconds),
            "wrong": self.wrong,
            "p50_ms": round(cuts[49] * 1e3, 3),
            "p99_ms": round(cuts[98] * 1e3, 3),
            "client_cpu_ms": round(self.cpu / len(self.seconds) * 1e3, 3),
        }


def write(repository: Path) -> None:
    for kind, dims in KINDS.items():
        directory = repository / name(kind)
        (directory / "1").mkdir(parents=True)
        (directory / "1" / "model.py").write_text(MODEL)
        (directory / "config.pbtxt").write_text(f"""
            name: "{name(kind)}" backend: "python" max_batch_size: 8
            input [ {{ name: "images" data_type: TYPE_{kind} dims: {list(dims)} }} ]
            output [ {{ name: "checksum" data_type: TYPE_UINT32 dims: [ 1 ] }} ]
            instance_group [ {{ count: 1 kind: KIND_CPU }} ]""")


def name(kind: str) -> str:
    return f"checksum-{kind.lower()}"


def signature(kind: str) -> Signature:
    return Signature(name(kind), (Tensor("images", KINDS[kind], kind),), (Tensor("checksum", (1,), "UINT32"),), 8)


def picture(kind: str) -> np.ndarray:
    random = np.random.default_rng(7)
    values = random.integers(0, 256, KINDS[kind], np.uint8)
    return values if kind == "UINT8" else (values / 255).astype(f"float{kind[2:]}")


@dataclass(frozen=True)
class Side:
    """A transport with its slots."""

    transport: Transport
    pool: Pool


def measure(side: Side, image: np.ndarray, case: Case, requests: int, into: Measured) -> None:
    """Keep `in_flight` requests going, each from a thread of its own, until there were `requests`."""
    left, lock, checksum = itertools.count(), threading.Lock(), zlib.crc32(image)

    def work() -> None:
        while next(left) < requests:
            started = time.perf_counter()
            slot = side.pool.acquire(TIMEOUT)
            slot.inputs["images"][0] = image
            with side.transport.infer(slot, rows=1, timeout=TIMEOUT) as answer:
                right = int(answer.outputs["checksum"][0, 0]) == checksum
            with lock:
                into.seconds.append(time.perf_counter() - started)
                into.wrong += not right

    cpu = _cpu()
    threads = [threading.Thread(target=work) for _ in range(case.in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    into.cpu += _cpu() - cpu


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def compare(client: Client, case: Case, rounds: int, requests: int) -> dict[str, Measured]:
    """Measure both transports in turns; the first request of each is not counted: it makes and registers memory."""
    image, found = picture(case.kind), {"grpc": Measured(), "shared_memory": Measured()}
    client.load(name(case.kind))
    with contextlib.ExitStack() as stack:
        sides = {}
        for label, regions in (("grpc", None), ("shared_memory", Regions())):
            transport = stack.enter_context(Transport(client, regions=regions))
            sides[label] = Side(transport, transport.pool(signature(case.kind), batch=1, slots=case.in_flight))
            measure(sides[label], image, case, 4 * case.in_flight, Measured())
        for number in range(rounds):
            for label in sorted(sides, reverse=bool(number % 2)):
                measure(sides[label], image, case, requests, found[label])
    client.unload(name(case.kind))
    return found


def line(case: Case, label: str, figures: dict[str, float]) -> str:
    return (
        f"{case.kind:6} {case.in_flight:9} {label:14} {figures['p50_ms']:8.2f} {figures['p99_ms']:8.2f}"
        f" {figures['client_cpu_ms']:11.2f} {figures['requests']:9.0f} {figures['wrong']:6.0f}"
    )


def main() -> int:
    """Measure and print; 1 if a checksum was wrong or shared memory is slower than it must be."""
    parser = argparse.ArgumentParser(prog="python -m bench.shared_memory", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="turns of each transport a case")
    parser.add_argument("--requests", type=int, default=100, help="a turn")
    arguments = parser.parse_args()
    records = []
    print("tensors in shared memory against tensors in the gRPC message; real Triton 24.10\n")
    print("type   in flight transport        p50 ms   p99 ms  client CPU  requests  wrong")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = directory / "models"
        write(repository)
        server = stack.enter_context(
            tritonserver.running(
                tritonserver.prepare(),
                directory,
                repository,
                f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}",
                "--disable-auto-complete-config",
            )
        )
        client = stack.enter_context(Client(server.grpc, key=KEY))
        for case in (Case(kind, in_flight) for kind in KINDS for in_flight in (1, 8)):
            found = compare(client, case, arguments.rounds, arguments.requests)
            figures = {label: measured.summary() for label, measured in found.items()}
            for label, entry in figures.items():
                print(line(case, label, entry), flush=True)
            ratios = {
                key: round(figures["grpc"][key] / figures["shared_memory"][key], 2)
                for key in ("p50_ms", "p99_ms", "client_cpu_ms")
            }
            records.append({**asdict(case), **figures, "grpc_over_shared_memory": ratios})
    first = next(entry for entry in records if (entry["kind"], entry["in_flight"]) == ("FP32", 1))
    wrong = sum(entry[label]["wrong"] for entry in records for label in ("grpc", "shared_memory"))
    ratio = first["grpc_over_shared_memory"]["p50_ms"]
    print(json.dumps({
        "benchmark": "shared_memory",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "triton": "24.10",
        "rounds": arguments.rounds,
        "requests_per_round": arguments.requests,
        "cases": records,
        "wrong": wrong,
        "fp32_p50_ratio": ratio,
        "target_ratio": TARGET,
        "within_target": wrong == 0 and ratio >= TARGET,
    }))  # fmt: skip
    return 0 if wrong == 0 and ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
