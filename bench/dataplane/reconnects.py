"""1,000 sessions of a reader whose frames go through Triton: what the process holds before and after.

Two ways in which a session ends, in turns: the camera breaks off, and we leave (as when a camera is removed). A frame
of each goes through dispatcher and shared memory. Descriptors, threads and regions must be as many as before.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.dataplane import models, pipeline, site
from bench.dataplane.feeder import PATIENCE
from bench.dataplane.figures import Column, growth, table
from bench.dataplane.processes import Held, resident
from bench.media_topology import video

from edgedetector.detector.batching import Capacity, Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.reader import Reader
from edgedetector.triton.shared_memory import Regions

SERVED = models.Served("instant")
WARM = 10
"""Sessions before the first count: what is made once (gRPC's threads, the slots, scalers) is there by then."""
MEMORY = 0.10
"""Share by which the last quarter's resident memory may lie above the second's."""
_COLUMNS = (
    Column("what", "held", 12),
    Column("before", "before", 7, "d"),
    Column("after", "after", 7, "d"),
)


@dataclass(frozen=True)
class Counted:
    """What was held before and after `sessions`, and resident memory in between, in MiB."""

    sessions: int
    served: int
    ends: dict[str, int]
    before: Held
    after: Held
    memory: tuple[float, ...]
    cpu_ms: float
    """Of this process for each session."""


def run(*, sessions: int) -> dict[str, Any]:
    """Measure and print a table."""
    with ground() as (client, source):
        counted = measure(client, source, sessions)
    before, after = asdict(counted.before), asdict(counted.after)
    rows = [{"what": name, "before": before[name], "after": after[name]} for name in before]
    grown = growth(counted.memory)
    said = (
        f"{sessions} sessions ({counted.ends}), {counted.cpu_ms:.1f} ms CPU each; resident memory grew by {grown:.1%}"
    )
    print(table(_COLUMNS, rows), said, sep="\n", flush=True)
    missed = [f"{row['what']}: {row['before']} before, {row['after']} after" for row in rows if leaked(row)]
    if grown > MEMORY:
        missed.append(f"memory grew by {grown:.1%}")
    return {
        "sessions": sessions,
        "served": counted.served,
        "ends": counted.ends,
        "rows": rows,
        "memory_mib": [round(counted.memory[i], 1) for i in (0, len(counted.memory) // 2, -1)],
        "cpu_ms": round(counted.cpu_ms, 2),
        "missed": missed,
    }


def leaked(row: dict[str, Any]) -> bool:
    return bool(row["after"] > row["before"])


@contextlib.contextmanager
def ground() -> Iterator[tuple[Any, str]]:
    """Yield a client of a Triton with the model, and the URL of a camera that breaks off."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        video.main(home / "loop.h264")
        SERVED.write(home / "models")
        triton = stack.enter_context(site.triton(home, home / "models"))
        client = stack.enter_context(site.client(triton))
        client.load(SERVED.name)
        yield client, stack.enter_context(breaking_off((home / "loop.h264").read_bytes()))


def measure(client: Any, url: str, sessions: int) -> Counted:
    """Open the stream so often, with a dispatcher that is there all the time."""
    guard, ends, memory = Guard(), {"StreamEnded": 0, "left": 0}, []
    token = secrets.token_hex(8)
    dispatcher = pipeline.dispatcher(client, guard, Metrics(), Regions(token=token))
    dispatcher.configure({SERVED.name: SERVED.model()}, {SERVED.name: Capacity(4, 2)}, {"cam0": 0})
    owner = _Owner()
    try:
        for number in range(WARM):
            _session(dispatcher, owner, url, leave=bool(number % 2))
        before, cpu = _settled(lambda: Held.now(token)), time.process_time()
        for number in range(sessions):
            end = _session(dispatcher, owner, url, leave=bool(number % 2))
            ends[end] = ends.get(end, 0) + 1
            memory.append(resident(os.getpid()))
        cpu = (time.process_time() - cpu) / sessions * 1e3
        after = _settled(lambda: Held.now(token))
    finally:
        dispatcher.close()
    if trouble := guard.failed or dispatcher.trouble or owner.error:
        raise RuntimeError(trouble)
    return Counted(sessions, owner.served - WARM, ends, before, after, tuple(memory), cpu)


def _session(dispatcher: Dispatcher, owner: _Owner, url: str, *, leave: bool) -> str:
    """Read one session, the first frame through Triton; return how it ended."""
    reader, asked = Reader(url, CLOCKS), False
    frames = reader.frames()
    try:
        for frame in frames:
            if not asked:
                asked = True
                shot = Shot(owner, frame, 1)
                dispatcher.offer("cam0", (SERVED.name,), shot, arrived=frame.arrived, wait=PATIENCE)
                owner.back.get(timeout=PATIENCE)
            if leave:
                reader.stop()
    except SourceError as error:
        return error.reason
    return "left"


def _settled(look: Callable[[], Held], seconds: float = 5.0) -> Held:
    """Return what is held once it has been the same for a moment: threads that were asked to end take that long."""
    known, since, deadline = look(), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < min(deadline, since + 0.5):
        time.sleep(0.02)
        found = look()
        if found != known:
            known, since = found, time.monotonic()
    return known


class _Owner:
    """The camera of the frames."""

    def __init__(self) -> None:
        self.back: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.served, self.error = 0, ""

    confidence: float | None = None

    def found(self, _shot: Any, _model: str, _decoded: Decoded, _seconds: float) -> None:
        self.served += 1

    def failed(self, _shot: Any, _model: str, error: Exception) -> None:
        self.error = str(error)

    def settled(self, _shot: Any, fate: Outcome) -> None:
        self.back.put(fate)


@contextlib.contextmanager
def breaking_off(content: bytes) -> Iterator[str]:
    """Yield the URL of a server that sends all of `content` to who connects, one after the other, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.sendall(content)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)
