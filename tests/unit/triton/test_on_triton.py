"""Shared memory with a real tritonserver: what its model gets and gives, byte for byte.

The first run installs tritonserver (140 MB) in the cache.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from bench.calibration import tritonserver

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.client import Client
from edgedetector.triton.errors import DeadlineError, OutputTooLargeError, RefusedError, TritonError
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.slots import Pool, Slot
from edgedetector.triton.tensors import Signature
from edgedetector.triton.transport import Transport

pytestmark = pytest.mark.tritonserver

KEY = "s3cret"
RESTRICTED = f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}"
SOON = 30.0  # seconds; far more than anything here takes
KINDS = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
)  # fmt: skip

# `digest`: BLAKE2b of the row's bytes as they came. `same`: the input again.
MODEL = """
import hashlib, os, time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            data = pb.get_input_tensor_by_name(request, "images").as_numpy()
            seconds = float(pb.get_input_tensor_by_name(request, "seconds").as_numpy().max())
            time.sleep(seconds)
            digests = [list(hashlib.blake2b(row.tobytes(), digest_size=16).digest()) for row in data]
            answers.append(pb.InferenceResponse([
                pb.Tensor("digest", np.array(digests, np.uint8)), pb.Tensor("same", data)]))
        return answers
"""


def signature(kind: str, dims: tuple[int, ...], *, same: tuple[int, ...] | None = None) -> Signature:
    return Signature(
        f"echo{kind}".lower(),
        (Tensor("images", dims, kind), Tensor("seconds", (1,), "FP32")),
        (Tensor("digest", (16,), "UINT8"), Tensor("same", same or dims, kind)),
        4,
    )


def write(repository: Path, kind: str) -> None:
    name = f"echo{kind}".lower()
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(MODEL)
    (repository / name / "config.pbtxt").write_text(f"""
        name: "{name}" backend: "python" max_batch_size: 4
        input [ {{ name: "images" data_type: TYPE_{kind} dims: [ -1, -1, -1 ] }},
                {{ name: "seconds" data_type: TYPE_FP32 dims: [ 1 ] }} ]
        output [ {{ name: "digest" data_type: TYPE_UINT8 dims: [ 16 ] }},
                 {{ name: "same" data_type: TYPE_{kind} dims: [ -1, -1, -1 ] }} ]
        instance_group [ {{ count: 1 kind: KIND_CPU }} ]""")


@contextmanager
def started(repository: Path, directory: Path, *arguments: str) -> Iterator[tritonserver.Server]:
    directory.mkdir()
    with tritonserver.running(
        tritonserver.prepare(), directory, repository, RESTRICTED, "--disable-auto-complete-config", *arguments
    ) as server:
        yield server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every type. Module, since they are only read."""
    directory = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        write(directory, kind)
    return directory


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tritonserver.Server]:
    """One server for the module: a start takes a second."""
    with started(repository, tmp_path_factory.mktemp("triton") / "first") as running:
        yield running


@pytest.fixture
def client(server: tritonserver.Server) -> Iterator[Client]:
    with Client(server.grpc, key=KEY) as found:
        yield found
        for model in [name for name, state in found.repository().items() if state == "READY"]:
            found.unload(model)


@pytest.fixture
def shared(client: Client) -> Iterator[Transport]:
    with Transport(client, regions=Regions()) as found:
        yield found


def payload(kind: str, dims: tuple[int, ...], rows: int, seed: int = 1) -> np.ndarray:
    """Values of all kinds, no NaN, that fill the type's bytes."""
    random = np.random.default_rng(seed)
    if kind == "BOOL":
        return random.integers(0, 2, (rows, *dims)).astype(bool)
    if kind.startswith("FP"):
        return (random.random((rows, *dims)) * 1000 - 500).astype(f"float{kind[2:]}")
    number = np.iinfo(kind.lower())
    return random.integers(number.min, number.max, (rows, *dims), kind.lower(), endpoint=True)


def fill(slot: Slot, images: np.ndarray, seconds: float = 0.0) -> None:
    slot.inputs["images"][: len(images)] = images
    slot.inputs["seconds"][...] = seconds


def digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in images]


def whole(transport: Transport, pool: Pool, images: np.ndarray) -> bool:
    """Return whether the model got what was sent, and its answer came back."""
    slot = pool.acquire(SOON)
    fill(slot, images)
    with transport.infer(slot, rows=len(images), timeout=SOON) as answer:
        same = answer.outputs["same"].tobytes() == images.tobytes()
        return same and [row.tobytes() for row in answer.outputs["digest"]] == digests(images)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_arrive_and_come_back_with_and_without_shared_memory(
    client: Client, shared: Transport, kind: str
) -> None:
    dims = (3, 32, 48)
    model = signature(kind, dims)
    client.load(model.model)
    with Transport(client, regions=None) as message:
        for transport in (shared, message):
            pool = transport.pool(model, batch=4, slots=1)
            for rows in (4, 1, 3):
                assert whole(transport, pool, payload(kind, dims, rows, seed=rows)), f"{rows} rows"
    assert len(client.regions()) == 1


def test_only_the_output_that_is_shared_leaves_the_message(client: Client, shared: Transport) -> None:
    """An output of variable dims comes in the message beside one in shared memory."""
    model = signature("FP16", (3, 8, 8), same=(-1, -1, -1))
    client.load(model.model)
    assert whole(shared, shared.pool(model, batch=2, slots=1), payload("FP16", (3, 8, 8), 2))


def test_a_picture_of_any_size_travels_in_the_message(client: Client, shared: Transport) -> None:
    model = signature("UINT8", (-1, -1, 3))
    client.load(model.model)
    pool = shared.pool(model, batch=1, slots=1)
    for size in ((4, 6, 3), (9, 2, 3)):
        images = payload("UINT8", size, 1)
        slot = pool.acquire()
        slot.give("images", images)
        slot.inputs["seconds"][...] = 0
        with shared.infer(slot, rows=1, timeout=SOON) as answer:
            assert answer.outputs["same"].shape == (1, *size)
            assert answer.outputs["digest"].tobytes() == digests(images)[0]


def test_more_than_the_outputs_say_is_an_error_that_names_the_output(client: Client, shared: Transport) -> None:
    model = signature("FP32", (3, 8, 8), same=(3, 8, 4))
    client.load(model.model)
    pool = shared.pool(model, batch=1, slots=1)
    with pytest.raises(OutputTooLargeError, match=r"'same' \(384 bytes\) should be at least 768 bytes") as caught:
        whole(shared, pool, payload("FP32", (3, 8, 8), 1))
    assert not caught.value.retry
    assert pool.counts.free == 1


def test_eight_at_once_from_eight_threads(client: Client, shared: Transport) -> None:
    model = signature("FP32", (3, 64, 64))
    client.load(model.model)
    pool = shared.pool(model, batch=2, slots=8)
    with ThreadPoolExecutor(8) as workers:
        results = workers.map(
            lambda seed: whole(shared, pool, payload("FP32", (3, 64, 64), 1 + seed % 2, seed)), range(160)
        )
        assert all(results)
    assert pool.counts.made == pool.counts.free <= 8


def test_triton_writes_after_the_caller_gave_up_and_the_slot_waits_for_it(client: Client, shared: Transport) -> None:
    model = signature("FP32", (3, 8, 8))
    client.load(model.model)
    pool = shared.pool(model, batch=1, slots=1)
    images = payload("FP32", (3, 8, 8), 1)
    assert whole(shared, pool, images)
    slot = pool.acquire()
    fill(slot, images * 2, seconds=1.0)
    written = next(area for area in slot.layout.outputs if area.name == "same").view(slot.region.memory)
    with pytest.raises(DeadlineError):
        shared.infer(slot, rows=1, timeout=0.2)
    assert np.array_equal(written[0], images[0]), "still the answer before"
    with pytest.raises(DeadlineError, match="all 1 slots are in use"):
        pool.acquire()

    assert pool.acquire(SOON) is slot
    assert np.array_equal(written[0], images[0] * 2), "Triton has written to it meanwhile"
    slot.release()


def test_a_killed_triton_is_found_again_and_regions_are_registered_anew(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = signature("FP32", (3, 32, 32))
    images = payload("FP32", (3, 32, 32), 1)
    with ExitStack() as stack:
        running = stack.enter_context(started(repository, tmp_path / "one"))
        client = stack.enter_context(Client(running.grpc, key=KEY))
        transport = stack.enter_context(Transport(client, regions=Regions()))
        client.load(model.model)
        pool = transport.pool(model, batch=1, slots=2)
        assert whole(transport, pool, images)
        slots = [pool.acquire() for _ in range(2)]
        for slot in slots:
            fill(slot, images, seconds=20.0)
        futures = [transport.submit(slot, rows=1, timeout=SOON) for slot in slots]
        running.process.kill()
        running.process.wait()
        for future in futures:
            with pytest.raises(TritonError) as caught:
                future.result(SOON)
            assert caught.value.retry
        assert pool.counts.doubtful == 2
        with pytest.raises(TritonError) as caught:
            pool.acquire()
        assert caught.value.retry, "nobody there to ask about them"

        port = int(running.grpc.rpartition(":")[2])
        monkeypatch.setattr(tritonserver, "free_port", lambda: port)
        stack.enter_context(started(repository, tmp_path / "two"))
        client.load(model.model)
        assert all(whole(transport, pool, images * number) for number in range(5))
        assert pool.counts.doubtful == pool.counts.abandoned == 0


def test_without_the_key_triton_shares_nothing(server: tritonserver.Server) -> None:
    with Client(server.grpc) as stranger, Transport(stranger, regions=Regions()) as transport:
        pool = transport.pool(signature("FP32", (3, 8, 8)), batch=1, slots=1)
        with pytest.raises(RefusedError, match="protocol is restricted"):
            transport.infer(pool.acquire(), rows=1, timeout=SOON)


def test_what_a_killed_detector_left_is_swept_from_the_tmpfs_and_from_triton(
    client: Client, shared: Transport, server: tritonserver.Server
) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(tritonserver.ROOT / "operator")!r})
from edgedetector.triton.client import Client
from edgedetector.triton.registration import NEVER, Registrar
from edgedetector.triton.shared_memory import Regions
region = Regions().create(4096)
Registrar(Client({server.grpc!r}, key={KEY!r})).ensure(region, NEVER, 30)
print(region.name, flush=True)
sys.stdin.read()"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        shared.sweep()
        assert name in client.regions(), "it lives"
        os.kill(process.pid, signal.SIGKILL)
    shared.sweep()
    assert name not in client.regions()
    assert not Path("/dev/shm", name).exists()


def test_a_thousand_registrations_leave_nothing_in_triton(client: Client, server: tritonserver.Server) -> None:
    model = signature("UINT8", (3, 8, 8))
    client.load(model.model)
    images = payload("UINT8", (3, 8, 8), 1)
    mapped = Path(f"/proc/{server.process.pid}/maps")
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    with Transport(client, regions=Regions()) as transport:
        assert whole(transport, transport.pool(model, batch=1, slots=1), images)
    before = len(list(descriptors.iterdir()))
    for number in range(1000):
        with Transport(client, regions=Regions()) as transport:
            slot = transport.pool(model, batch=1, slots=1).acquire()
            fill(slot, images)
            if number % 50 == 0:
                transport.infer(slot, rows=1, timeout=SOON).release()
            else:  # only registered
                slot.epoch = transport._registrar.ensure(slot.region, slot.epoch, SOON)
                slot.release()
    assert client.regions() == {}
    assert "edgedetector-tensors-" not in mapped.read_text()
    assert len(list(descriptors.iterdir())) <= before + 2  # connections come and go
