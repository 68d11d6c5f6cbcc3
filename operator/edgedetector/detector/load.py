"""Load beside the cameras: models' own last frames, sent to Triton again and again.

Triton's queues have no levels here, so who goes first is decided before them: no request of the load is sent to a model
for which a camera's frame waits, and never more of it is on its way than was said. What a camera's frame then finds in
front of it is that at most.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from edgedetector.detector.dispatch import REQUEST_SECONDS, Beside
from edgedetector.triton.errors import DeadlineError, TritonError
from edgedetector.triton.slots import Slot
from edgedetector.triton.tensors import Array
from edgedetector.triton.transport import Answer

TURN: Final = 0.005
"""Seconds between looks at whether there is room, where no answer makes some before."""

Sample = Mapping[str, Array]
"""Inputs of a request, by name."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came of the load for a while."""

    seconds: float
    frames: int
    """Answered in that time."""
    requests: tuple[float, ...]
    """Seconds that each took, those too that were answered afterwards."""
    stopped: str
    """Why it ended before its time; empty: it did not."""


class Load:
    """Requests to some models. One thread runs it; answers come on others.

    Parameters
    ----------
    beside
        Memory and way of each model; closed with this.
    samples
        What is sent to each.
    weights
        In which proportion frames go to the models; above 0.
    waiting
        How many frames of cameras wait for a model.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        beside: Mapping[str, Beside],
        samples: Mapping[str, Sample],
        weights: Mapping[str, float],
        *,
        waiting: Callable[[str], int],
        clock: Callable[[], float],
    ) -> None:
        self.beside, self._samples, self._weights = beside, samples, weights
        self._waiting, self._clock = waiting, clock
        self._changed = threading.Condition()
        self._flying = self._answered = 0
        self._requests: list[float] = []
        self._failure = ""
        self._given = dict.fromkeys(samples, 0)

    def run(self, frames: int, until: float, stop: Callable[[], str]) -> Stretch:
        """Keep so many frames on their way, and return when the last one is answered.

        Parameters
        ----------
        until
            When it ends, on the clock.
        stop
            Asked again and again; returns why to end before.
        """
        self._answered, self._requests, began = 0, [], self._clock()
        while not (why := self._failure or stop()) and self._clock() < until:
            if not self._send(frames):
                with self._changed:
                    self._changed.wait(TURN)
        with self._changed:
            seconds, answered = self._clock() - began, self._answered
            # Every future ends by its own deadline; more is only for a machine that stands still.
            self._changed.wait_for(lambda: not self._flying, 2 * REQUEST_SECONDS)
            return Stretch(seconds, answered, tuple(self._requests), why or self._failure)

    def close(self) -> None:
        """Give the memory back."""
        for one in self.beside.values():
            one.pool.close()

    def _send(self, frames: int) -> bool:
        """Send a request if there is room for one; return whether there was."""
        with self._changed:
            room = frames - self._flying
        ready = [name for name in self._samples if not self._waiting(name)]
        if room <= 0 or not ready:
            return False
        name = min(ready, key=lambda one: self._given[one] / self._weights[one])
        rows = min(room, self.beside[name].pool.rows)
        try:
            slot = self.beside[name].pool.acquire()
        except DeadlineError:  # all are on their way
            return False
        except TritonError as error:
            self._failure = str(error)
            return False
        self._given[name] += rows
        with self._changed:
            self._flying += rows
        self._launch(name, slot, rows)
        return True

    def _launch(self, name: str, slot: Slot, rows: int) -> None:
        slot.fill(self._samples[name])
        began = self._clock()
        future = self.beside[name].transport.submit(slot, rows=rows, timeout=REQUEST_SECONDS)
        future.add_done_callback(lambda done: self._ended(done, rows, self._clock() - began))

    def _ended(self, done: Future[Answer], rows: int, seconds: float) -> None:
        error: Any = done.exception()
        if error is None:
            done.result().release()
        with self._changed:
            self._flying -= rows
            if error is None:
                self._answered += rows
                self._requests.append(seconds)
            else:
                self._failure = str(error)
            self._changed.notify()


def levels(most: int) -> list[int]:
    """Return how many frames are to be on their way, step by step: powers of two, and the most."""
    return sorted({*(1 << power for power in range(max(1, most).bit_length())), max(1, most)})


def slots(most: int, rows: int) -> int:
    """Return how many requests of a model hold so many frames, and one that is being made."""
    return math.ceil(most / max(1, rows)) + 1
