"""A closed loop of clients that ask one model, and an exporter that is asked meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np

from edgedetector.api.dataplane import Tensor
from edgedetector.api.verification import Task
from edgedetector.detector.exposition import ask, samples, versions
from edgedetector.detector.verification.observations import Answer, Reading
from edgedetector.triton.errors import TritonError
from edgedetector.triton.slots import Pool
from edgedetector.triton.tensors import Array, Signature, datatype, layout
from edgedetector.triton.transport import Transport

CLIENTS: Final = 4
"""As many as there are ever instances in the test: none idles, and a small box has processors left for Triton."""
TIMEOUT: Final = 10.0
"""Seconds for an answer."""
_AFTER_FAILURE: Final = 0.05
"""Seconds of rest: a server that refuses is not to be asked as fast as it can refuse."""
_EVERY: Final = 0.5
"""Seconds between questions to the exporter: a memory peak of a reload lasts about 2 s."""


def is_fixed(tensor: Tensor) -> bool:
    """Tell whether random numbers can stand for a tensor: its dims are known, and it holds no text."""
    return datatype(tensor.data_type) != "BYTES" and all(dim > 0 for dim in tensor.dims)


def random_inputs(signature: Signature, rng: np.random.Generator) -> dict[str, Array]:
    """Return one row for each input, with the batch dimension if the model has one; numbers of 0 to 1, or any."""
    return {area.name: _random(area.shape, area.dtype, rng) for area in layout(signature, 1).inputs}


def _random(shape: tuple[int, ...], kind: np.dtype[Any], rng: np.random.Generator) -> Array:
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(kind)
    return rng.integers(0, 128, shape).astype(kind)  # fits into every type of integers


class Load:
    """Clients, each of which asks again as soon as it was answered.

    Parameters
    ----------
    pool
        With a slot for each client.
    inputs
        What all of them ask, see `random_inputs`.
    """

    def __init__(self, transport: Transport, pool: Pool, inputs: Mapping[str, Array], clients: int = CLIENTS) -> None:
        self._transport, self._pool, self._inputs = transport, pool, inputs
        self._stop = threading.Event()
        self._answers: list[Answer] = []
        self._defect: Exception | None = None
        self._threads = [threading.Thread(target=self._run, name=f"client-{n}", daemon=True) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All that has ended so far.

        Raises
        ------
        Exception
            What a client ended with, which is a defect of the test.
        """
        if self._defect is not None:
            raise self._defect
        return tuple(self._answers)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                problem = self._ask()
                self._answers.append(Answer(time.monotonic(), problem))
                if problem:
                    self._stop.wait(_AFTER_FAILURE)
        except Exception as error:  # noqa: BLE001 - the thread that judges raises it
            self._defect = error

    def _ask(self) -> str:
        """Ask once and return why there was no answer, if there was none."""
        try:
            slot = self._pool.acquire(TIMEOUT)
            for name, array in self._inputs.items():
                slot.inputs[name][...] = array
            self._transport.infer(slot, rows=1, timeout=TIMEOUT).release()
        except TritonError as error:
            return str(error)
        return ""


class Exporter:
    """Asks the exporter every half second, on a thread of its own; without one it has nothing to say."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._stop = threading.Event()
        self._readings: list[Reading] = []
        self._drivers: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="exporter", daemon=True)

    def __enter__(self) -> Self:
        if self._task.exporter:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._task.exporter:
            self._thread.join()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All answers so far."""
        return tuple(self._readings)

    @property
    def drivers(self) -> tuple[str, ...]:
        """All versions of the driver that were named."""
        return tuple(sorted(self._drivers))

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            text = ask(self._task.exporter, TIMEOUT)
            if text is None:
                continue
            self._readings.append(reading(self._task, text, time.monotonic()))
            self._drivers |= set(versions(text, self._task.driver.metric, self._task.driver.label))


def reading(task: Task, text: str, at: float) -> Reading:
    """Return our figures in what an exporter served at a time; one without a series is absent."""
    figures = {one.name: [found.value * one.factor for found in samples(text, (one.metric,))] for one in task.metrics}
    return Reading(at, {name: values for name, values in figures.items() if values})
