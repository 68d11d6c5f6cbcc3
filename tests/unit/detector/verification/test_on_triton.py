"""The real program against a real tritonserver: what it finds out of a device that is known.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.calibration import tritonserver

from edgedetector.api import names
from edgedetector.api.dataplane import AcceleratorMetric, DetectorConfig, ModelServing, ServingConfig
from edgedetector.api.verification import DriverLabel, Finding, Report, Task
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths, Repository
from edgedetector.detector.verification.program import Pace, verify

pytestmark = pytest.mark.tritonserver

PACE = Pace(quiet=3.0, settle=0.5, rest=1.0)
CONFIG = """
name: "people" backend: "dlnne" max_batch_size: 8 default_model_filename: "people.engine"
input [ {{ name: "images" data_type: TYPE_FP16 dims: [ 3, 64, 64 ] }} ]
output [ {{ name: "output0" data_type: TYPE_FP32 dims: [ 84, 200 ] }},
         {{ name: "names" data_type: TYPE_STRING dims: [ 1 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_MODEL }} ]
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
"""
ENGINE = json.dumps({"emulatedEngine": {"precision": "fp16", "maxBatch": 8}})
METRICS = (
    AcceleratorMetric("utilization", "DCGM_FI_DEV_GPU_UTIL", 0.01),
    AcceleratorMetric("memoryUsed", "DCGM_FI_DEV_FB_USED", 1e6),
    AcceleratorMetric("memoryTotal", "DCGM_FI_DEV_FB_TOTAL", 1e6),
    AcceleratorMetric("power", "NOT_SERVED", 1.0),
)


def prepared(home: Path, config: str = CONFIG) -> Paths:
    """The volumes of the Job's pod after its init step; the specification asks for three instances."""
    paths = Paths.under(home)
    for directory in (paths.serving, paths.detector, paths.models, paths.sources / "people", paths.run, home / "dev"):
        directory.mkdir(parents=True)
    (paths.sources / "people" / "people.engine").write_text(ENGINE)
    serving = ModelServing("people", 3, (), 8, 100, config.format(instances=3), {"1/people.engine": "people.engine"})
    (paths.serving / names.FILE_ACCEPTED).write_text(to_json(ServingConfig("one", (serving,))))
    assert prepare(paths) == 0
    return paths


@contextlib.contextmanager
def card(home: Path, paths: Paths, *settings: str) -> Iterator[str]:
    """Triton and its emulated device; yields the exporter's URL."""
    with (
        tritonserver.emulated_device(home, *settings) as device,
        tritonserver.running(
            tritonserver.prepare(),
            home,
            paths.models,
            "--disable-auto-complete-config",
            "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin="
            + (paths.run / names.FILE_ADMIN_KEY).read_text(),
            environment={"EMULATED_ACCELERATOR_ADDRESS": device},
        ) as server,
    ):
        config = DetectorConfig("yard", "site", 1, triton_url=server.grpc, media_url="")
        (paths.detector / names.FILE_DETECTOR).write_text(to_json(config))
        yield f"http://{device}/metrics"


def outcome(home: Path, paths: Paths, exporter: str) -> tuple[int, Report]:
    """Run the program; returns its exit code and its last words."""
    task = Task("now", "basis", exporter, METRICS, DriverLabel("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DRIVER_VERSION"))
    words = home / names.FILE_TERMINATION_LOG
    code = verify(paths, {names.VARIABLE_VERIFICATION: to_json(task)}, words, PACE)
    assert len(words.read_bytes()) <= 4096
    return code, from_json(Report, words.read_text())


def by_name(found: tuple[Finding, ...]) -> dict[str, Finding]:
    return {one.name: one for one in found}


def test_a_card_is_found_out(tmp_path: Path) -> None:
    """Triton 24.10 changes instances in place, and reloads for anything else."""
    paths = prepared(tmp_path)
    with card(tmp_path, paths) as exporter:
        code, report = outcome(tmp_path, paths, exporter)
    print(json.dumps(json.loads(to_json(report)), indent=1))
    assert (code, report.failure, report.request, report.basis) == (0, "", "now", "basis")
    assert report.triton.startswith("2.")
    assert report.driver.startswith("EMULATED")
    found = by_name(report.capabilities)
    assert found["instanceChangeInPlace"].verified
    assert found["instanceChangeInPlace"].evidence.startswith("in place: 1 -> 2 -> 4 -> 2 (")
    assert "; 0 of " in found["instanceChangeInPlace"].evidence
    assert found["coexistingReload"].verified, "the reload of everything is told from a change in place"
    assert "; memory " in found["coexistingReload"].evidence
    assert (found["sharedMemory"].supported, found["memoryKnown"].supported) == (True, True)
    assert found["nonRoot"].verified == (os.geteuid() != 0)
    metrics = by_name(report.metrics)
    assert {name for name, one in metrics.items() if one.supported} == {"utilization", "memoryUsed", "memoryTotal"}
    assert metrics["power"].verified


def test_a_reload_is_told_from_a_change_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears beside a model makes 24.10 reload all of it where only the instances changed (ADR 1)."""
    paths, write, count = prepared(tmp_path), Repository.write_config, itertools.count()

    def with_another_file(self: Repository, model: str, config: str) -> None:
        (paths.models / model / "1" / f"note-{next(count)}").touch()
        write(self, model, config)

    monkeypatch.setattr(Repository, "write_config", with_another_file)
    with card(tmp_path, paths) as exporter:
        code, report = outcome(tmp_path, paths, exporter)
    found = by_name(report.capabilities)["instanceChangeInPlace"]
    assert (code, found.supported, found.verified) == (0, False, True)
    assert found.evidence.startswith("1 -> 2 -> 4 -> 2 by reload: ")


def test_a_number_that_does_not_fit_leaves_the_smaller_ones(tmp_path: Path) -> None:
    """A device with memory for three instances."""
    paths = prepared(tmp_path)
    with card(tmp_path, paths, "--set", "memory.total=1400.0") as exporter:
        code, report = outcome(tmp_path, paths, exporter)
    assert code == 0
    found = by_name(report.capabilities)
    change, reload = found["instanceChangeInPlace"], found["coexistingReload"]
    assert "2 -> 4 refused: " in change.evidence
    assert "out of memory" in change.evidence
    assert (change.verified, reload.verified) == (True, True)
    assert "1 instance of people" in reload.evidence


def test_what_does_not_fit_at_all_is_a_result_and_no_failure(tmp_path: Path) -> None:
    """A device with memory for one instance takes neither a second one nor a second copy."""
    paths = prepared(tmp_path)
    with card(tmp_path, paths, "--set", "memory.total=960.0") as exporter:
        code, report = outcome(tmp_path, paths, exporter)
    assert code == 0
    found = by_name(report.capabilities)
    assert not found["instanceChangeInPlace"].verified
    assert found["instanceChangeInPlace"].evidence.startswith("no change was made; 1 -> 2 refused: ")
    assert (found["coexistingReload"].supported, found["coexistingReload"].verified) == (False, True)
    assert "out of memory" in found["coexistingReload"].evidence


def test_a_model_that_does_not_load_leaves_words_and_a_failure(tmp_path: Path) -> None:
    paths = prepared(tmp_path)
    with card(tmp_path, paths, "--set", "memory.total=400.0") as exporter:
        code, report = outcome(tmp_path, paths, exporter)
    assert code == 1
    assert report.failure.startswith("model people does not load: ")
    assert "out of memory" in report.failure


def test_of_a_model_without_fixed_inputs_nothing_is_found_out(tmp_path: Path) -> None:
    paths = prepared(tmp_path, CONFIG.replace("dims: [ 3, 64, 64 ]", "dims: [ 3, -1, -1 ]"))
    code, report = outcome(tmp_path, paths, "")
    assert code == 1
    assert report.failure.startswith("no model takes inputs of fixed dims only")
