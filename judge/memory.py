"""What can be known of the device's memory by somebody who has only seen what configurations take.

A device has a part that is there anyway (contexts, others), and each instance of a model takes its engine and buffers
for each image of its largest batch. Of these parts nothing is known but that none is negative and what sums of them
were seen: of one configuration alone all that is used may be the instances', or nothing of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgedetector.tuning.window import Configuration
from judge.server import Loaded, Server, loaded

_EXACT = 1e-6
"""Relative error of a sum of parts."""

Vector = NDArray[np.float64]


class Known:
    """What the configurations that were served tell of all others. At first, that is what `start` takes.

    The parts that are possible are a polytope, since the start has all of them; what anything takes at most, it takes
    in one of its corners.
    """

    def __init__(self, server: Server, start: Configuration) -> None:
        self._server, self._names = server, sorted(start)
        self._rows: list[Vector] = []
        self._bytes: list[float] = []
        self._corners: list[Vector] = []
        self.see([start])

    def see(self, served: Sequence[Configuration]) -> None:
        """Take note of what configurations take."""
        before = len(self._rows)
        for one in served:
            row = self._parts(tuple(one.items()))
            if len(self._rows) == len(row):
                break
            if np.linalg.matrix_rank(np.array([*self._rows, row])) > len(self._rows):
                self._rows.append(row)
                self._bytes.append(self._server.memory(one))
        if len(self._rows) > before:
            self._corners = self._found()

    def most(self, there: Loaded) -> float:
        """Return the bytes that instances may take together, at most."""
        row = self._parts(there)
        return max(float(row @ corner) for corner in self._corners)

    def most_to_change(self, old: Configuration, new: Configuration) -> float:
        """Return the bytes that may be taken while `old` gives way to `new`, at most."""
        return max(self.most(there) for there in loaded(old, new, in_place=self._server.in_place))

    def _parts(self, there: Loaded) -> Vector:
        """Return how often each part is there: what is there anyway, and by model its engine and an image of it."""
        row = np.zeros(1 + 2 * len(self._names))
        row[0] = 1.0
        for name, knobs in there:
            at = 1 + 2 * self._names.index(name)
            row[at] += knobs.instances
            row[at + 1] += knobs.instances * max(1, knobs.max_batch_size)
        return row

    def _found(self) -> list[Vector]:
        rows, sums = np.array(self._rows), np.array(self._bytes)
        count, parts = rows.shape
        found = []
        for columns in itertools.combinations(range(parts), count):
            some = rows[:, columns]
            if np.linalg.matrix_rank(some) < count:
                continue
            values = np.linalg.solve(some, sums)
            if np.all(values >= -_EXACT * sums.max()):
                corner = np.zeros(parts)
                corner[list(columns)] = np.maximum(0.0, values)
                found.append(corner)
        return found
