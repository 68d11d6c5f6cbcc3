"""The one server that all are tried on: a real tritonserver and the emulated device, with our pod on it or without."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import tritonclient.grpc as triton
from bench.calibration import tritonserver
from bench.dataplane import site
from bench.tuner import live
from bench.tuner.live import MODEL, Box, Wanted
from bench.tuner.rivals.override import changed
from bench.tuner.rivals.space import START

from edgedetector.detector.repository import Paths
from edgedetector.tuning.window import Knobs

LOAD_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Ground:
    """The server. Nobody's configuration is in force until somebody's is served."""

    wanted: Wanted
    paths: Paths
    device: str
    """host:port"""
    server: site.Triton

    @contextlib.contextmanager
    def pod(self) -> Iterator[Box]:
        """Run our detector with its cameras on this server until the block ends; it begins with `START`.

        Raises
        ------
        TimeoutError
            If it does not come to serve.
        """
        ports = {name: tritonserver.free_port() for name in ("port", "events")}
        roots = {"triton": self.server.pid}
        address, memory = f"http://127.0.0.1:{ports['port']}", live.size_of(self.device)
        box = Box(self.wanted, self.paths, address, self.device, memory=memory, roots=roots)
        box.serve(box.start)
        box.feed(self.wanted.load)
        addresses = {"grpc": _port(self.server.grpc), "metrics": _port(self.server.metrics)}
        home = self.paths.models.parent
        task = {"root": str(home), **addresses, **ports, "fed": True}
        with site.agent(home, "detector", task) as agent:
            roots["detector"] = agent.pid
            try:
                box.settle(site.PATIENCE)
            except TimeoutError as error:
                raise TimeoutError(f"{error}\n{(home / 'detector.log').read_text()[-2000:]}") from None
            yield box

    def serve(self, knobs: Knobs) -> None:
        """Load the model with a configuration in the place of its file's; the one before serves meanwhile.

        Raises
        ------
        tritonclient.utils.InferenceServerException
            If Triton does not take it.
        """
        with triton.InferenceServerClient(self.server.grpc) as client:
            known = client.get_model_config(MODEL, as_json=True)["config"]
            client.load_model(MODEL, config=json.dumps(changed(known, knobs)), client_timeout=LOAD_SECONDS)


@contextlib.contextmanager
def ground(wanted: Wanted) -> Iterator[Ground]:
    """Run the device and tritonserver until the block ends; `wanted` is of our pod, once it is on it."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        device = stack.enter_context(tritonserver.emulated_device(home))
        largest = live.become(device, wanted)
        wanted = replace(wanted, largest=wanted.largest or largest, start=START)
        paths = Paths.under(home)
        paths.models.mkdir(parents=True)
        _engine(paths.sources / MODEL, wanted)
        environment = {"EMULATED_ACCELERATOR_ADDRESS": device}
        server = stack.enter_context(site.triton(home, paths.models, environment))
        yield Ground(wanted, paths, device, server)


def _engine(directory: Path, wanted: Wanted) -> None:
    directory.mkdir(parents=True)
    engine = {"emulatedEngine": {"precision": wanted.precision, "maxBatch": wanted.largest}}
    (directory / f"{MODEL}.engine").write_text(json.dumps(engine))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
