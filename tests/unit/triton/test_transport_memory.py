"""A request that fails leaves nothing behind that holds its slot's memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.calibration.tritonserver import free_port

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.client import Client
from edgedetector.triton.errors import TritonError
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.slots import Pool, Slot
from edgedetector.triton.tensors import Signature
from edgedetector.triton.transport import Transport

SIGNATURE = Signature("m", (Tensor("x", (4,), "FP32"),), (Tensor("y", (4,), "FP32"),), 2)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Only what nobody refers to goes: circles are found minutes later in a process with many objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def failed(transport: Transport, pool: Pool) -> weakref.ref[Slot]:
    """Send a request that fails, and return what is left of its slot."""
    slot = pool.acquire()
    try:
        transport.infer(slot, rows=1, timeout=5.0)
    except TritonError:
        return weakref.ref(slot)
    raise AssertionError("nobody should have answered")


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("shared", [True, False])
def test_a_slot_goes_with_its_pool_though_a_request_of_it_failed(*, shared: bool, tmp_path: Path) -> None:
    regions = Regions(tmp_path) if shared else None
    with Client(f"127.0.0.1:{free_port()}") as client, Transport(client, regions=regions) as transport:
        pool = transport.pool(SIGNATURE, batch=2, slots=1)
        slot = failed(transport, pool)
        assert slot() is not None, "it is free for the next request"
        pool.close()
    assert slot() is None
