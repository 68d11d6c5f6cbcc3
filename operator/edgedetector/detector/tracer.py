"""Traces some of Triton's requests and switches it off again: POST /trace.

Here and not in the command line, since the key of Triton's trace and log settings exists in the pod alone. Whatever
becomes of this process, Triton stops after as many requests as were wanted. Its verbose log has no such end, so a file
in the pod's memory (the mark) says what it was before and where traces are written, and whoever finds it when this
process begins anew puts that back and removes them.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from edgedetector.api import names
from edgedetector.api.trace import Order, Trace
from edgedetector.api.wire import InvalidDocumentError, from_json, to_json
from edgedetector.detector.measuring import BusyError, MeasurementRefusedError, Measurements
from edgedetector.detector.repository import replace_file
from edgedetector.triton.client import Journal
from edgedetector.triton.errors import RefusedError, RejectedError, TritonError
from edgedetector.triton.tracing import Sorted, Span, UnreadableTraceError, requests, spans

log = logging.getLogger(__name__)

EVERY: Final = 0.1
"""Seconds between looks."""
FLUSH: Final = 3.0
"""Seconds that Triton has, once tracing is off, to write down what it has traced."""
OFF: Final = 5.0
"""Seconds for which switching off is tried at once; then in the background, until Triton answers."""
AGAIN: Final = 2.0
"""Seconds between tries in the background."""
_IDLE: Final = frozenset({"OFF", ""})
"""Trace levels with which nothing is traced."""
_NONE: Final[Mapping[str, str | list[str] | None]] = {
    "trace_level": ["OFF"],
    "trace_rate": None,
    "trace_count": None,
    "log_frequency": None,
}


class TraceRefusedError(MeasurementRefusedError):
    """A trace cannot be made; the message says the way out."""


@dataclass(frozen=True, slots=True)
class Left:
    """What the mark says: where traces are written, and how verbose the log was; None: that was not touched."""

    file: str
    verbosity: int | None = None


class Server(Protocol):
    """What is needed of `triton.client.Client`."""

    def trace_settings(self) -> dict[str, tuple[str, ...]]:
        """Return how requests are traced."""

    def set_trace(self, settings: Mapping[str, str | list[str] | None]) -> None:
        """Change it."""

    def verbosity(self) -> int:
        """Return how much of the verbose log is written."""

    def set_verbosity(self, level: int) -> None:
        """Change how much of the verbose log is written."""

    def journal(self) -> contextlib.AbstractContextManager[Journal]:
        """Keep a journal of requests."""


class Tracer:
    """Traces one order at a time. Safe for many threads.

    Parameters
    ----------
    client
        With the key of Triton's restricted protocols.
    mark
        File that is there for as long as something may be switched on.
    file
        Where Triton writes traces if it was not told at its start; this process must see the same directory.
    measurements
        Of which a trace is one; None: there are no others.
    clock
        Seconds, monotonic.
    now
        The node's time.
    """

    def __init__(
        self,
        client: Server,
        mark: Path,
        *,
        file: str = names.FILE_TRACE,
        measurements: Measurements | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._mark, self._file = client, mark, file
        self._clock, self._sleep, self._now = clock, sleep, now
        self._measurements = measurements or Measurements()
        self.last: Trace | None = None

    def run(self, stop: threading.Event) -> None:
        """Switch off and remove what was left: by a process before this one, or since Triton did not answer."""
        while not stop.wait(AGAIN):
            if self._mark.exists():
                with contextlib.suppress(BusyError), self._measurements.of("a trace"):
                    self._settle()

    def trace(self, order: Order, gone: Callable[[], bool]) -> Trace:
        """Trace so many requests, or as many as there are until the time is over or nobody listens any more.

        Parameters
        ----------
        gone
            Returns whether whoever asked has gone.

        Raises
        ------
        BusyError
            If another one runs, or another measurement.
        TraceRefusedError
            If Triton does not do it.
        """
        with self._measurements.of("a trace", order.by):
            try:
                self.last = found = self._traced(order, gone)
            except TritonError as error:
                raise TraceRefusedError(f"Triton does not trace: {error}") from None
            except OSError as error:
                raise TraceRefusedError(f"the detector cannot use the files of a trace: {error}") from None
        return found

    def _traced(self, order: Order, gone: Callable[[], bool]) -> Trace:
        if self._mark.exists() and not self._settle():
            raise TraceRefusedError("what the trace before left on cannot be switched off yet; try again")
        file = self._file_of(self._client.trace_settings())
        _remove(file)
        began = self._now()
        with self._client.journal() as journal:
            try:
                self._switch_on(order, file)
                cut = self._wait(order, file, gone)
            finally:
                # Before anything else, and while the journal still goes on for those that are on their way.
                off = self._switch_off()
            ended = self._now()
            found = self._collected(file, journal)
        if off:
            self._mark.unlink(missing_ok=True)
        if not cut and not (found.requests or found.foreign or found.incomplete):
            cut = f"what Triton wrote cannot be read; is there room in {file.parent}?"
        return Trace(
            began=began.isoformat(timespec="milliseconds"),
            ended=ended.isoformat(timespec="milliseconds"),
            wanted=order.requests,
            requests=found.requests,
            foreign=found.foreign,
            incomplete=found.incomplete,
            verbose=order.verbose,
            by=order.by,
            cut=cut,
        )

    def _file_of(self, settings: Mapping[str, tuple[str, ...]]) -> Path:
        """Return where Triton will write traces, having told it where that is possible.

        Raises
        ------
        TraceRefusedError
            If requests are traced already, or what is there is not ours.
        """
        level = settings.get("trace_level", ())
        if any(one not in _IDLE for one in level):
            raise TraceRefusedError(
                f"this Triton traces requests already, with the trace level {', '.join(level)}, and that is left alone;"
                " take the level out of --trace-config in triton.arguments of the AcceleratorProfile to trace from here"
            )
        file = Path(next(iter(settings.get("trace_file", ())), "") or self._file)
        # Under our own name lies at most what is left of a trace of ours; under another one it may be anybody's.
        if str(file) != self._file and (found := next(_written(file), None)):
            raise TraceRefusedError(
                f"{found} is there already and is not of a trace from here, which would write over it;"
                " move it, or take the file out of --trace-config in triton.arguments of the AcceleratorProfile"
            )
        if settings.get("trace_file") != (str(file),):
            try:
                self._client.set_trace({"trace_file": str(file)})
            except RejectedError:
                raise TraceRefusedError(
                    "this Triton takes its trace file at its start alone; add"
                    f" --trace-config=triton,file={file} to triton.arguments of the AcceleratorProfile"
                ) from None
        return file

    def _switch_on(self, order: Order, file: Path) -> None:
        before = self._client.verbosity() if order.verbose else 1
        # A log that is verbose by the administrator's own settings is, and stays so.
        replace_file(self._mark, to_json(Left(str(file), before if before < 1 else None)))
        if before < 1:
            self._client.set_verbosity(1)
        count = str(order.requests)
        # The frequency has all be written at once when the last one is there, into a file that is complete then.
        self._client.set_trace(
            {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": count, "log_frequency": count}
        )

    def _wait(self, order: Order, file: Path, gone: Callable[[], bool]) -> str:
        """Wait for the requests; return why there are fewer than were wanted."""
        deadline = self._clock() + order.seconds
        while not any(_written(file)):
            if gone():
                return "who asked has gone"
            if self._clock() >= deadline:
                return f"no more requests came within {order.seconds:g} s"
            self._sleep(EVERY)
        return ""

    def _settle(self) -> bool:
        """Switch off what was left on and remove what it wrote; return False if it has to be tried again."""
        if not self._switch_off():
            return False
        self._sleep(FLUSH)
        _remove(Path(self._left().file))
        self._mark.unlink(missing_ok=True)
        return True

    def _switch_off(self) -> bool:
        """Switch off tracing and put the log back; return False if Triton does not answer, which the mark outlives.

        What Triton says no to is told once and is not tried again: it would say so for ever.
        """
        if not self._mark.exists():
            return True
        left, deadline = self._left(), self._clock() + OFF
        while True:
            try:
                refused = self._put_back(left)
            except TritonError as error:
                if self._clock() >= deadline:
                    log.warning("tracing could not be switched off yet, which is tried again: %s", error)
                    return False
                self._sleep(EVERY)
            else:
                if refused:
                    log.warning(
                        "Triton does not switch off what a trace has switched on, and is not asked again;"
                        " delete the pod to be rid of it: %s",
                        "; ".join(refused),
                    )
                return True

    def _put_back(self, left: Left) -> list[str]:
        """Put trace and log settings back and return what Triton refuses of it."""
        refused = []
        calls: list[Callable[[], None]] = [lambda: self._client.set_trace(_NONE)]
        if (verbosity := left.verbosity) is not None:
            calls.append(lambda: self._client.set_verbosity(verbosity))
        for call in calls:
            try:
                call()
            except (RejectedError, RefusedError) as error:
                refused.append(str(error))
        return refused

    def _left(self) -> Left:
        """Return what the mark says; one that cannot be read may stand for a verbose log, which has no end."""
        try:
            return from_json(Left, self._mark.read_text())
        except (InvalidDocumentError, OSError):
            return Left(self._file, 0)

    def _collected(self, file: Path, journal: Journal) -> Sorted:
        """Return what was written, and remove it: the last requests may still be on their way."""
        deadline = self._clock() + FLUSH
        while True:
            found = requests(_readable(file), journal.exchanges, journal.prefix)
            if (found.requests and not found.incomplete) or self._clock() >= deadline:
                _remove(file)
                return found
            self._sleep(EVERY)


def _written(file: Path) -> Iterator[Path]:
    """Yield what Triton has written: the file's name with a dot and a number."""
    pattern = re.compile(re.escape(file.name) + r"\.\d+")
    for path in file.parent.iterdir() if file.parent.is_dir() else ():
        if pattern.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            yield path


def _readable(file: Path) -> tuple[Span, ...]:
    """Return what was traced; nothing while a part of it is only half written."""
    try:
        return tuple(span for path in sorted(_written(file)) for span in spans(path.read_text()))
    except (UnreadableTraceError, OSError):
        return ()


def _remove(file: Path) -> None:
    for path in _written(file):
        path.unlink(missing_ok=True)
