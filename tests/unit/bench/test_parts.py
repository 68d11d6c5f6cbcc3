"""What the parts of the benchmark conclude from their figures, and what they are asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from bench.dataplane import __main__ as command
from bench.dataplane import cpu, ks20, models, processes, site
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

STREAM = [
    {"in_flight": 1, "rate": 120.0, "p99_ms": 7.0},
    {"in_flight": 2, "rate": 170.0, "p99_ms": 9.0},
    {"in_flight": 3, "rate": 175.0, "p99_ms": 16.0},
]
GOOD = {
    "case": "30 cameras",
    "count": 30,
    "slower": 1.0,
    "utilisation": 0.5,
    "skipped": 0.001,
    "growth": 0.0,
    "degraded": 0,
    "limit": "none",
}
MOST = {**GOOD, "count": 35, "skipped": 0.2, "skipped_late": 0.02, "unequal": 0.01, "moves": 3}


def test_go2rtc_counts_for_ours_alone_and_triton_for_all() -> None:
    used = {"agent": 0.2, "agent/ffmpeg": 0.5, "go2rtc": 0.1, "triton": 0.3, "triton/stub": 0.4}
    ours, theirs = (cpu.figures(name, used, frames=50, seconds=10.0) for name in ("ours", "ffmpeg_pipe"))
    assert ours["cores"] == pytest.approx(0.8)
    assert theirs["cores"] == pytest.approx(0.7)
    assert (ours["whole"], theirs["whole"]) == (pytest.approx(1.5), pytest.approx(1.4))
    assert (ours["rate"], ours["process:agent/ffmpeg"]) == (5.0, 0.5)


class Slow:
    """35 cameras of which one more delivers every so many seconds of a clock that only waiting moves."""

    def __init__(self, every: float, most: int = 35) -> None:
        self.now, self._every, self._most = 0.0, every, most

    def done(self) -> tuple[int, int]:
        return min(self._most, int(self.now / self._every)), 35

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def wait(self) -> None:
        site.progress("all", self.done, limit=cpu.STARTS, clock=lambda: self.now, pause=self.pause)


def test_a_start_is_waited_for_beyond_any_patience_as_long_as_it_goes_on() -> None:
    slow = Slow(every=4.0)
    slow.wait()
    assert slow.now == pytest.approx(140, abs=1)


@pytest.mark.parametrize(
    ("every", "most", "ends"),
    [(6.0, 35, cpu.STARTS), (1.0, 20, 20 + site.PATIENCE), (1000.0, 35, site.PATIENCE)],
)
def test_a_start_that_stands_still_or_takes_too_long_is_given_up(every: float, most: int, ends: float) -> None:
    slow = Slow(every, most)
    with pytest.raises(TimeoutError, match=f"all: {slow_done(every, most, ends)} of 35"):
        slow.wait()
    assert slow.now == pytest.approx(ends, abs=1)


def slow_done(every: float, most: int, ends: float) -> int:
    return min(most, int(ends / every))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"contender": "ours", "cameras": 35, "rate": 175.0, "cores": 1.1, "against_ours": 1.0}, ""),
        ({"contender": "ours", "cameras": 35, "rate": 175.0, "cores": 1.3, "against_ours": 1.0}, "1.30 cores"),
        ({"contender": "ours", "cameras": 8, "rate": 20.0, "cores": 0.1, "against_ours": 1.0}, "20.0 frames/s"),
        ({"contender": "opencv_http", "cameras": 8, "rate": 40.0, "cores": 0.1, "against_ours": 0.9}, "0.9 times"),
        ({"contender": "opencv_http", "cameras": 8, "rate": 40.0, "cores": 0.1, "against_ours": 1.2}, ""),
        ({"contender": "ffmpeg_http", "cameras": 8, "rate": 40.0, "cores": 0.1, "against_ours": 1.0}, "1.0 times"),
        ({"contender": "ffmpeg_pipe", "cameras": 8, "rate": 40.0, "cores": 0.1, "against_ours": 0.7}, ""),
    ],
)
def test_less_work_more_cpu_and_a_cheaper_rival_are_said(row: dict, said: str) -> None:
    found = cpu.missed(row)
    assert (said in found[0] and len(found) == 1) if said else found == []


def test_one_stream_is_judged_where_the_device_gets_what_it_takes() -> None:
    assert ks20.missed(STREAM, [GOOD]) == []
    slow = [{**row, "p99_ms": row["p99_ms"] + 2.0} for row in STREAM]
    assert ks20.missed(slow, [GOOD]) == ["one stream: p99 11.00 ms, goal 10.0 ms"]


@pytest.mark.parametrize(
    ("key", "value"), [("utilisation", 0.81), ("skipped", 0.02), ("growth", 0.2), ("degraded", 29)]
)
def test_each_promise_of_thirty_cameras_is_judged(key: str, value: float) -> None:
    (found,) = ks20.missed(STREAM, [{**GOOD, key: value}])
    assert f"{key} {value}" in found
    assert len(ks20.missed(STREAM, [{**GOOD, key: value, "count": 12, "slower": 2.5}])) == 1, "scaled down as well"


@pytest.mark.parametrize(
    ("key", "value"), [("skipped_late", 0.06), ("unequal", 0.06), ("unequal", None), ("growth", 0.2), ("moves", 0)]
)
def test_thirty_five_cameras_may_lose_frames_by_the_ladder_and_not_by_chance(key: str, value: float | None) -> None:
    assert ks20.missed(STREAM, [MOST]) == []
    assert len(ks20.missed(STREAM, [{**MOST, key: value}])) == 1


@pytest.mark.parametrize("served", [models.Served("any", 2, 8, 4.0, 2.0), models.Served("any", emulated=True)])
def test_triton_and_the_data_plane_are_told_of_the_same_model(served: models.Served) -> None:
    config = text_format.Parse(served.config, model_config_pb2.ModelConfig())
    seen = served.seen
    assert (config.name, config.max_batch_size) == (seen.name, seen.max_batch_size)
    assert config.instance_group[0].count == served.instances
    for told, known in zip((*config.input, *config.output), (*seen.inputs, *seen.outputs), strict=True):
        assert (told.name, tuple(told.dims)) == (known.name, known.dims)
        assert model_config_pb2.DataType.Name(told.data_type) == f"TYPE_{known.data_type}"
    assert served.model().preparation.layout.shape(640, 360) == models.IMAGE.dims


def test_the_cpu_of_a_child_is_told_apart_from_its_parents() -> None:
    code = "sum(range(3_000_000)); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        used = processes.snapshot({"us": os.getpid()}).used
        child.communicate(b"\n")
    (name,) = {name for name, pid in used if pid == child.pid}
    assert name.startswith("us/python")
    assert used[name, child.pid] > 0.0
    assert used["us", os.getpid()] > 0.0


def test_parts_are_chosen_by_name_and_all_without_one() -> None:
    assert command.options(["cpu", "ks20", "--duration", "600"]).parts == ["cpu", "ks20"]
    assert command.options([]).parts == []
    with pytest.raises(SystemExit):
        command.options(["gpu"])
