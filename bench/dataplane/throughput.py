"""Our dispatcher against perf_analyzer: the same model, instances, batch and requests in flight, shared memory.

perf_analyzer sends the same bytes again and again. Ours converts, scales and prepares another frame for each row and
decodes the boxes: that is its work, and part of what is compared. Two models: one that takes as long as a device
does, on which the promise stands, and one that answers at once, on which the client is all there is.
Where perf_analyzer cannot run, a loop over tritonclient's asynchronous calls takes its place, and the output says so.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as tritongrpc
import tritonclient.utils.shared_memory as system
from bench.dataplane import models, processes, site, tools
from bench.dataplane.feeder import PATIENCE, Feeder, pictures
from bench.dataplane.figures import Column, medians, perf_analyzer, ratio, table
from bench.media_topology import video

from edgedetector.detector.batching import Capacity

DEVICE = models.Served("device", instances=2, base=4.0, each=2.0)
INSTANT = models.Served("instant", instances=2)
BATCHES = (1, 4)
REQUESTS = 4
TARGET = 0.9
"""Of perf_analyzer's throughput."""
_COLUMNS = (
    Column("model", "model", 8),
    Column("batch", "batch", 5, "d"),
    Column("ours", "ours /s", 9, ".1f"),
    Column("theirs", "theirs /s", 9, ".1f"),
    Column("ratio", "ratio", 6, ".2f"),
    Column("ours_cpu_ms", "our CPU ms", 10, ".3f"),
    Column("theirs_cpu_ms", "their CPU ms", 12, ".3f"),
    Column("ours_triton_ms", "Triton, ours", 12, ".3f"),
    Column("theirs_triton_ms", "Triton, theirs", 14, ".3f"),
)
"""CPU by process, in milliseconds a frame."""
Measure = Callable[[float], float]
"""Runs for so many seconds and returns frames a second."""


def run(*, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print a table."""
    analyzer = tools.analyzer()
    against = f"perf_analyzer of {tools.PERF_ANALYZER}" if analyzer else "a loop over tritonclient's async_infer"
    rows = []
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        video.main(home / "loop.h264")
        frames = pictures(home / "loop.h264")
        for served in (DEVICE, INSTANT):
            served.write(home / "models")
        triton = stack.enter_context(site.triton(home, home / "models"))
        client = stack.enter_context(site.client(triton))
        for served in (DEVICE, INSTANT):
            client.load(served.name)
            for batch in BATCHES:
                with Feeder(client, served, Capacity(batch, REQUESTS), frames, 2 * batch * REQUESTS) as feeder:
                    theirs = (
                        _analyzed(analyzer, home, triton, served, batch) if analyzer else _looped(triton, served, batch)
                    )
                    turns = _turns(_fed(feeder), theirs, triton, rounds, seconds)
                    rows.append({"model": served.name, "batch": batch, **turns})
    print(f"against {against}", table(_COLUMNS, rows), sep="\n", flush=True)
    missed = [f"{r['model']}, batch {r['batch']}: {r['ratio']} of {against}, goal {TARGET}" for r in rows if _short(r)]
    return {"against": against, "requests": REQUESTS, "rows": rows, "missed": missed}


def _short(row: dict[str, Any]) -> bool:
    return row["model"] == DEVICE.name and (row["ratio"] is None or row["ratio"] < TARGET)


def _turns(ours: Measure, theirs: Measure, triton: site.Triton, rounds: int, seconds: float) -> dict[str, Any]:
    found: list[dict[str, float]] = []
    ours(min(1.0, seconds))
    for number in range(rounds):
        order = [("ours", ours), ("theirs", theirs)]
        turn: dict[str, float] = {}
        for name, measure in order if number % 2 else reversed(order):
            turn |= _turn(name, measure, triton, seconds)
        found.append(turn)
    figures = medians(found)
    return {**figures, "ratio": ratio(figures["ours"], figures["theirs"])}


def _turn(name: str, measure: Measure, triton: site.Triton, seconds: float) -> dict[str, float]:
    """Return frames a second and CPU a frame; the client is this process, or a child of it that has ended."""
    client, server, began = _client_cpu(), processes.snapshot({"triton": triton.pid}), time.monotonic()
    rate = measure(seconds)
    frames = rate * (time.monotonic() - began)
    used = sum(processes.snapshot({"triton": triton.pid}).used.values()) - sum(server.used.values())
    return {
        name: rate,
        f"{name}_cpu_ms": (_client_cpu() - client) / frames * 1e3,
        f"{name}_triton_ms": used / frames * 1e3,
    }


def _client_cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _fed(feeder: Feeder) -> Measure:
    return lambda seconds: feeder.run(seconds).rate


def _analyzed(analyzer: tools.Analyzer, home: Path, triton: site.Triton, served: models.Served, batch: int) -> Measure:
    """Measure with perf_analyzer: the three windows that it wants, however far apart they are, since ours has one."""

    def measure(seconds: float) -> float:
        out = home / "perf_analyzer.csv"
        out.unlink(missing_ok=True)
        command = [
            str(analyzer.binary), "-m", served.name, "-u", triton.grpc, "-i", "grpc", "--async",
            "-b", str(batch), "--concurrency-range", str(REQUESTS), "-p", str(round(seconds * 1e3 / 3)),
            "-s", "999", "--shared-memory", "system",
            "--output-shared-memory-size", str(served.output_bytes * batch), "-f", str(out),
        ]  # fmt: skip
        done = subprocess.run(command, env=analyzer.environment, capture_output=True, text=True, check=False)
        if not out.exists():
            raise RuntimeError(f"perf_analyzer: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return perf_analyzer(out.read_text())

    return measure


def _looped(triton: site.Triton, served: models.Served, batch: int) -> Measure:
    """Measure with the least that tritonclient needs: each request begins the next in its callback's stead."""
    return lambda seconds: Loop(triton.grpc, served, batch).run(seconds)


class Loop:
    """Keeps `REQUESTS` asynchronous requests in flight, inputs and outputs in shared memory, nothing prepared."""

    def __init__(self, address: str, served: models.Served, batch: int) -> None:
        self._address, self._served, self._batch = address, served, batch
        self._back: queue.SimpleQueue[tuple[int, Exception | None]] = queue.SimpleQueue()

    def run(self, seconds: float) -> float:
        """Return frames a second."""
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(tritongrpc.InferenceServerClient(self._address))
            requests = [self._request(client, stack, number) for number in range(REQUESTS)]
            began, answers = time.monotonic(), 0
            for number in range(REQUESTS):
                self._send(client, number, requests[number])
            left = REQUESTS
            while left:
                number = self._answered()
                answers += 1
                if time.monotonic() - began < seconds:
                    self._send(client, number, requests[number])
                else:
                    left -= 1
            return answers * self._batch / (time.monotonic() - began)

    def _send(self, client: Any, number: int, request: tuple[list[Any], list[Any]]) -> None:
        inputs, outputs = request

        def back(result: Any, error: Exception | None) -> None:  # noqa: ARG001 - called by these names
            self._back.put((number, error))

        client.async_infer(self._served.name, inputs, back, outputs=outputs)

    def _answered(self) -> int:
        number, error = self._back.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return number

    def _request(self, client: Any, stack: contextlib.ExitStack, number: int) -> tuple[list[Any], list[Any]]:
        images = np.zeros((self._batch, *models.IMAGE.dims), np.uint8)
        name = f"bench-loop-{number}"
        size = images.nbytes + 4 * self._batch * self._served.output_bytes
        handle = system.create_shared_memory_region(name, f"/{name}", size)
        stack.callback(system.destroy_shared_memory_region, handle)
        system.set_shared_memory_region(handle, [images])
        client.register_system_shared_memory(name, f"/{name}", size)
        stack.callback(client.unregister_system_shared_memory, name)
        tensor = tritongrpc.InferInput(models.IMAGE.name, list(images.shape), models.IMAGE.data_type)
        tensor.set_shared_memory(name, images.nbytes)
        outputs = []
        for place, known in enumerate(models.OUTPUTS):
            output = tritongrpc.InferRequestedOutput(known.name)
            length = self._batch * self._served.output_bytes
            output.set_shared_memory(name, length, images.nbytes + place * length)
            outputs.append(output)
        return [tensor], outputs
