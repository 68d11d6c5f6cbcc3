"""The same load for all: perf_analyzer in a closed loop, and in an open loop whose rate a ramp decides."""

from __future__ import annotations

import csv
import io
import math
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.dataplane.tools import Analyzer
from bench.tuner.live import MODEL
from bench.tuner.rivals import ramp
from bench.tuner.rivals.ramp import Step
from bench.tuner.rivals.space import Outcome

WINDOWS: Final = 3
"""Of perf_analyzer, which it merges; fewer it does not take."""
SAMPLES: Final = 300
"""Requests that a 99th percentile is made of, at least (`api.observation.least`: 299)."""
LONGEST: Final = 120.0
"""Seconds for one run of perf_analyzer."""
BEGINNING: Final = 0.75
"""Of what a closed loop gave: the ramp's first rate."""


@dataclass(frozen=True)
class Line:
    """A line of perf_analyzer's CSV."""

    throughput: float
    """Inferences a second."""
    latency: float
    """99th percentile, seconds."""


def lines(text: str) -> list[Line]:
    """Return the lines of perf_analyzer's CSV (`-f`). Pure.

    Raises
    ------
    ValueError
        If it is not that.
    """
    try:
        return [
            Line(float(row["Inferences/Second"]), float(row["p99 latency"]) * 1e-6)
            for row in csv.DictReader(io.StringIO(text))
        ]
    except (KeyError, TypeError):
        raise ValueError(f"not perf_analyzer's CSV: {text[:200]!r}") from None


@dataclass(frozen=True)
class Load:
    """perf_analyzer, one image a request, on the model as it is served just now."""

    analyzer: Analyzer
    address: str
    """host:port of Triton's gRPC."""
    home: Path

    def closed(self, flights: int, seconds: float) -> Outcome:
        """Keep so many requests in flight."""
        line = self._run(["--concurrency-range", str(flights)], seconds)
        return Outcome(line.throughput, line.latency) if line else Outcome(0.0, math.inf, 1)

    def open(self, rate: float, seconds: float) -> Step:
        """Send `rate` requests a second with exponential gaps, however long the answers take."""
        arrivals = ["--request-rate-range", f"{rate:.2f}", "--request-distribution", "poisson"]
        line = self._run(arrivals, max(seconds, SAMPLES / rate))
        return Step(rate, line.throughput, line.latency) if line else Step(rate, 0.0, math.inf, 1)

    def ramp(self, flights: int, bound: float, seconds: float, say: Callable[[str], None]) -> tuple[Step, ...]:
        """Raise the rate until the bound breaks, each rate for so many seconds, and return all steps."""
        lowest = max(1.0, BEGINNING * self.closed(flights, seconds).throughput)
        steps: list[Step] = []
        while (rate := ramp.following(steps, lowest, bound)) is not None:
            steps.append(self.open(rate, seconds))
            say(f"    {rate:7.1f}/s offered, {steps[-1].answered:7.1f} answered, p99 {steps[-1].latency * 1e3:6.1f} ms")
        return tuple(steps)

    def _run(self, load: list[str], seconds: float) -> Line | None:
        """Return what perf_analyzer found; None: it did not get through, because a request failed or none came back."""
        out = self.home / "perf_analyzer.csv"
        out.unlink(missing_ok=True)
        command = [
            str(self.analyzer.binary), "-m", MODEL, "-u", self.address, "-i", "grpc", "--async", *load,
            "--measurement-mode", "time_windows", "-p", str(max(100, round(seconds * 1e3 / WINDOWS))), "-s", "999",
            "--percentile", "99", "-f", str(out),
        ]  # fmt: skip
        try:
            subprocess.run(
                command, env=self.analyzer.environment, capture_output=True, check=False, timeout=LONGEST,
                cwd=self.home,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        found = lines(out.read_text()) if out.exists() else []
        return found[0] if found else None
