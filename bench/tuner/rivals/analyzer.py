"""Triton Model Analyzer's quick search on a running server (remote mode), as its wheel has it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.dataplane.tools import Analyzer
from bench.tuner.live import MODEL
from bench.tuner.rivals import space
from bench.tuner.rivals.search import Search
from bench.tuner.rivals.space import Outcome

from edgedetector.tuning.window import Knobs

PACKAGES: Final = ("triton-model-analyzer==1.58.0",)
"""Apache-2.0. It brings the optuna that it was made with (MIT), which the TPE here uses, too."""
VERSION: Final = PACKAGES[0].partition("==")[2]
LONGEST: Final = 900.0
"""Seconds."""


@dataclass(frozen=True)
class Measurement:
    """A line of its table of inferences."""

    knobs: Knobs
    outcome: Outcome
    passing: bool


def settings(grpc: str, metrics: str, perf_analyzer: Path, home: Path, bound: float) -> dict[str, Any]:
    """Return its configuration file. Pure.

    All is as it comes, but for the bounds that everybody here has, and: no GPU is looked for, and neither the sweep of
    concurrencies that follows the search nor its reports are made, which cost time and do not change what it chose.
    """
    return {
        "profile_models": {
            MODEL: {
                "cpu_only": True,
                "objectives": ["perf_throughput"],
                "constraints": {"perf_latency_p99": {"max": round(bound * 1e3)}},
            }
        },
        "run_config_search_mode": "quick",
        "run_config_search_max_instance_count": max(space.INSTANCES),
        "run_config_search_max_model_batch_size": max(space.BATCHES),
        "concurrency_sweep_disable": True,
        "triton_launch_mode": "remote",
        "client_protocol": "grpc",
        "triton_grpc_endpoint": grpc,
        "triton_metrics_url": f"http://{metrics}/metrics",
        "perf_analyzer_path": str(perf_analyzer),
        "dcgm_disable": True,
        "skip_detailed_reports": True,
        "output_model_repository_path": str(home / "variants"),
        "override_output_model_repository": True,
        "checkpoint_directory": str(home / "checkpoints"),
        "export_path": str(home / "export"),
    }


def measurements(text: str) -> list[Measurement]:
    """Return the lines of its `metrics-model-inference.csv`. Pure.

    Raises
    ------
    ValueError
        If it is not that.
    """
    try:
        return [_measurement(row) for row in csv.DictReader(io.StringIO(text.strip()))]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"not Model Analyzer's table of inferences: {text[:400]!r}") from None


def _measurement(row: dict[str, str]) -> Measurement:
    instances = sum(int(part.partition(":")[0]) for part in row["Instance Group"].split("+"))
    knobs = space.nearest(instances, int(row["Max Batch Size"]), 0)
    outcome = Outcome(float(row["Throughput (infer/sec)"]), float(row["p99 Latency (ms)"]) * 1e-3)
    return Measurement(knobs, outcome, row["Satisfies Constraints"].strip() == "Yes")


def chosen(found: list[Measurement]) -> Knobs:
    """Return what it says is best: the most throughput of those that keep its constraint, else the lowest latency.

    Raises
    ------
    ValueError
        If it measured nothing.
    """
    if not found:
        raise ValueError("Model Analyzer measured nothing")
    passing = [one for one in found if one.passing]
    if passing:
        return max(passing, key=lambda one: one.outcome.throughput).knobs
    return min(found, key=lambda one: one.outcome.latency).knobs


def search(python: Path, perf_analyzer: Analyzer, *, grpc: str, metrics: str, home: Path, bound: float) -> Search:
    """Run its quick search on the model as it is served now, and return what it chose.

    Raises
    ------
    RuntimeError
        With the end of what it said, if it came to nothing.
    """
    home.mkdir()
    for name in ("checkpoints", "export"):
        (home / name).mkdir()
    (home / "settings.yaml").write_text(json.dumps(settings(grpc, metrics, perf_analyzer.binary, home, bound)))
    command = [str(python.with_name("model-analyzer")), "profile", "--config-file", str(home / "settings.yaml")]
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    with (home / "log").open("wb") as sink:
        try:
            subprocess.run(
                command, cwd=home, env={**perf_analyzer.environment, "PATH": path}, stdout=sink, stderr=sink,
                check=False, timeout=LONGEST,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not within {LONGEST:.0f} s: {_end(home)}") from None
    table = home / "export" / "results" / "metrics-model-inference.csv"
    if not table.exists():
        raise RuntimeError(_end(home))
    found = measurements(table.read_text())
    tried = {one.knobs: one.outcome for one in found}
    return Search(chosen(found), len(found), note="quick search", tried=tried)


def _end(home: Path) -> str:
    return (home / "log").read_text(errors="replace")[-1500:]
