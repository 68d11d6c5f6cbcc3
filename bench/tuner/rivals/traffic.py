"""What a client of the server meets while it is being tuned: a few requests a second, and what becomes of each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import tritonclient.grpc as triton
from bench.tuner.live import MODEL, SIDE

RATE: Final = 10.0
"""Requests a second, evenly."""
PATIENCE: Final = 10.0
"""Seconds after which a request counts as lost."""


@dataclass(frozen=True)
class Met:
    """Of requests that were answered or lost."""

    sent: int = 0
    lost: int = 0
    late: int = 0
    """Answered, but after the latency bound."""

    def since(self, before: Met) -> Met:
        return Met(self.sent - before.sent, self.lost - before.lost, self.late - before.late)


class Traffic:
    """Sends in a thread of its own from entering to leaving."""

    def __init__(self, address: str, bound: float) -> None:
        self._address, self._bound = address, bound
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._met = Met()
        self._thread = threading.Thread(target=self._send, name="traffic")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def met(self) -> Met:
        """Return what has come of the requests so far."""
        with self._lock:
            return self._met

    def _send(self) -> None:
        tensor = triton.InferInput("image", [1, SIDE, SIDE, 3], "UINT8")
        tensor.set_data_from_numpy(np.zeros((1, SIDE, SIDE, 3), np.uint8))
        with triton.InferenceServerClient(self._address) as client:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += 1.0 / RATE
                self._ask(client, tensor)

    def _ask(self, client: Any, tensor: Any) -> None:
        sent = time.monotonic()

        def answered(result: Any, error: Exception | None) -> None:  # noqa: ARG001 - called by these names
            taken = time.monotonic() - sent
            with self._lock:
                met = self._met
                self._met = Met(
                    met.sent + 1, met.lost + (error is not None), met.late + (error is None and taken > self._bound)
                )

        client.async_infer(MODEL, [tensor], answered, client_timeout=PATIENCE)
