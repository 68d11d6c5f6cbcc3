"""A gRPC server with Triton's words for shared memory, whose one model can be held, so that tests decide what is late.

Only what a real tritonserver cannot be made to do at a given moment is tested with it; `test_on_triton` has the rest.
The words are those of Triton 24.10, recorded.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from edgedetector.api import names

KEY = "s3cret"


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Doubles numbers: X [rows, n] to Y. `held` requests wait for `go`, and then write whether anybody waits or not."""

    def __init__(self, directory: Path = Path("/dev/shm"), version: str = "2.51.0") -> None:
        self.directory, self._version = directory, version
        self.regions: dict[str, Any] = {}
        self.registered: list[str] = []
        self.unregistered = threading.Semaphore(0)
        self.held = False
        self.in_use = 0
        self.go, self.arrived, self.written = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.infer_error: tuple[grpc.StatusCode, str] | None = None

    def restart(self) -> None:
        self.regions = {}

    def ServerMetadata(self, request, context):  # noqa: ARG002, N802 - a generated name
        return service_pb2.ServerMetadataResponse(name="triton", version=self._version)

    def SystemSharedMemoryRegister(self, request, context):  # noqa: N802 - a generated name
        if self.refusal:
            context.abort(*self.refusal)
        if dict(context.invocation_metadata()).get(names.RESTRICTED_PROTOCOL_HEADER) != KEY:
            context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'x'")
        if request.name in self.regions:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"shared memory region '{request.name}' already in manager")
        with (self.directory / request.key.lstrip("/")).open("r+b") as file:
            self.regions[request.name] = mmap.mmap(file.fileno(), request.byte_size)
        self.registered.append(request.name)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request, context):  # noqa: N802 - a generated name
        if self.in_use:
            self.in_use -= 1
            context.abort(
                grpc.StatusCode.INTERNAL,
                f"Cannot unregister shared memory region '{request.name}', it is currently in use.",
            )
        self.regions.pop(request.name, None)
        self.unregistered.release()
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def SystemSharedMemoryStatus(self, request, context):  # noqa: ARG002, N802 - a generated name
        answer = service_pb2.SystemSharedMemoryStatusResponse()
        for name, region in self.regions.items():
            answer.regions[name].byte_size = len(region)
        return answer

    def ModelInfer(self, request, context):  # noqa: N802 - a generated name
        (given,), raw = request.inputs, list(request.raw_input_contents)
        memory = self._memory(context, given)
        self.arrived.release()
        if self.held:
            self.go.wait(30)
        if self.infer_error:
            context.abort(*self.infer_error)
        size = int(np.prod(given.shape)) * 4
        offset = given.parameters["shared_memory_offset"].int64_param
        data = memory[offset : offset + size] if memory is not None else raw[0]
        return self._answer(context, request, np.frombuffer(data, np.float32) * 2)

    def _answer(self, context, request, numbers):
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="Y", datatype="FP32", shape=request.inputs[0].shape)
        wanted = request.outputs[0]
        memory = self._memory(context, wanted)
        if memory is None:
            answer.raw_output_contents.append(numbers.tobytes())
            return answer
        offset = wanted.parameters["shared_memory_offset"].int64_param
        memory[offset : offset + numbers.nbytes] = numbers.tobytes()
        answer.raw_output_contents.append(b"")
        self.written.release()
        return answer

    def _memory(self, context, tensor):
        if "shared_memory_region" not in tensor.parameters:
            return None
        name = tensor.parameters["shared_memory_region"].string_param
        if name not in self.regions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Unable to find shared memory region: '{name}'")
        return self.regions[name]


@contextmanager
def serve(triton: Triton) -> Iterator[str]:
    """Serve until the block ends; yields host:port."""
    running = grpc.server(ThreadPoolExecutor(16))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        triton.go.set()
        running.stop(None).wait()
