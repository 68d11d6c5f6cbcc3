"""The client over a real gRPC channel; only the server's answers are ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from edgedetector.api import names
from edgedetector.triton.client import Client, Timeouts
from edgedetector.triton.errors import (
    DeadlineError,
    RefusedError,
    RejectedError,
    TritonError,
    UnavailableError,
    translate,
)

RESTRICTED = "This protocol is restricted, expecting header 'triton-grpc-protocol-admin'"


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers a load as told, knows the key, and doubles numbers."""

    def __init__(self) -> None:
        self.answer: Callable[[Any], None] = lambda _context: None
        self.key = "s3cret"

    def ServerLive(self, request, context):  # noqa: ARG002, N802 - a generated name
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request, context):  # noqa: ARG002, N802 - a generated name
        return service_pb2.ModelReadyResponse(ready=request.name == "people")

    def RepositoryModelLoad(self, request, context):  # noqa: ARG002, N802 - a generated name
        if dict(context.invocation_metadata()).get(names.RESTRICTED_PROTOCOL_HEADER) != self.key:
            context.abort(grpc.StatusCode.UNAVAILABLE, RESTRICTED)
        self.answer(context)
        return service_pb2.RepositoryModelLoadResponse()

    def ModelInfer(self, request, context):  # noqa: N802 - a generated name
        self.answer(context)
        numbers = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="Y", datatype="FP32", shape=request.inputs[0].shape)
        answer.raw_output_contents.append(numbers.tobytes())
        return answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    with serve(server) as found:
        yield found


@contextmanager
def serve(server: Server) -> Iterator[str]:
    running = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(server, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        running.stop(None).wait()


def aborting(code: grpc.StatusCode, message: str) -> Callable[[Any], None]:
    return lambda context: context.abort(code, message)


def test_a_load_carries_the_key(address: str) -> None:
    with Client(address, key="s3cret") as client:
        client.load("people")


@pytest.mark.parametrize("key", ["", "guess"])
def test_a_load_without_the_right_key_is_refused_for_good(address: str, key: str) -> None:
    with Client(address, key=key) as client, pytest.raises(RefusedError, match="load people: This protocol") as caught:
        client.load("people")
    assert not caught.value.retry


def test_a_configuration_that_does_not_load_is_rejected_in_tritons_words(server: Server, address: str) -> None:
    server.answer = aborting(grpc.StatusCode.INTERNAL, "load failed for model 'people': no backend;;\nstack")
    with Client(address, key="s3cret") as client, pytest.raises(RejectedError) as caught:
        client.load("people")
    assert str(caught.value) == "load people: no backend"


def test_a_call_without_an_answer_ends_at_its_time_out(server: Server, address: str) -> None:
    server.answer = _until_cancelled
    timeouts = Timeouts(infer=0.2)
    with Client(address, timeouts=timeouts) as client, pytest.raises(DeadlineError, match="infer people") as caught:
        client.infer("people", {"X": np.ones((1, 2), np.float32)}, ["Y"])
    assert caught.value.retry


def _until_cancelled(context: Any) -> None:
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(10)


def test_nobody_at_the_address_is_unavailable_and_not_live() -> None:
    with Client("127.0.0.1:1") as client:
        assert not client.is_live()
        with pytest.raises(UnavailableError) as caught:
            client.is_ready("people")
    assert caught.value.retry


def test_answers_come_back(address: str) -> None:
    with Client(address) as client:
        assert client.is_live()
        assert client.is_ready("people")
        assert not client.is_ready("other")
        answer = client.infer("people", {"X": np.array([[1.0, 2.0]], np.float32)}, ["Y"])
    assert answer["Y"].tolist() == [[2.0, 4.0]]


REAL_START = threading.Thread.start


def no_more_threads(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let calls get no further threads, as at the limit of processes; something happens before that is known."""

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("triton-call"):
            meanwhile()
            raise RuntimeError("can't start new thread")
        REAL_START(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def doubling(number: float) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="people")
    request.inputs.add(name="X", datatype="FP32", shape=[1])
    request.raw_input_contents.append(np.array([number], np.float32).tobytes())
    return request


def test_a_call_for_which_there_is_no_thread_is_not_made_later_by_one_that_is_kept(
    server: Server, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, asked, done = threading.Event(), threading.Semaphore(0), []
    server.answer = lambda _context: (asked.release(), go.wait(30))
    with Client(address) as client:
        client.begin(doubling(1), lambda *answer: done.append((1, answer)), timeout=30)
        assert asked.acquire(timeout=30)
        no_more_threads(monkeypatch, lambda: None)
        with pytest.raises(UnavailableError, match="infer people: not sent: can't start new thread"):
            client.begin(doubling(2), lambda *answer: done.append((2, answer)), timeout=30)
        go.set()
    assert [number for number, _ in done] == [1], "all calls have ended with the client"


def test_a_call_that_a_kept_thread_took_is_no_error_though_no_other_could_be_started(
    server: Server, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, asked, done = threading.Event(), threading.Semaphore(0), []
    taken, answered = threading.Event(), threading.Event()

    @contextmanager
    def around() -> Iterator[None]:
        taken.set()
        yield

    server.answer = lambda _context: (asked.release(), go.wait(30))
    with Client(address) as client:
        client.begin(doubling(1), lambda *answer: done.append((1, answer)), timeout=30)
        assert asked.acquire(timeout=30)
        # Only until it is taken: to answer it the server, in this process, needs a lock that `submit` holds.
        no_more_threads(monkeypatch, lambda: (go.set(), taken.wait(30)))
        client.begin(doubling(2), lambda *answer: (done.append((2, answer)), answered.set()), timeout=30, around=around)
        assert taken.is_set()
        assert answered.wait(30)
    assert [(number, error) for number, (_, error) in done] == [(1, None), (2, None)]


def test_a_restarted_server_is_found_again(server: Server) -> None:
    with serve(server) as address, Client(address) as client:
        assert client.is_live()
    with Client(address) as client:
        assert not client.is_live()
        again = grpc.server(ThreadPoolExecutor(2))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(server, again)
        again.add_insecure_port(address)
        again.start()
        assert any(client.is_live() for _ in range(10_000))
        again.stop(None).wait()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAVAILABLE", UnavailableError),
        ("CANCELLED", UnavailableError),
        ("RESOURCE_EXHAUSTED", UnavailableError),
        ("NOT_FOUND", UnavailableError),
        ("DEADLINE_EXCEEDED", DeadlineError),
        ("PERMISSION_DENIED", RefusedError),
        ("UNAUTHENTICATED", RefusedError),
        ("INVALID_ARGUMENT", RejectedError),
        ("INTERNAL", RejectedError),
        ("UNIMPLEMENTED", RejectedError),
        ("ALREADY_EXISTS", RejectedError),
        ("FAILED_PRECONDITION", RejectedError),
        ("UNKNOWN", RejectedError),
    ],
)
def test_every_status_becomes_one_of_ours(code: str, kind: type[TritonError]) -> None:
    error = translate("infer people", f"StatusCode.{code}", "words")
    assert type(error) is kind
    assert str(error) == "infer people: words"


def test_an_error_without_words_names_its_code() -> None:
    assert str(translate("load x", "StatusCode.UNKNOWN", " ")) == "load x: StatusCode.UNKNOWN"
