"""Trace and log settings of a Triton that fails as it is told to; what a real one does is in test_tracing_on_triton."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgedetector.triton.client import Journal
from edgedetector.triton.errors import RefusedError, RejectedError, UnavailableError

MILLISECOND = 1_000_000
STEPS = (
    ("GRPC_WAITREAD_END", 1.0),
    ("REQUEST_START", 1.5),
    ("QUEUE_START", 1.6),
    ("COMPUTE_START", 4.6),
    ("COMPUTE_INPUT_END", 5.6),
    ("COMPUTE_OUTPUT_START", 15.6),
    ("COMPUTE_END", 16.6),
    ("INFER_RESPONSE_COMPLETE", 16.6),
    ("GRPC_SEND_START", 17.1),
    ("GRPC_SEND_END", 18.0),
)
"""Milliseconds since the call: network 2.9, serialisation 1, queue 3, copies 1 and 1, compute 10, rest 0.1."""
EXCHANGE = 19.0
"""Milliseconds."""


def entries(number: int, request: str, model: str = "people", began: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Return what Triton writes of a request."""
    head = {"id": number, "model_name": model, "model_version": 1, "request_id": request, **more}
    times = [{"name": name, "ns": began + int(at * MILLISECOND)} for name, at in STEPS]
    return [head, *({"id": number, "timestamps": [time]} for time in times)]


@dataclass
class FakeTriton:
    """Has as many requests as are wanted, at once, or `comes` of them."""

    file: Path
    comes: int | None = None
    down: int = 0
    """Calls that are not answered from now on."""
    fixed: bool = False
    """The file can be given at the start alone."""
    refuses: type[RejectedError | RefusedError] | None = None
    """With which it answers everything from now on."""
    level: int = 0
    calls: list[Any] = field(default_factory=list)
    settings: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"trace_level": ("OFF",)})
    _journal: Journal | None = None

    def _called(self, what: Any) -> None:
        self.calls.append(what)
        if self.down:
            self.down -= 1
            raise UnavailableError("trace settings: nobody answers")
        if self.refuses:
            raise self.refuses("trace settings: no")

    def trace_settings(self) -> dict[str, tuple[str, ...]]:
        self._called("settings")
        return dict(self.settings)

    def set_trace(self, settings: Mapping[str, str | list[str] | None]) -> None:
        self._called(dict(settings))
        if "trace_file" in settings and self.fixed:
            raise RejectedError("trace file location can not be updated")
        for name, value in settings.items():
            self.settings[name] = tuple(value) if isinstance(value, list) else (str(value),)
        if settings.get("trace_level") == ["TIMESTAMPS"]:
            self._answer(int(str(settings["trace_count"])))

    def verbosity(self) -> int:
        self._called("verbosity")
        return self.level

    def set_verbosity(self, level: int) -> None:
        self._called(level)
        self.level = level

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        self._journal = Journal()
        yield self._journal

    def _answer(self, count: int) -> None:
        assert self._journal is not None
        count = count if self.comes is None else self.comes
        found = []
        for number in range(count):
            began, name = number * 20 * MILLISECOND, self._journal.id()
            self._journal.exchanges[name] = began, began + int(EXCHANGE * MILLISECOND)
            found += entries(number, name, began=began)
        if count:
            self.file.with_name(f"{self.file.name}.0").write_text(json.dumps(found))
