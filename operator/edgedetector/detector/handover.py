"""Batches while a model's largest batch is changed: never one that Triton would refuse.

Triton takes no request above the largest batch of what is in force at that moment. So clients learn of a smaller one
before it is loaded, and of a larger one after. Clients ask once a second what they may send; requests that they had
begun by then are with Triton soon after.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from edgedetector.api.dataplane import ModelServing

HEED: Final = 0.5
"""Seconds from when a smaller batch is told until no larger one comes any more: to fill and send a request takes tens
of milliseconds."""
LONGEST: Final = 2.5
"""Seconds that a load waits for clients to ask, twice as long as they take to. A trial has to end in time, whatever
becomes of them."""


class Handover:
    """What clients may send of each model, and whether they know it already.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_force: dict[str, int] = {}
        self._told: dict[str, tuple[int, float]] = {}
        self._waiting: dict[str, float] = {}
        self._due: set[str] = set()

    def serves(self, model: str, largest: int) -> None:
        """Take note of the largest batch that Triton takes now; 0: of one image without a batch dimension."""
        with self._lock:
            self._in_force[model] = largest

    def asked(self, wanted: Mapping[str, ModelServing]) -> dict[str, ModelServing]:
        """Return how clients are to ask for each model from now on."""
        with self._lock:
            found = {name: self._within(model) for name, model in wanted.items()}
            for name, model in found.items():
                if self._told.get(name, (-1, 0.0))[0] != model.max_batch_size:
                    self._told[name] = model.max_batch_size, self._clock()
        return found

    def may_load(self, model: ModelServing) -> bool:
        """Return whether the model can be loaded now without refusing what clients still send."""
        now, name = self._clock(), model.name
        with self._lock:
            told = self._told.get(name)
            if told is None or model.max_batch_size >= self._in_force.get(name, 0):
                self._waiting.pop(name, None)
                return True
            since = self._waiting.setdefault(name, now)
            self._due.add(name)
            heeded = told[0] <= model.max_batch_size and now - told[1] >= HEED
            if heeded or now - since >= LONGEST:
                del self._waiting[name]
                return True
            return False

    def round(self) -> None:
        """Forget the loads for which nobody has asked since the last round: they were called off.

        A later one would else be let through at once, as one that has waited long enough.
        """
        with self._lock:
            self._waiting = {name: since for name, since in self._waiting.items() if name in self._due}
            self._due.clear()

    @property
    def waiting(self) -> bool:
        """Whether a load waits for clients."""
        with self._lock:
            return bool(self._waiting)

    def _within(self, model: ModelServing) -> ModelServing:
        largest = self._in_force.get(model.name, 0)
        if not 0 < largest < model.max_batch_size:
            return model
        return replace(model, max_batch_size=largest)
