"""Requests over a real channel and a real /dev/shm; only when Triton answers is decided by the tests."""

from __future__ import annotations

import gc
import mmap
import os
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.unit.triton.triton_double import KEY, Triton, serve

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.client import Client, Timeouts
from edgedetector.triton.errors import (
    DeadlineError,
    RefusedError,
    RejectedError,
    SharedMemoryDisabledError,
    SharedMemoryFullError,
    SharedMemoryUnreachableError,
    UnavailableError,
)
from edgedetector.triton.shared_memory import DIRECTORY, Region, Regions
from edgedetector.triton.slots import GROW_SECONDS, Counts, Pool
from edgedetector.triton.tensors import Signature
from edgedetector.triton.transport import Answer, Transport

DOUBLE = Signature("double", (Tensor("X", (3,), "FP32"),), (Tensor("Y", (3,), "FP32"),), 4)
TOKEN = "00000000deadbeef"
OURS = f"{os.getpid():08x}"
SOON = 5.0  # seconds; far more than anything here takes


@pytest.fixture
def triton() -> Triton:
    return Triton()


@pytest.fixture
def transport(triton: Triton) -> Iterator[Transport]:
    with connected(triton) as found:
        yield found


@contextmanager
def connected(triton: Triton, *, shared: bool = True, key: str = KEY, linger: float = 30.0) -> Iterator[Transport]:
    regions = made() if shared else None
    with (
        serve(triton) as address,
        Client(address, key=key, timeouts=Timeouts(query=SOON)) as client,
        Transport(client, regions=regions, linger=linger) as found,
    ):
        yield found


def ask(transport: Transport, pool: Pool, number: float, *, rows: int = 1, timeout: float = SOON) -> list:
    slot = pool.acquire(SOON)
    slot.inputs["X"][:rows] = number
    with transport.infer(slot, rows=rows, timeout=timeout) as answer:
        return answer.outputs["Y"].tolist()


def held() -> tuple[int, int, int, set[str]]:
    """Descriptors, threads of ours (gRPC's come and go), mapped regions and files that this process has."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text().count("edgedetector-tensors-")
    threads = sum(thread.name.startswith("triton-") for thread in threading.enumerate())
    return len(list(Path("/proc/self/fd").iterdir())), threads, maps, ours()


def made() -> Regions:
    """Regions by whose names this process knows them: tests beside this one make some, too, and leave some behind."""
    return Regions(token=OURS + secrets.token_hex(4))


def ours() -> set[str]:
    return {path.name for path in DIRECTORY.iterdir() if path.name.startswith(f"edgedetector-tensors-{OURS}")}


@pytest.mark.parametrize("shared", [True, False])
def test_both_transports_answer_the_same_calls(triton: Triton, *, shared: bool) -> None:
    with connected(triton, shared=shared) as transport:
        pool = transport.pool(DOUBLE, batch=4, slots=2)
        for rows in (1, 4, 2):
            assert ask(transport, pool, rows + 0.5, rows=rows) == [[2 * rows + 1.0] * 3] * rows
        assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)
        assert len(triton.registered) == (1 if shared else 0)


def test_no_region_is_left_when_the_transport_closes(triton: Triton) -> None:
    before = ours()
    with connected(triton) as transport:
        pool = transport.pool(DOUBLE, batch=1, slots=2)
        ask(transport, pool, 1)
        assert len(ours() - before) == 1
    assert ours() == before
    assert triton.regions == {}


def test_a_slot_that_is_held_when_the_transport_closes_leaves_no_file(triton: Triton) -> None:
    before = ours()
    with connected(triton) as transport:
        slot = transport.pool(DOUBLE, batch=1, slots=1).acquire()
    slot.inputs["X"][:] = 1
    assert ours() == before
    slot.release()


def test_a_region_that_triton_still_holds_is_unregistered_a_moment_later(triton: Triton) -> None:
    triton.in_use = 3
    with connected(triton) as transport:
        ask(transport, transport.pool(DOUBLE, batch=1, slots=1), 1)
    assert (triton.in_use, triton.regions) == (0, {})


@pytest.mark.parametrize("shared", [True, False])
def test_a_thousand_transports_leave_no_descriptor_thread_or_region(triton: Triton, *, shared: bool) -> None:
    with serve(triton) as address, Client(address, key=KEY) as client:
        for number in range(1020):
            with Transport(client, regions=made() if shared else None) as transport:
                ask(transport, transport.pool(DOUBLE, batch=2, slots=1), 1)
            if number == 20:  # once gRPC has opened what it keeps
                before = held()
        after = held()
    assert after == before
    assert triton.regions == {}


def test_a_slot_stays_away_until_its_late_answer_is_written(triton: Triton, transport: Transport) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    ask(transport, pool, 1)
    triton.written.acquire()
    triton.held = True
    slot = pool.acquire()
    slot.inputs["X"][:] = 21
    future = transport.submit(slot, rows=1, timeout=0.05)
    with pytest.raises(DeadlineError, match="infer double: no answer in time") as caught:
        future.result(SOON)
    assert caught.value.retry
    with pytest.raises(DeadlineError, match="all 1 slots are in use"):
        pool.acquire()
    assert pool.counts.free == 0

    triton.go.set()
    assert triton.written.acquire(timeout=SOON), "Triton writes long after the caller has given up"
    again = pool.acquire(SOON)
    assert again is slot
    assert ask_held(transport, slot, 1.5) == [[3.0] * 3]


def ask_held(transport: Transport, slot, number: float) -> list:
    slot.inputs["X"][:] = number
    with transport.infer(slot, rows=1, timeout=SOON) as answer:
        return answer.outputs["Y"].tolist()


def test_a_cancelled_future_keeps_its_slot_away_too(triton: Triton, transport: Transport) -> None:
    triton.held = True
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    future = transport.submit(pool.acquire(), rows=1, timeout=SOON)
    assert future.cancel()
    with pytest.raises(DeadlineError):
        pool.acquire()
    triton.go.set()
    pool.acquire(SOON).release()
    assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)


def test_an_answer_keeps_its_slot_until_it_is_released(transport: Transport) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    answer = transport.infer(pool.acquire(), rows=1, timeout=SOON)
    with pytest.raises(DeadlineError):
        pool.acquire()
    with pytest.raises(ValueError, match="read-only"):
        answer.outputs["Y"][:] = 0
    answer.release()
    answer.release()  # twice is once
    assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)
    assert answer.outputs == {}


def test_after_a_restart_each_region_is_registered_once_and_nobody_notices(
    triton: Triton, transport: Transport
) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=4)
    slots = [pool.acquire() for _ in range(4)]
    for slot in slots:
        transport.infer(slot, rows=1, timeout=SOON).release()
    slots = [pool.acquire() for _ in range(4)]
    triton.restart()
    triton.registered.clear()

    for number, slot in enumerate(slots):
        slot.inputs["X"][:] = number
    futures = [transport.submit(slot, rows=1, timeout=SOON) for slot in slots]
    answers = [future.result(SOON) for future in futures]

    assert [answer.outputs["Y"][0, 0] for answer in answers] == [0, 2, 4, 6]
    assert sorted(triton.registered) == sorted(slot.region.name for slot in slots)
    for answer in answers:
        answer.release()
    ask(transport, pool, 1)
    assert len(triton.registered) == 4


def test_a_registration_that_triton_remembers_is_no_error(triton: Triton, transport: Transport) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    slot = pool.acquire()
    with (DIRECTORY / slot.region.name).open("r+b") as file:
        triton.regions[slot.region.name] = mmap.mmap(file.fileno(), 0)
    assert ask_held(transport, slot, 4) == [[8.0] * 3]
    assert triton.registered == []


def test_a_broken_connection_leaves_doubt_until_triton_is_known_to_be_another(
    triton: Triton, transport: Transport
) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    triton.infer_error = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
    with pytest.raises(UnavailableError, match="Socket closed"):
        ask(transport, pool, 1)
    assert pool.counts == Counts(made=1, free=0, doubtful=1, abandoned=0)

    triton.infer_error = None
    triton.restart()
    name = triton.registered[0]
    assert ask(transport, pool, 2) == [[4.0] * 3]
    assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)
    assert triton.registered == [name, name], "the same region, registered again"


def test_the_same_triton_keeps_a_doubtful_region_and_the_slot_gets_another(
    triton: Triton, transport: Transport
) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=2)
    triton.infer_error = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            ask(transport, pool, 1)
    for abandoned in (1, 2):
        with pytest.raises(UnavailableError, match="Socket closed"):
            ask(transport, pool, 1)
        assert pool.counts == Counts(made=2, free=0, doubtful=2, abandoned=abandoned)
    with pytest.raises(UnavailableError, match="4 requests were never answered; waiting for Triton's restart"):
        pool.acquire()
    files = {name for name in triton.registered if (DIRECTORY / name).exists()}
    assert (len(triton.regions), len(files)) == (4, 2), "Triton keeps what it may write to; only files go"

    triton.infer_error = None
    triton.restart()
    assert ask(transport, pool, 3) == [[6.0] * 3]
    assert pool.counts == Counts(made=2, free=2, doubtful=0, abandoned=2)


def test_an_answer_that_never_comes_ends_in_doubt(triton: Triton) -> None:
    with connected(triton, linger=0.1) as transport:
        pool = transport.pool(DOUBLE, batch=1, slots=1)
        ask(transport, pool, 1)
        triton.held = True
        with pytest.raises(DeadlineError):
            ask(transport, pool, 1, timeout=0.05)
        slot = pool.acquire(SOON)  # as soon as the lingering call has ended
        assert pool.counts == Counts(made=1, free=0, doubtful=0, abandoned=1)
        slot.release()
        triton.go.set()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size"),
        (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'double' is not found"),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'double' has no available versions"),
        (grpc.StatusCode.INTERNAL, "Stub process 'double_0_0' is not healthy."),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'X' for model 'double'"),
    ],
)
def test_triton_s_own_refusal_frees_the_slot_at_once(
    triton: Triton, transport: Transport, code: grpc.StatusCode, words: str
) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    triton.infer_error = (code, words)
    with pytest.raises((UnavailableError, RejectedError)):
        ask(transport, pool, 1)
    assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (
            (
                grpc.StatusCode.UNIMPLEMENTED,
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
            ),
            SharedMemoryDisabledError,
            "add --allow-client-shm=true to triton.arguments",
        ),
        (
            (grpc.StatusCode.INTERNAL, "Unable to open shared memory region: '/x'"),
            SharedMemoryUnreachableError,
            "one volume at /dev/shm and one user",
        ),
    ],
)
def test_a_triton_without_shared_memory_is_a_failed_future_that_says_what_to_do(
    triton: Triton, transport: Transport, refusal: tuple, kind: type[Exception], words: str
) -> None:
    triton.refusal = refusal
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    future = transport.submit(pool.acquire(), rows=1, timeout=SOON)
    with pytest.raises(kind, match=words) as caught:
        future.result(SOON)
    assert not caught.value.retry
    assert pool.counts.free == 1


def test_without_the_key_nothing_is_shared(triton: Triton) -> None:
    with connected(triton, key="guess") as transport:
        pool = transport.pool(DOUBLE, batch=1, slots=1)
        with pytest.raises(RefusedError, match="protocol is restricted"):
            ask(transport, pool, 1)
        assert pool.counts.free == 1


def test_nobody_there_fails_every_request_in_its_time_and_loses_no_slot() -> None:
    with Client("127.0.0.1:1", key=KEY) as client, Transport(client, regions=made()) as transport:
        pool = transport.pool(DOUBLE, batch=1, slots=2)
        for _ in range(5):
            with pytest.raises(UnavailableError):
                ask(transport, pool, 1)
        assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)


def test_requests_in_flight_fail_when_the_client_closes(triton: Triton) -> None:
    triton.held = True
    before = ours()
    with serve(triton) as address:
        client = Client(address, key=KEY)
        transport = Transport(client, regions=made())
        pool = transport.pool(DOUBLE, batch=1, slots=1)
        future = transport.submit(pool.acquire(), rows=1, timeout=SOON)
        assert triton.arrived.acquire(timeout=SOON)
        transport.close()
        client.close()
        with pytest.raises(UnavailableError):
            future.result(SOON)
        with pytest.raises(UnavailableError, match="the pool is closed"):
            pool.acquire()
    assert ours() == before


def test_a_pool_grows_and_shrinks_while_slots_are_in_use(triton: Triton, transport: Transport) -> None:
    pool = transport.pool(DOUBLE, batch=1, slots=1)
    held = pool.acquire()
    pool.resize(batch=4, slots=2)
    other = pool.acquire()
    assert (pool.rows, len(held.inputs["X"]), len(other.inputs["X"])) == (4, 1, 4)
    assert ask_held(transport, held, 1) == [[2.0] * 3], "a slot of the old size still serves its request"
    assert pool.counts.made == 1, "and goes after it"
    other.release()
    pool.resize(batch=4, slots=0)
    assert pool.counts == Counts(made=0, free=0, doubtful=0, abandoned=0)


class Tight(Regions):
    """Regions on a tmpfs that has room for so many more."""

    room = 1
    tries = 0

    def create(self, size: int) -> Region:
        self.tries += 1
        if not self.room:
            raise SharedMemoryFullError("no room")
        self.room -= 1
        return super().create(size)


def test_a_pool_that_found_no_memory_grows_again_once_there_is_some() -> None:
    regions, now = Tight(token=OURS + secrets.token_hex(4)), [1000.0]
    pool = Pool(DOUBLE, batch=1, slots=3, regions=regions, clock=lambda: now[0])

    def short() -> bool:
        with pytest.raises(DeadlineError):
            pool.acquire()
        return pool.counts.made == 1

    held = [pool.acquire()]
    assert short()
    tried = regions.tries
    now[0] += GROW_SECONDS - 1
    assert short()
    assert regions.tries == tried, "not with every request"
    now[0] += 1
    assert short(), "tried again, in vain"
    assert regions.tries > tried
    regions.room = 5
    assert short(), "and not again at once"
    now[0] += GROW_SECONDS
    held += [pool.acquire(), pool.acquire()]
    assert pool.counts.made == 3
    with pytest.raises(DeadlineError):
        pool.acquire()
    pool.close()
    for slot in held:
        slot.release()
    assert not any(slot.region and (DIRECTORY / slot.region.name).exists() for slot in held)


def test_more_rows_than_a_slot_has_are_refused(transport: Transport) -> None:
    slot = transport.pool(DOUBLE, batch=2, slots=1).acquire()
    for rows in (0, 3):
        with pytest.raises(ValueError, match="has 1 to 2"):
            transport.submit(slot, rows=rows, timeout=SOON)


def test_a_variable_input_that_was_not_given_is_an_error_and_frees_the_slot(transport: Transport) -> None:
    signature = Signature("double", (Tensor("X", (-1,), "FP32"),), (Tensor("Y", (-1,), "FP32"),), 4)
    pool = transport.pool(signature, batch=1, slots=1)
    with pytest.raises(RejectedError, match="input 'X' was not given"):
        transport.infer(pool.acquire(), rows=1, timeout=SOON)
    slot = pool.acquire()
    slot.give("X", np.array([[1.0, 2.0]], np.float16))
    with pytest.raises(RejectedError, match="input X: float16 is not FP32"):
        transport.infer(slot, rows=1, timeout=SOON)
    slot = pool.acquire()
    slot.give("X", np.array([[1.0, 2.0]], np.float32))
    with transport.infer(slot, rows=1, timeout=SOON) as answer:
        assert answer.outputs["Y"].tolist() == [[2.0, 4.0]]


@pytest.mark.parametrize("shared", [True, False])
def test_an_answer_that_lacks_an_output_is_an_error_and_frees_the_slot(triton: Triton, *, shared: bool) -> None:
    more = Signature("double", DOUBLE.inputs, (*DOUBLE.outputs, Tensor("Z", (3,), "FP32")), 4)
    with connected(triton, shared=shared) as transport:
        pool = transport.pool(more, batch=1, slots=1)
        with pytest.raises(RejectedError, match="infer double: an answer of another shape: no output Z"):
            transport.infer(pool.acquire(), rows=1, timeout=SOON)
        assert pool.counts == Counts(made=1, free=1, doubtful=0, abandoned=0)


def test_many_threads_share_few_slots_and_mix_nothing_up(transport: Transport) -> None:
    pool = transport.pool(DOUBLE, batch=4, slots=3)

    def work(number: int) -> bool:
        return ask(transport, pool, number, rows=1 + number % 4) == [[2.0 * number] * 3] * (1 + number % 4)

    with ThreadPoolExecutor(8) as workers:
        assert all(workers.map(work, range(400)))
    assert pool.counts.made == pool.counts.free <= 3


def test_eight_in_flight_from_one_thread(triton: Triton, transport: Transport) -> None:
    triton.held = True
    pool = transport.pool(DOUBLE, batch=1, slots=8)
    slots = [pool.acquire() for _ in range(8)]
    for number, slot in enumerate(slots):
        slot.inputs["X"][:] = number
    futures = [transport.submit(slot, rows=1, timeout=SOON) for slot in slots]
    for _ in futures:
        assert triton.arrived.acquire(timeout=SOON), "all are at Triton before any is answered"
    triton.go.set()
    wait(futures, SOON)
    answers: list[Answer] = [future.result(0) for future in futures]
    assert [answer.outputs["Y"][0, 0] for answer in answers] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize(("version", "at_once"), [("2.51.0", True), ("2.36.0", False)])
def test_what_a_killed_process_left_registered_goes_when_that_is_safe(version: str, *, at_once: bool) -> None:
    triton = Triton(version=version)
    triton.regions = {f"edgedetector-tensors-{TOKEN}-0": b"12", "input0": b"1"}
    with connected(triton) as transport:
        left = transport.sweep()
        if at_once:
            assert (left, set(triton.regions)) == ((), {"input0"})
            return
        assert len(triton.regions) == 2, "a request of the killed process may still be writing"
        transport.close()
        transport.forget(left)
    assert set(triton.regions) == {"input0"}
