"""`trace` against the detector's own HTTP server; behind it a Triton of the tests' own, and once the real one."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.calibration import tritonserver
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.test_status import keys
from tests.unit.cli.worlds import ROOT, World, pod
from tests.unit.detector import realpod
from tests.unit.detector.faketriton import FakeTriton

from edgedetector.api import names
from edgedetector.api.trace import PARTS, Order, Trace, Traced
from edgedetector.cli import anatomy, render
from edgedetector.detector import web
from edgedetector.detector.tracer import Tracer

Run = Callable[..., Result]


@contextlib.contextmanager
def served(tracer: Tracer | None) -> Iterator[str]:
    server = web.public(
        ("127.0.0.1", 0),
        state=lambda: "",
        observation=lambda: "",
        exposition=lambda: b"",
        greet=lambda _address, _text: "",
        tracer=tracer,
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    stop.set()
    thread.join()


@pytest.fixture
def triton(world: World, tmp_path: Path) -> Iterator[FakeTriton]:
    found = FakeTriton(tmp_path / "trace")
    with served(Tracer(found, tmp_path / "tracing", file=str(found.file), sleep=lambda _: None)) as world.url:
        yield found


@pytest.mark.usefixtures("triton")
def test_the_picture_has_each_part_behind_the_one_before(world: World, run: Run) -> None:
    result = run("trace", "yard", "--requests", "5")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "site/yard  pod yard-triton-1, 5 of 5 requests traced"
    assert "people  5 requests, p50 19.00 ms, p99 19.00 ms" in lines
    parts = [line for line in lines if "%" in line]
    assert [line.split("  ")[1] for line in parts] == list(anatomy._SAID.values())
    assert "queue 3.00 ms 16%" in " ".join(result.output.split())
    starts = [len(line) - len(line.partition("%")[2].lstrip()) for line in parts]
    assert starts == sorted(starts)
    assert world.forwarded == [("site", "yard-triton-1", names.PORT_DETECTOR)]


@pytest.mark.usefixtures("triton")
def test_json_has_what_the_picture_is_of(run: Run) -> None:
    found = json.loads(run("trace", "yard", "--requests", "5", "-o", "json").output)

    assert (found["kind"], found["namespace"], found["name"], found["pod"]) == (
        "Trace",
        "site",
        "yard",
        "yard-triton-1",
    )
    assert (found["wanted"], found["traced"], found["cut"], found["notSeen"]) == (5, 5, "", [])
    text = (ROOT / "docs/cli.md").read_text()
    assert {name for name in keys(found) if f"`{name}`" not in text and f"`{name}[]`" not in text} == set()
    (model,) = found["models"]
    assert {key: model[key] for key in ("name", "requests", "p50", "p99")} == {
        "name": "people", "requests": 5, "p50": 0.019, "p99": 0.019,
    }  # fmt: skip
    assert [one["part"] for one in model["parts"]] == list(PARTS)
    assert sum(one["share"] for one in model["parts"]) == pytest.approx(1, abs=0.001)


def test_who_asks_is_told_to_the_pod_and_verbose_is_asked_for(triton: FakeTriton, run: Run) -> None:
    result = run("trace", "yard", "--requests", "1", "--verbose", "-o", "json")

    assert "@" in json.loads(result.output)["by"]
    assert triton.calls.count(1) == 1
    assert triton.level == 0


@pytest.mark.usefixtures("triton")
def test_a_verbose_log_is_told_where_it_is(run: Run) -> None:
    output = run("trace", "yard", "--requests", "1", "--verbose").output

    assert "kubectl -n site logs yard-triton-1 -c triton --since-time=" in output


def test_no_requests_are_told_with_what_may_be_the_matter(triton: FakeTriton, run: Run) -> None:
    triton.comes = 0

    result = run("trace", "yard", "--seconds", "1")

    assert "0 of 100 requests traced; no more requests came within 1 s" in result.output
    assert "are its cameras live?" in result.output


def test_a_pod_that_traces_for_somebody_else_is_one_line(triton: FakeTriton, world: World, run: Run) -> None:
    triton.comes = 0
    started, ends = threading.Event(), threading.Event()

    def gone() -> bool:
        started.set()
        return ends.wait(60)

    tracer = Tracer(triton, triton.file.with_name("tracing"), file=str(triton.file))
    first = threading.Thread(target=tracer.trace, args=(Order(5, by="ann@laptop"), gone))
    first.start()
    assert started.wait(60)
    with served(tracer) as world.url:
        result = run("trace", "yard")
    ends.set()
    first.join()

    assert result.exit_code == 2
    assert result.output == "error: a trace of ann@laptop runs; it ends by itself, so try again; wait for its end\n"


def test_a_pod_of_a_former_release_says_what_to_upgrade(world: World, run: Run) -> None:
    with served(None) as world.url:
        result = run("trace", "yard")

    assert result.exit_code == 2
    assert "a release that cannot trace; upgrade the operator" in result.output


def test_a_pod_that_is_gone_is_one_line(world: World, run: Run) -> None:
    world.url = f"http://127.0.0.1:{tritonserver.free_port()}"

    result = run("trace", "yard")

    assert result.exit_code == 2
    assert "pod yard-triton-1 has ended the connection" in result.output
    assert "try again, or see" in result.output


def test_a_detector_without_a_ready_pod_is_told(world: World, run: Run) -> None:
    world.pods[0]["status"]["conditions"] = []

    result = run("trace", "yard")

    assert result.exit_code == 2
    assert "no inference pod of site/yard is ready; see `kubectl edgedetector status yard -n site`" in result.output
    assert world.forwarded == []


@pytest.mark.usefixtures("triton")
def test_another_pod_can_be_named(world: World, run: Run) -> None:
    world.pods.append(pod("yard-triton-2", "triton", ("triton", "detector")))

    assert run("trace", "yard", "--pod", "yard-triton-2", "--requests", "1").exit_code == 0
    assert world.forwarded == [("site", "yard-triton-2", names.PORT_DETECTOR)]
    result = run("trace", "yard", "--pod", "yard-media-1")
    assert result.exit_code == 2
    assert "there is: yard-triton-1, yard-triton-2" in result.output


@pytest.mark.parametrize("arguments", [("--requests", "0"), ("--requests", "1001"), ("--seconds", "121")])
def test_an_order_beyond_its_bounds_is_not_sent(world: World, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("trace", "yard", *arguments).exit_code == 2
    assert world.forwarded == []


SECONDS = st.fixed_dictionaries({part: st.floats(0, 10) for part in PARTS})


@given(requests=st.lists(st.builds(Traced, st.sampled_from(["people", "cars+pipeline"]), SECONDS), max_size=8))
def test_any_trace_can_be_drawn(requests: list[Traced]) -> None:
    found = anatomy.described(Trace("a", "b", 8, tuple(requests)), "p")
    lines = anatomy.picture({"namespace": "n", "name": "d", **found})

    text = render.text(lines)
    for model in found["models"]:
        assert model["name"] in text
        assert sum(one["share"] for one in model["parts"]) <= 1.001
        assert sum(one["p50"] >= 0 for one in model["parts"]) == len(PARTS)
    assert max(len(line) for line in text.splitlines()) <= 120


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), percent=st.integers(1, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = anatomy.percentile(values, percent)

    assert found in values
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
    assert sum(one < found for one in values) * 100 < percent * len(values)


@pytest.mark.tritonserver
def test_requests_of_the_real_process_to_a_real_triton(world: World, run: Run, tmp_path: Path) -> None:
    """All of it but kubectl's port-forward."""
    trace = f"--trace-config=triton,file={tmp_path / 'trace'}"
    with (
        realpod.cameras(tmp_path / "cameras") as cameras,
        realpod.detector(tmp_path / "pod", cameras.url, "gate", "yard", arguments=(trace,)) as running,
    ):
        world.url = f"http://127.0.0.1:{running.port}"
        found = json.loads(run("trace", "yard", "--requests", "20", "--verbose", "-o", "json").output)

    assert (found["traced"], found["foreign"], found["cut"]) == (20, 0, "")
    (model,) = found["models"]
    assert model["name"] == "any"
    shares = {one["part"]: one["share"] for one in model["parts"]}
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)
    assert shares["network"] > 0
    assert shares["compute"] > 0
