"""Requests traced by a real tritonserver, of both releases that are known: where their time went, and off again.

The first run installs both (140 MB each) in the cache.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from bench.calibration import tritonserver
from tests.unit.detector import realpod
from tritonclient.grpc.service_pb2 import ModelInferRequest

from edgedetector.api import trace
from edgedetector.api.trace import Order
from edgedetector.api.wire import to_json
from edgedetector.detector.measuring import BusyError
from edgedetector.detector.tracer import Left, Tracer, TraceRefusedError
from edgedetector.triton.client import Client

pytestmark = pytest.mark.tritonserver
PATIENCE = 60.0
KEY = "c4nary-of-the-key"
EXECUTION = 0.02
"""Seconds that the model sleeps."""
MODEL = realpod.MODEL.replace("import numpy", "import time\nimport numpy").replace(
    "        return [self", f"        time.sleep({EXECUTION})\n        return [self"
)


@dataclass
class Rig:
    """A Triton, and a thread that asks it for as long as it is told to."""

    server: tritonserver.Server
    client: Client
    tracer: Tracer
    home: Path
    busy: threading.Event = field(default_factory=threading.Event)
    answered: int = 0

    def ask(self) -> None:
        done = threading.Event()
        request = ModelInferRequest(model_name="any")
        request.inputs.add(name="image", datatype="UINT8", shape=[1, 48, 64, 3])
        request.raw_input_contents.append(np.zeros((48, 64, 3), np.uint8).tobytes())
        self.client.begin(request, lambda _result, _error: done.set(), timeout=PATIENCE)
        assert done.wait(PATIENCE)
        self.answered += 1

    def settings(self) -> dict[str, tuple[str, ...]]:
        return self.client.trace_settings()

    def trace(self, requests: int, seconds: float = PATIENCE, **more: bool) -> trace.Trace:
        return self.tracer.trace(Order(requests, seconds, **more), lambda: False)

    def left(self) -> list[str]:
        """What the next one would find: files, and a mark that something is on."""
        return [path.name for path in self.home.glob("trace*")]

    def verbose(self) -> bool:
        """Whether a request now leaves words in the log that it would not leave otherwise."""
        before = len(self.server.log.read_bytes())
        self.ask()
        return b"Process for ModelInferHandler" in self.server.log.read_bytes()[before:]


def until(what: str, good: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["0.7.0", "0.4.0"], ids=["24.10", "23.07"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server of each release, as its pod starts it. Module, since a start takes seconds."""
    home: Path = tmp_path_factory.mktemp("triton")
    version = home / "models" / "any" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(realpod.CONFIG)
    file = home / "trace"
    arguments = [f"--trace-config=triton,file={file}"] if request.param == "0.7.0" else []
    restricted = f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}"
    with (
        tritonserver.running(
            tritonserver.prepare(request.param), home, home / "models", restricted,
            "--disable-auto-complete-config", *arguments,
        ) as server,
        Client(server.grpc, key=KEY) as client,
    ):  # fmt: skip
        client.load("any")
        found = Rig(server, client, Tracer(client, home / "tracing", file=str(file)), home)
        ends = threading.Event()

        def drive() -> None:
            while not ends.is_set():
                if found.busy.wait(0.1):
                    found.ask()

        thread = threading.Thread(target=drive)
        thread.start()
        found.ask()
        yield found
        ends.set()
        thread.join()


@pytest.fixture
def load(rig: Rig) -> Iterator[None]:
    rig.busy.set()
    yield
    rig.busy.clear()


def off(rig: Rig) -> bool:
    return rig.settings()["trace_level"] == ("OFF",) and rig.left() == [] and not (rig.home / "tracing").exists()


@pytest.mark.usefixtures("load")
def test_the_parts_of_a_request_are_all_of_it(rig: Rig) -> None:
    began = time.monotonic()
    found = rig.trace(12)
    lasted = time.monotonic() - began

    assert (found.wanted, len(found.requests), found.foreign, found.incomplete, found.cut) == (12, 12, 0, 0, "")
    for one in found.requests:
        assert one.model == "any"
        assert set(one.seconds) == set(trace.PARTS)
        assert min(one.seconds.values()) >= 0
        assert EXECUTION * 0.9 < one.seconds[trace.COMPUTE] < one.total
        assert one.seconds[trace.NETWORK] > 0
    assert sum(one.total for one in found.requests) < lasted, "one after the other"
    assert off(rig)


@pytest.mark.usefixtures("load")
def test_one_trace_after_the_other_has_requests_of_its_own(rig: Rig) -> None:
    assert [len(rig.trace(count).requests) for count in (3, 1, 5)] == [3, 1, 5]


@pytest.mark.usefixtures("load")
def test_the_verbose_log_is_on_for_these_requests_alone_and_has_no_key(rig: Rig) -> None:
    assert not rig.verbose()
    before = len(rig.server.log.read_bytes())

    assert rig.trace(3, verbose=True).verbose

    written = rig.server.log.read_bytes()[before:]
    assert b"Process for ModelInferHandler" in written
    assert KEY.encode() not in written
    rig.busy.clear()
    assert not rig.verbose()


def test_without_requests_it_ends_when_its_time_is_over(rig: Rig) -> None:
    found = rig.trace(3, 0.3)

    assert found.requests == ()
    assert found.cut == "no more requests came within 0.3 s"
    assert off(rig)


def test_fewer_requests_than_were_wanted_are_told(rig: Rig) -> None:
    thread = threading.Thread(target=rig.ask)
    told = []

    def gone() -> bool:
        if not told:
            thread.start()
            thread.join()
        told.append(True)
        return True

    found = rig.tracer.trace(Order(50, PATIENCE), gone)

    assert len(found.requests) == 1
    assert found.cut == "who asked has gone"
    assert off(rig)


def test_requests_of_other_clients_are_counted_and_not_measured(rig: Rig) -> None:
    with Client(rig.server.grpc) as other:

        def gone() -> bool:
            image = np.zeros((1, 48, 64, 3), np.uint8)
            other.infer("any", {"image": image}, ["scores"], timeout=PATIENCE)
            return False

        found = rig.tracer.trace(Order(2, PATIENCE), gone)

    assert (found.foreign, found.requests) == (2, ())


def test_a_second_one_is_told_who_has_the_first(rig: Rig) -> None:
    started, ends, refused = threading.Event(), threading.Event(), []

    def gone() -> bool:
        started.set()
        return ends.wait(PATIENCE)

    thread = threading.Thread(target=rig.tracer.trace, args=(Order(5, PATIENCE, by="ann@laptop"), gone))
    thread.start()
    assert started.wait(PATIENCE)
    try:
        rig.trace(5)
    except BusyError as error:
        refused.append(str(error))
    ends.set()
    thread.join()

    assert refused == ["a trace of ann@laptop runs; it ends by itself, so try again"]
    assert off(rig)


def test_what_a_process_that_was_killed_left_on_is_switched_off(rig: Rig) -> None:
    rig.trace(1, 0.1)  # 23.07 is told its file then
    (rig.home / "tracing").write_text(to_json(Left(str(rig.home / "trace"), 0)))
    rig.client.set_verbosity(1)
    on = {"trace_rate": "1", "trace_count": "1000", "log_frequency": "1000"}
    rig.client.set_trace({"trace_level": ["TIMESTAMPS"], **on})
    assert rig.verbose()
    assert rig.client.verbosity() == 1

    stop = threading.Event()
    thread = threading.Thread(target=rig.tracer.run, args=(stop,))
    thread.start()
    until("it is switched off", lambda: not (rig.home / "tracing").exists())
    stop.set()
    thread.join()

    assert off(rig), "nor is anything left of what it traced"
    assert not rig.verbose()


@pytest.mark.usefixtures("load")
def test_a_log_that_was_verbose_stays_so(rig: Rig) -> None:
    rig.client.set_verbosity(1)
    try:
        assert len(rig.trace(2, verbose=True).requests) == 2
        assert rig.client.verbosity() == 1
    finally:
        rig.client.set_verbosity(0)
    assert rig.client.verbosity() == 0


def test_a_triton_that_traces_already_is_left_alone(rig: Rig) -> None:
    rig.client.set_trace({"trace_level": ["TIMESTAMPS"]})
    with pytest.raises(TraceRefusedError, match="traces requests already"):
        rig.trace(2)

    assert rig.settings()["trace_level"] == ("TIMESTAMPS",)
    rig.client.set_trace({"trace_level": ["OFF"]})


def test_triton_itself_stops_after_as_many(rig: Rig) -> None:
    """Whatever becomes of who asked for it."""
    rig.client.set_trace({"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "2", "log_frequency": "2"})
    for _ in range(4):
        rig.ask()

    assert rig.settings()["trace_count"] == ("0",)
    rig.client.set_trace({"trace_level": ["OFF"], "trace_rate": None, "trace_count": None, "log_frequency": None})
    for path in rig.home.glob("trace.*"):
        path.unlink()
