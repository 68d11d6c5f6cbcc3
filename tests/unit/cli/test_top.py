"""`top`: what was between two looks; and in a real terminal, with a key pressed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import Result
from tests.unit.cli.test_ending import inherited
from tests.unit.cli.worlds import GIB, ROOT, World, metrics, observation

from edgedetector.api.observation import BatchCounters, bucket_of
from edgedetector.cli.errors import ForbiddenError

Run = Callable[..., Result]
PATIENCE = 120.0
AGE = bucket_of(0.02)


def moved(world: World) -> None:
    """Let two seconds pass: 20 images in 10 batches, each of 8 ms and half a millisecond in the queue."""

    def later() -> None:
        before = observation()
        model = before.models[0]
        batch = BatchCounters(1, 10_010, 10_010 * 500_000, 10_010 * 7_000_000, 10_010 * 500_000)
        after = replace(
            model,
            images=model.images + 20,
            executions=model.executions + 10,
            requests=model.requests + 10,
            queue=model.queue + 10 * 500_000,
            offered=model.offered + 22,
            skipped=model.skipped + 2,
            batches=(batch,),
            ages={str(AGE): 400},
        )
        world.observations["yard-triton-1"] = replace(
            before, at=before.at + 2.0, models=(after,), host_busy=4004.0, host_total=8016.0, looks=2, utilizations=1.0
        )
        world.metrics["yard-triton-1"] = metrics(1010)

    world.later = later


def document(run: Run, *arguments: str) -> dict:
    result = run("top", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_rates_are_of_the_time_between_two_looks(world: World, run: Run) -> None:
    moved(world)

    found = document(run, "yard")

    assert (found["kind"], found["seconds"], found["notSeen"]) == ("Top", 2.0, [])
    (one,) = found["detectors"]
    assert (one["name"], one["state"], one["reason"]) == ("yard", "Ready", "Detecting")
    assert (one["tuning"]["mode"], one["tuning"]["phase"]) == ("Auto", "Converged")
    (model,) = one["models"]
    assert model == {
        "pod": "yard-triton-1", "name": "people", "demand": 10.0, "rate": 10.0, "offered": 11.0, "skipped": 1.0,
        "failed": 0.0, "batch": 2.0, "queue": 0.0005, "executing": 0.04, "p50": model["p50"], "p99": model["p99"],
    }  # fmt: skip
    assert model["p50"] == pytest.approx(0.02, rel=0.1)
    assert model["p50"] <= model["p99"]
    (device,) = one["devices"]
    assert device == {
        "pod": "yard-triton-1", "node": "box", "utilization": 0.5, "memoryUsed": 2.0 * GIB, "memoryTotal": 8.0 * GIB,
        "temperature": 60.0, "host": 0.25,
    }  # fmt: skip
    assert [camera["name"] for camera in one["cameras"]] == ["dock", "gate"]
    for camera in one["cameras"]:
        rates = [camera[key] for key in ("target", "read", "inferred", "skipped", "failed")]
        assert rates == [5.0, 5.0, 4.5, 0.5, 0.0]


def test_the_screen_has_cameras_models_device_and_tuner(world: World, run: Run) -> None:
    moved(world)

    shown = run("top", "yard", "--once").output

    words = [" ".join(line.split()) for line in shown.splitlines()]
    assert "site/yard Ready Detecting tuning Auto: Converged" in words
    assert "yard-triton-1 box 50% 2.1 GB 60 C 25%" in words
    assert any(line.startswith("people 10.0 10.0 1.0 0.0 2.0 0.5 ms 0.04 ") for line in words)
    assert "gate Live 5.0 5.0 4.5 0.5 0.0" in words


def test_a_pod_whose_counters_began_anew_has_no_figures_and_no_wrong_ones(world: World, run: Run) -> None:
    moved(world)
    later = world.later

    def restarted() -> None:
        later()
        found = world.observations["yard-triton-1"]
        world.observations["yard-triton-1"] = replace(found, epoch="2")
        world.metrics["yard-triton-1"] = metrics(3)

    world.later = restarted

    (one,) = document(run, "yard")["detectors"]
    assert {key for key, value in one["models"][0].items() if value is None} == {
        "rate", "offered", "skipped", "failed", "batch", "queue", "executing", "p50", "p99",
    }  # fmt: skip
    assert one["devices"][0]["host"] is None
    assert one["cameras"][0]["read"] is None
    assert "?" in run("top", "yard", "--once").output


def test_nothing_that_was_inferred_has_no_batch(run: Run) -> None:
    """The same observation twice: its pod has not looked again."""
    (model,) = document(run, "yard")["detectors"][0]["models"]

    assert (model["batch"], model["queue"], model["rate"]) == (None, None, None)


def test_pods_that_may_not_be_asked_are_told(world: World, run: Run) -> None:
    where = "/api/v1/namespaces/site/pods/yard-triton-1:9090/proxy/state"
    world.refused[where] = ForbiddenError("pods/proxy is forbidden")

    found = document(run)

    assert [gap["why"] for gap in found["notSeen"]] == ["pods/proxy is forbidden"]
    assert found["detectors"][0]["models"] == []
    assert found["detectors"][0]["cameras"][0]["read"] == 0.0, "its metrics may be asked"


def test_a_pod_that_does_not_run_is_not_asked(world: World, run: Run) -> None:
    world.pods[0]["status"]["phase"] = "Pending"

    found = document(run)

    assert found["notSeen"] == []
    assert [path for path in world.asked if "/pods/yard-triton-1:" in path] == []


def test_without_a_terminal_the_way_out_is_told(run: Run) -> None:
    result = run("top")

    assert result.exit_code == 2
    assert "this is no terminal; give --once, or -o json" in result.output


PROGRAM = """
from tests.unit.cli.worlds import World
from edgedetector.cli.app import Session
from edgedetector.cli.commands import main
from edgedetector.cli.server import Place
main(["top", "yard", "--interval", "1"], obj=Session(opened=lambda _c, _x: Place(World(), "site")))
"""


@pytest.mark.parametrize(("by", "code"), [("q", 0), ("SIGTERM", 128 + signal.SIGTERM), ("SIGHUP", 128 + signal.SIGHUP)])
def test_in_a_terminal_it_looks_again_until_q_or_a_signal_ends_it(by: str, code: int) -> None:
    """The terminal is as it was before, afterwards."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator"), str(ROOT / "tests" / "e2e")])
    variables = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with inherited(signal.SIG_DFL):
        running = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, env=variables
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(running)
        stack.callback(running.kill)  # where the test fails, too: what is left is waited for
        shown, pressed, deadline = "", False, time.monotonic() + PATIENCE
        while running.poll() is None:
            assert time.monotonic() < deadline, shown
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 65536).decode(errors="replace")
            if "q quits" in shown and "gate" in shown and not pressed:
                pressed = True
                os.write(ours, b"xq" if by == "q" else b"x")
                if by != "q":
                    running.send_signal(signal.Signals[by])
    after = termios.tcgetattr(theirs)
    for descriptor in (ours, theirs):
        os.close(descriptor)

    assert running.returncode == code, shown
    assert "people" in shown
    assert after == before
