"""`bench` against the detector's own HTTP server; behind it a bench that says what it is told to, and the real one."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from bench.calibration import tritonserver
from click.testing import Result
from tests.unit.cli.test_status import keys
from tests.unit.cli.worlds import ROOT, World, observation, pod
from tests.unit.detector import realpod

from edgedetector.api import names
from edgedetector.api.bench import Bench, Order, Served, Step
from edgedetector.api.observation import BatchCounters, Observation
from edgedetector.cli import headroom
from edgedetector.detector import web
from edgedetector.detector.bench import BenchRefusedError
from edgedetector.detector.measuring import BusyError

Run = Callable[..., Result]

STEPS = (
    Step(0, 4.0, 40, 0.0, 10.0, 0.008, 0.009, 0.010),
    Step(1, 4.0, 400, 100.0, 10.0, 0.009, 0.010, 0.012),
    Step(2, 4.0, 480, 120.0, 10.0, 0.016, 0.018, 0.055),
)


def later(one: Observation, **changes: Any) -> Observation:
    """Ten seconds later: executions of 8 ms, one after the other without a pause."""
    (model,) = one.models
    count, nanoseconds = 1250, 1_000_000
    model = replace(
        model,
        images=model.images + count,
        executions=model.executions + count,
        requests=model.requests + count,
        request=model.request + count * 9 * nanoseconds,
        batches=tuple(
            BatchCounters(
                batch.size, batch.executions + count, batch.compute_input + count * nanoseconds // 2,
                batch.compute_infer + count * 7 * nanoseconds, batch.compute_output + count * nanoseconds // 2,
            )
            for batch in model.batches
        ),
    )  # fmt: skip
    return replace(one, at=one.at + 10.0, models=(model,), **changes)


BEFORE = replace(observation(), measurements=1)
FOUND = Bench(
    "2026-11-23T12:00:00.000+00:00", "2026-11-23T12:00:12.000+00:00", "p99 was 55 ms, above 50 ms", STEPS, 0.05,
    models={"people": Served(1, 32)}, before=BEFORE, after=later(BEFORE),
)  # fmt: skip


@dataclass
class Said:
    """A bencher that says what it is told to."""

    found: Bench | Exception = FOUND
    orders: list[Order] = field(default_factory=list)

    def bench(self, order: Order, _gone: Callable[[], bool]) -> Bench:
        self.orders.append(order)
        if isinstance(self.found, Exception):
            raise self.found
        return replace(self.found, by=order.by)


@contextlib.contextmanager
def served(bencher: Any) -> Iterator[str]:
    server = web.public(
        ("127.0.0.1", 0),
        state=lambda: "",
        observation=lambda: "",
        exposition=lambda: b"",
        greet=lambda _address, _text: "",
        bencher=bencher,
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    stop.set()
    thread.join()


@pytest.fixture
def bencher(world: World) -> Iterator[Said]:
    found = Said()
    with served(found) as world.url:
        yield found


@pytest.mark.usefixtures("bencher")
def test_each_step_is_a_line_and_the_bottleneck_is_said(world: World, run: Run) -> None:
    result = run("bench", "yard")

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[0] == "site/yard pod yard-triton-1, 110 frames/s in all with p99 within 50.0 ms"
    assert "none 0.0 10.0 8.0 ms 9.0 ms 10.0 ms 40" in lines
    assert "2 120.0 10.0 16.0 ms 18.0 ms 55.0 ms 480" in lines
    assert "ended: p99 was 55 ms, above 50 ms" in lines
    assert any(line.startswith("bottleneck: ") for line in lines)
    assert world.forwarded == [("site", "yard-triton-1", names.PORT_DETECTOR)]


@pytest.mark.usefixtures("bencher")
def test_json_is_what_is_documented(run: Run) -> None:
    found = json.loads(run("bench", "yard", "-o", "json").output)

    assert (found["kind"], found["namespace"], found["name"], found["pod"]) == (
        "Bench",
        "site",
        "yard",
        "yard-triton-1",
    )
    assert (found["throughput"], found["limit"], found["percentile"]) == (110.0, 0.05, 99)
    assert found["steps"][1] == {
        "concurrency": 1, "seconds": 4.0, "requests": 400, "throughput": 100.0, "cameras": 10.0,
        "p50": 0.009, "p90": 0.01, "p99": 0.012,
    }  # fmt: skip
    text = (ROOT / "docs/cli.md").read_text()
    assert {name for name in keys(found) if f"`{name}`" not in text and f"`{name}[]`" not in text} == set()
    classes = text.partition("`bottleneck` with `class`")[2].partition(")")[0]
    assert f"`{found['bottleneck']['class']}`" in classes


def test_the_load_counts_as_demand_and_a_measurement_as_no_disturbance() -> None:
    seen = headroom.loaded(FOUND)

    assert seen.disturbed == ""
    model = seen.models["people"]
    assert model.rate == pytest.approx(125.0)
    assert (model.demand, model.offered) == (model.rate, model.rate)
    assert model.busy == pytest.approx(1.0)
    assert model.latency == 0.055


def test_full_instances_are_the_bottleneck_of_what_they_hold_up(world: World, bencher: Said, run: Run) -> None:
    bencher.found = FOUND
    told = json.loads(run("bench", "yard", "-o", "json").output)["bottleneck"]

    assert told["class"] in {"ModelCompute", "Scheduling", "Link"}, told
    assert told["remedy"]
    assert world.forwarded


@pytest.mark.parametrize(
    ("after", "words"),
    [(None, "no step lasted"), (later(BEFORE, moves=BEFORE.moves + 1), "the degradation ladder moved"),
     (replace(later(BEFORE), models=()), "Triton did not answer")],
)  # fmt: skip
def test_where_no_window_tells_the_bottleneck_that_is_said(
    bencher: Said, run: Run, after: Observation | None, words: str
) -> None:
    bencher.found = replace(FOUND, after=after)

    told = json.loads(run("bench", "yard", "-o", "json").output)["bottleneck"]

    assert told["class"] == "Unknown"
    assert words in told["message"]


@pytest.mark.parametrize(("written", "latency"), [({"max": "70ms", "percentile": 95}, 0.07), ({}, None)])
def test_the_objective_is_sent_where_one_is_stated(
    world: World, bencher: Said, run: Run, written: dict[str, Any], latency: float | None
) -> None:
    world.detector["spec"]["tuning"]["objective"] = {"latency": written}

    assert run("bench", "yard", "--seconds", "7", "--concurrency", "3").exit_code == 0

    (order,) = bencher.orders
    assert (order.seconds, order.frames, order.latency) == (7.0, 3, latency)
    assert order.percentile == written.get("percentile", 99)
    assert "@" in order.by


@pytest.mark.parametrize(
    ("error", "words"),
    [(BusyError("a bench of ann runs"), "a bench of ann runs; wait for its end"),
     (BenchRefusedError("no frame was inferred"), "no frame was inferred; see `kubectl edgedetector status`")],
)  # fmt: skip
def test_what_the_pod_refuses_is_one_line(bencher: Said, run: Run, error: Exception, words: str) -> None:
    bencher.found = error

    result = run("bench", "yard")

    assert result.exit_code == 2
    assert result.output == f"error: {words}\n"


def test_a_pod_of_a_former_release_says_what_to_upgrade(world: World, run: Run) -> None:
    with served(None) as world.url:
        result = run("bench", "yard")

    assert result.exit_code == 2
    assert "a release that cannot bench; upgrade the operator" in result.output


def test_a_pod_that_is_gone_is_one_line(world: World, run: Run) -> None:
    world.url = f"http://127.0.0.1:{tritonserver.free_port()}"

    result = run("bench", "yard")

    assert result.exit_code == 2
    assert "pod yard-triton-1 has ended the connection" in result.output
    assert "the bench ends by itself" in result.output


@pytest.mark.parametrize(
    "arguments", [("--seconds", "4"), ("--seconds", "121"), ("--concurrency", "0"), ("--concurrency", "65")]
)
def test_an_order_beyond_its_bounds_is_not_sent(world: World, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("bench", "yard", *arguments).exit_code == 2
    assert world.forwarded == []


@pytest.mark.usefixtures("bencher")
def test_another_pod_can_be_named(world: World, run: Run) -> None:
    world.pods.append(pod("yard-triton-2", "triton", ("triton", "detector")))

    assert run("bench", "yard", "--pod", "yard-triton-2").exit_code == 0
    assert world.forwarded == [("site", "yard-triton-2", names.PORT_DETECTOR)]


@pytest.mark.tritonserver
def test_the_real_process_with_a_real_triton(world: World, run: Run, tmp_path: Path) -> None:
    """All of it but kubectl's port-forward."""
    world.detector["spec"]["tuning"]["objective"] = {"latency": {"max": "5s"}}
    with (
        realpod.cameras(tmp_path / "cameras") as cameras,
        realpod.detector(tmp_path / "pod", cameras.url, "gate", "yard") as running,
    ):
        world.url = f"http://127.0.0.1:{running.port}"
        found = json.loads(run("bench", "yard", "--seconds", "8", "--concurrency", "2", "-o", "json").output)

    assert [one["concurrency"] for one in found["steps"]] == [0, 1, 2][: len(found["steps"])]
    assert found["stopped"]
    assert found["limit"] == 5.0
    assert found["bottleneck"]["message"]
