"""A thin client of one Triton over gRPC: every call has a time-out, every error is one of `errors`."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient import grpc as triton_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from edgedetector.api import names
from edgedetector.triton.errors import TritonError, UnavailableError, translate

Array = npt.NDArray[Any]
Done = Callable[[Any, TritonError | None], None]
"""Takes tritonclient's InferResult, or None and the error."""
Around = Callable[[], AbstractContextManager[object]]
"""Entered on the thread of a request for as long as it is on its way: what it takes can be told there alone."""

_CHANNEL_ARGUMENTS: Final = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.primary_user_agent", "edgedetector"),
    # gRPC waits up to 120 s between attempts by default; a restarted Triton must be found at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_CALLS: Final = 1024
"""Requests of `begin` at once, far above all slots that there can be: none waits for another's thread."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for which each kind of call may take."""

    query: float = 2.0
    infer: float = 10.0
    load: float = 120.0
    """An engine of 500 MB loads in under 1 s, a python model in about 2 s; the rest is for slow disks."""


class Journal:
    """When requests were sent and answered, by ids that they bear meanwhile: what a trace of Triton's is held against.

    Times are those of `time.monotonic_ns`. Safe for many threads.
    """

    def __init__(self) -> None:
        self.prefix = f"edgedetector-{secrets.token_hex(4)}-"
        self._numbers = itertools.count()
        self.exchanges: dict[str, tuple[int, int]] = {}

    def id(self) -> str:
        """Return an id that no other request has."""
        return f"{self.prefix}{next(self._numbers)}"


class Client:
    """One server. Safe for many threads, as the channel under it is.

    Parameters
    ----------
    url
        host:port of Triton's gRPC endpoint.
    key
        Value for the restricted protocols; without it loads are refused.
    """

    def __init__(self, url: str, *, key: str = "", timeouts: Timeouts | None = None) -> None:
        self._client = triton_grpc.InferenceServerClient(url, channel_args=_CHANNEL_ARGUMENTS)
        # Of the same arguments, so that gRPC's core gives both the same connection.
        self._channel = grpc.insecure_channel(url, options=_CHANNEL_ARGUMENTS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="triton-call")
        self._headers = {names.RESTRICTED_PROTOCOL_HEADER: key} if key else None
        self._timeouts = timeouts or Timeouts()
        self._journal: Journal | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channels; requests on their way fail."""
        self._client.close()
        self._channel.close()
        self._calls.shutdown()

    def is_live(self) -> bool:
        """Return whether a server answers; never raises."""
        try:
            with _ours("server live"):
                return bool(self._client.is_server_live(client_timeout=self._timeouts.query))
        except TritonError:
            return False

    def is_ready(self, model: str) -> bool:
        """Return whether a model can be asked.

        Raises
        ------
        UnavailableError, DeadlineError
            If the server itself does not answer.
        """
        with _ours(f"ready {model}"):
            return bool(self._client.is_model_ready(model, client_timeout=self._timeouts.query))

    def config(self, model: str) -> Any:
        """Return the model's configuration in force, a ``ModelConfig`` protobuf with Triton's defaults filled in."""
        with _ours(f"config {model}"):
            return self._client.get_model_config(model, client_timeout=self._timeouts.query).config

    def statistics(self, model: str) -> Any:
        """Return the ``ModelStatistics`` protobuf of a model; its counters start anew at a full reload."""
        with _ours(f"statistics {model}"):
            answer = self._client.get_inference_statistics(model, client_timeout=self._timeouts.query)
        if not answer.model_stats:
            raise UnavailableError(f"statistics {model}: no version is loaded")
        return answer.model_stats[0]

    def all_statistics(self, *, timeout: float) -> dict[str, Any]:
        """Return name -> ``ModelStatistics`` of every model that is loaded, ensembles too; one question for all.

        Parameters
        ----------
        timeout
            Seconds.
        """
        with _ours("statistics"):
            answer = self._client.get_inference_statistics(client_timeout=timeout)
        return {model.name: model for model in answer.model_stats}

    def version(self) -> str:
        """Return the server's version."""
        with _ours("server metadata"):
            return str(self._client.get_server_metadata(client_timeout=self._timeouts.query).version)

    def load(self, model: str) -> None:
        """Load or reload a model from its files in the repository; the old one serves until the new one is ready.

        Raises
        ------
        RejectedError
            If it does not load; the one before goes on serving.
        RefusedError
            If the key is wrong.
        """
        with _ours(f"load {model}"):
            self._client.load_model(model, headers=self._headers, client_timeout=self._timeouts.load)

    def unload(self, model: str) -> None:
        """Unload a model."""
        with _ours(f"unload {model}"):
            self._client.unload_model(model, headers=self._headers, client_timeout=self._timeouts.load)

    def repository(self) -> dict[str, str]:
        """Return name -> state (``READY``, ``UNAVAILABLE``, ...) of every model in the repository."""
        with _ours("repository index"):
            answer = self._client.get_model_repository_index(headers=self._headers, client_timeout=self._timeouts.query)
        return {entry.name: entry.state for entry in answer.models}

    def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, timeout: float | None = None
    ) -> dict[str, Array]:
        """Ask a model.

        Parameters
        ----------
        inputs
            Contiguous arrays by input name, with the batch dimension if the model has one.
        outputs
            Names of the outputs wanted.
        timeout
            Seconds; the default of `Timeouts.infer` otherwise.

        Returns
        -------
        dict of str to numpy.ndarray
            The outputs by name.
        """
        with _ours(f"infer {model}"):
            result = self._client.infer(
                model,
                [_input(name, array) for name, array in inputs.items()],
                outputs=[triton_grpc.InferRequestedOutput(name) for name in outputs],
                client_timeout=timeout or self._timeouts.infer,
            )
        return {name: result.as_numpy(name) for name in outputs}

    def begin(
        self, request: service_pb2.ModelInferRequest, done: Done, *, timeout: float, around: Around = nullcontext
    ) -> None:
        """Ask a model and return at once; `done` is called once, on a thread that the request has for itself.

        Each request is a blocking call on a thread that is kept. gRPC's calls with a callback start a thread of
        gRPC's whenever none is on its way, which at the rates of a few cameras is each time, and take twice the CPU.

        Raises
        ------
        UnavailableError
            If the client is closed or the system has no more threads; then `done` is not called.
        """
        claim = threading.Lock()
        try:
            self._calls.submit(self._call, claim, request, done, timeout, around)
        except RuntimeError as error:
            # The executor queues before it starts a thread: one that it has may take the call all the same, or has.
            if claim.acquire(blocking=False):
                raise UnavailableError(f"infer {request.model_name}: not sent: {error}") from None

    def _call(
        self, claim: threading.Lock, request: service_pb2.ModelInferRequest, done: Done, timeout: float, around: Around
    ) -> None:
        if not claim.acquire(blocking=False):
            return  # It was reported as not sent.
        operation = f"infer {request.model_name}"
        try:
            with around(), _ours(operation):
                answer = self._answered(request, timeout)
        except TritonError as error:
            done(None, error)
        else:
            done(triton_grpc.InferResult(answer), None)

    def _answered(self, request: service_pb2.ModelInferRequest, timeout: float) -> Any:
        journal = self._journal
        if journal is None:
            if request.id:  # Messages are used again, and a trace that is over has no more to do with them.
                request.ClearField("id")
            return self._stub.ModelInfer(request, timeout=timeout)
        request.id = journal.id()
        began = time.monotonic_ns()
        answer = self._stub.ModelInfer(request, timeout=timeout)
        journal.exchanges[request.id] = began, time.monotonic_ns()
        return answer

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """Keep a journal of the requests of `begin` for as long as the block runs; one at a time."""
        self._journal = found = Journal()
        try:
            yield found
        finally:
            self._journal = None

    def trace_settings(self) -> dict[str, tuple[str, ...]]:
        """Return how requests are traced, by setting, e.g. ``trace_count``: ``("5",)``."""
        with _ours("trace settings"):
            answer = self._client.get_trace_settings(headers=self._headers, client_timeout=self._timeouts.query)
        return {name: tuple(setting.value) for name, setting in answer.settings.items()}

    def set_trace(self, settings: Mapping[str, str | list[str] | None]) -> None:
        """Change how all models' requests are traced; None stands for what the server was started with.

        Raises
        ------
        RejectedError
            If a setting cannot be changed, e.g. the file, from a release after 23.07 on.
        """
        with _ours("trace settings"):
            self._client.update_trace_settings(
                settings=dict(settings), headers=self._headers, client_timeout=self._timeouts.query
            )

    def verbosity(self) -> int:
        """Return how much of the verbose log Triton writes; 0: none."""
        with _ours("log settings"):
            answer = self._client.get_log_settings(headers=self._headers, client_timeout=self._timeouts.query)
        return int(answer.settings["log_verbose_level"].uint32_param)

    def set_verbosity(self, level: int) -> None:
        """Change how much of the verbose log Triton writes; 0: none."""
        with _ours("log settings"):
            self._client.update_log_settings(
                {"log_verbose_level": level}, headers=self._headers, client_timeout=self._timeouts.query
            )

    def register(self, name: str, key: str, size: int, *, timeout: float | None = None) -> None:
        """Tell Triton of a region of system shared memory, within `timeout` seconds if that is less than a query's.

        Raises
        ------
        RegionExistsError
            If one of that name is registered.
        SharedMemoryDisabledError, SharedMemoryUnreachableError
            If Triton may not, or cannot, open it.
        RefusedError
            If the key for the restricted protocols is wrong.
        """
        with _ours(f"register {name}"):
            limit = min(timeout or self._timeouts.query, self._timeouts.query)
            self._client.register_system_shared_memory(name, key, size, headers=self._headers, client_timeout=limit)

    def unregister(self, name: str) -> None:
        """Let Triton forget a region; one that it does not know is no error.

        No request may be using it: before 24.10 Triton unmaps it all the same and dies of it (server #3207).
        """
        with _ours(f"unregister {name}"):
            self._client.unregister_system_shared_memory(
                name, headers=self._headers, client_timeout=self._timeouts.query
            )

    def regions(self) -> dict[str, int]:
        """Return name -> bytes of every region of system shared memory that Triton knows."""
        with _ours("shared memory status"):
            answer = self._client.get_system_shared_memory_status(
                headers=self._headers, client_timeout=self._timeouts.query
            )
        return {name: region.byte_size for name, region in answer.regions.items()}


def _input(name: str, array: Array) -> Any:
    tensor = triton_grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(array))
    return tensor


@contextmanager
def _ours(operation: str) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        raise translate(operation, str(error.status()), str(error.message())) from None
    except grpc.RpcError as error:
        raise translate(operation, str(error.code()), str(error.details())) from None
    except ValueError as error:  # gRPC's, of a channel that was closed
        if "closed channel" not in str(error):
            raise
        raise UnavailableError(f"{operation}: the client is closed") from None
