"""The node's processors and Triton's queues, from what they print."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import Accelerator, AcceleratorMetric
from edgedetector.detector.gauges import (
    Device,
    Gauges,
    Queued,
    Seen,
    Ticks,
    _added,
    busy,
    figures,
    queue_share,
    queued,
    ticks,
)

TEXT = """# HELP nv_inference_queue_duration_us Cumulative inference queuing duration in microseconds
nv_inference_queue_duration_us{model="a",version="1"} %d
nv_inference_queue_duration_us{model="b",version="1"} 50
nv_inference_request_duration_us{model="a",version="1"} %d
nv_inference_request_duration_us{model="b",version="1"} 50
nv_inference_exec_count{model="a",version="1"} 7
"""


def test_the_kernels_own_figures_are_understood() -> None:
    found = ticks(Path("/proc/stat").read_text())
    assert found is not None
    assert 0 < found.busy < found.total


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_share_is_one_of_the_time_that_passed(start: int, rest: int, worked: int, waited: int) -> None:
    before = Ticks(start, start + rest)
    now = Ticks(start + worked, start + rest + worked + waited)
    share = busy(before, now)
    assert share == (worked / (worked + waited) if worked + waited else None)


def test_the_line_of_all_processors_counts_and_iowait_is_idle() -> None:
    assert ticks("cpu0 9 9 9 9 9 9 9 9 9 9\ncpu 10 1 2 100 7 3 4 5 10 0\n") == Ticks(25, 132)
    assert ticks("intr 5\n") is None


def test_models_are_added_up_and_a_restart_says_nothing() -> None:
    before, now = queued(TEXT % (100, 200)), queued(TEXT % (400, 600))
    assert before == Queued(150.0, 250.0)
    assert queue_share(before, now) == 300 / 400
    assert queue_share(now, before) is None
    assert queue_share(now, now) is None


def test_an_ensembles_time_is_that_of_its_models_and_counts_once() -> None:
    line = 'nv_inference_%s_duration_us{model="a+pipeline",version="1"} 900\n'
    assert queued(TEXT % (100, 200) + line % "queue" + line % "request") == Queued(150.0, 250.0)


def test_it_asks_triton_and_knows_nothing_while_nobody_answers() -> None:
    figures = [(100, 200), (175, 300)]

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((TEXT % figures.pop(0)).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    gauges = Gauges(f"http://127.0.0.1:{server.server_port}/metrics")
    try:
        assert [gauges.queue_share(), gauges.queue_share()] == [None, 0.75]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert gauges.queue_share() is None
    assert Gauges("").queue_share() is None


DEVICES = """# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="a"} 84
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="a"} 61
"""
METRICS = (
    AcceleratorMetric("utilization", "DCGM_FI_DEV_GPU_UTIL", 0.01),
    AcceleratorMetric("temperature", "DCGM_FI_DEV_GPU_TEMP"),
)


def until(what: str, good: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


MEMORY = (
    AcceleratorMetric("memoryUsed", "USED", 1024.0),
    AcceleratorMetric("memoryFree", "FREE", 1024.0),
    AcceleratorMetric("pcieWidth", "WIDTH"),
)


def test_a_device_is_read_by_the_profiles_names_and_of_several_only_the_heat() -> None:
    assert figures(DEVICES, METRICS) == {"utilization": 0.84, "temperature": 61.0}
    two = DEVICES + 'DCGM_FI_DEV_GPU_UTIL{gpu="1"} 10\nDCGM_FI_DEV_GPU_TEMP{gpu="1"} 70\n'
    assert figures(two, METRICS) == {"temperature": 70.0}
    assert figures("", METRICS) == {}


def test_used_and_free_memory_are_all_of_it_unless_the_exporter_says_how_much_there_is() -> None:
    text = 'USED{gpu="0"} 3\nFREE{gpu="0"} 5\nWIDTH 4\n'
    assert figures(text, MEMORY) == {
        "memoryUsed": 3072.0,
        "memoryFree": 5120.0,
        "memoryTotal": 8192.0,
        "pcieWidth": 4.0,
    }
    total = AcceleratorMetric("memoryTotal", "ALL", 1024.0)
    assert figures(text + "ALL 9\n", (*MEMORY, total))["memoryTotal"] == 9216.0
    assert "memoryTotal" not in figures("USED 3\n", MEMORY)


def test_a_figure_that_is_no_number_is_not_known_and_still_one_of_several() -> None:
    assert figures("USED NaN\nFREE 5\nWIDTH +Inf\n", MEMORY) == {"memoryFree": 5120.0}
    assert figures('USED{gpu="0"} NaN\nUSED{gpu="1"} 3\n', MEMORY) == {}


@given(told=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.just(2.0**64) | st.floats(0, 1)))
def test_whatever_an_exporter_shows_the_mean_of_its_shares_stays_one(told: list[float]) -> None:
    seen = Seen()
    for value in told:
        seen = _added(seen, {"utilization": value})
    assert 0 <= seen.utilizations <= 1.05 * seen.looks
    after = _added(seen, {"utilization": 0.5})
    assert after.utilizations - seen.utilizations == pytest.approx(0.5)


def test_an_exporter_is_asked_now_and_then_and_nobody_waits_for_it() -> None:
    asked, free = list[str](), threading.Event()

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            free.wait(30)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(DEVICES.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    gauges, known = Gauges(""), Accelerator(f"http://127.0.0.1:{server.server_port}/metrics", METRICS)
    try:
        assert [gauges.device(known, now) for now in (100.0, 101.0, 101.9)] == [Device()] * 3
        free.set()
        until("an answer", lambda: gauges.device(known, 101.9) == Device(0.84, 61.0))
        assert asked == ["/metrics"]
        gauges.device(known, 106.0)
        until("another answer", lambda: gauges.seen(106.0).looks == 2)
        assert len(asked) == 2
        assert gauges.seen(106.0) == Seen({"utilization": 0.84, "temperature": 61.0}, 2, 1.68)
    finally:
        free.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert gauges.device(known, 130.0) == Device(), "what is old is not known"
    assert gauges.seen(130.0) == Seen({}, 2, 1.68), "what was counted is"
    assert gauges.device(Accelerator(), 122.0) == Device()


def test_a_node_that_does_not_say_is_not_known() -> None:
    def broken() -> str:
        raise OSError

    lines = iter(["cpu 1 0 0 9 0 0 0 0\n", "cpu 6 0 0 14 0 0 0 0\n"])
    gauges = Gauges("", stat=lambda: next(lines))
    assert [gauges.host_cpu(), gauges.host_cpu()] == [None, 0.5]
    assert Gauges("", stat=broken).host_cpu() is None
