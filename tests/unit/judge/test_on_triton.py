"""The simulated batcher beside a real Triton: which batches it makes. How long they take is for `bench.tuner real`.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench.tuner import real
from judge.batcher import Batching, Model
from judge.calibration import Case, Sleeper
from judge.clients import ClosedLoop
from judge.events import Clock

pytestmark = pytest.mark.tritonserver

BASE, IMAGE = 0.060, 0.010
"""Long enough that a busy machine is late by little of it."""
CASES = (
    Case(0, Batching(1, 8), BASE, IMAGE, flights=24),
    Case(1, Batching(1, 8, (4,)), BASE, IMAGE, flights=24),
    Case(2, Batching(2, 8, (4,), 0.001), BASE, IMAGE, flights=32),
    Case(3, Batching(2, 4, (), 0.005), BASE, IMAGE, flights=2),
    Case(4, Batching(2, 1), BASE, IMAGE, flights=5),
)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Sleeper]:
    """One server for the module: a start takes a second."""
    with real.sleeper(tmp_path_factory.mktemp("triton")) as sleeper:
        yield sleeper


def usual(images: dict[int, float]) -> int:
    """Return the batch size in which most images are served."""
    return max(images, key=lambda size: images[size])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_most_images_go_in_batches_of_the_size_that_the_simulator_says(case: Case, triton: real.Sleeper) -> None:
    triton.measure(case, 2.5)
    measured = {size: size * count for size, (count, _) in triton.executions().items()}
    clock = Clock()
    model = Model("m", case.batching, Sleeper(BASE, IMAGE), clock)
    ClosedLoop(clock, model.enqueue, case.flights, way=0.001)
    clock.run(3.0)
    said = {size: size * count for size, (count, _) in model.counters.batches.items()}
    assert usual(measured) == usual(said), (measured, said)
    assert triton.errors == 0
