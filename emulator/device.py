"""The emulated device as a process, one a node: `python -m emulator.device`.

Every port that it listens on speaks both of its languages:

* **HTTP**: ``GET /metrics`` (the vendor exporter's names, port 9400) and ``GET /healthz``.
* **Executions**: one JSON object a line and an answer to each, over a connection that is one engine instance (port
  9401). The connection's end unloads the instance, however it ends.

  ``{"op": "open", "model": "people", "precision": "fp16", "maxBatch": 32}`` loads an engine and gives its memory;
  ``{"op": "execute", "batch": 4, "bytes": 9830400}`` gives ``waitMs``: how long from the receipt of the request until
  the batch is ready (the caller sleeps, which is more exact than a woken-up answer); ``"lateMs"``: how much it
  overslept the last time;
  ``{"op": "configure", "set": {"link.lanes": 1}}`` changes the device, with ``"device": "seed:7"`` it becomes that one
  first; ``{"op": "describe"}`` shows it.

An answer has ``"ok": true``, or ``"ok": false`` and an ``error``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emulator import exporter, model, seeds
from emulator.profile import DeviceProfile, InvalidProfileError, load, override, parse_assignments, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

CALIBRATION: Final = Path(__file__).with_name("calibration.toml")
METRICS_PORT: Final = 9400
EXECUTE_PORT: Final = 9401
LONGEST_LINE: Final = 65_536

log = logging.getLogger("emulator.device")


class Device:
    """The state behind a lock, and the clock; what it does is in `emulator.model`."""

    def __init__(self, profile: DeviceProfile, clock: Callable[[], float] = time.monotonic) -> None:
        self._profile, self._clock = profile, clock
        self._state = model.advance(model.DeviceState(), profile, self._now())
        self._lock = threading.Lock()

    def _now(self) -> float:
        return self._clock() * 1e3

    def open(self, request: dict[str, Any]) -> model.Session:
        """Load an engine instance."""
        with self._lock:
            try:
                self._state, session = model.open_session(
                    self._state,
                    self._profile,
                    model=str(request["model"]),
                    precision=str(request["precision"]),
                    max_batch=int(request.get("maxBatch") or self._profile.max_batch),
                )
            except model.RefusedError:
                self._state = model.refuse(self._state)
                raise
            return session

    def execute(self, session: int, request: dict[str, Any]) -> dict[str, Any]:
        """Take a batch and say how long it takes."""
        with self._lock:
            now = self._now()
            try:
                self._state, run = model.execute(
                    self._state, self._profile, session, images=int(request["batch"]),
                    payload=int(request.get("bytes", 0)), now=now, late=float(request.get("lateMs", 0.0)),
                )  # fmt: skip
            except model.RefusedError:
                self._state = model.refuse(self._state)
                raise
        return {"waitMs": run.done - now, "linkMs": run.link_end - run.link_start, "busyMs": run.busy}

    def close(self, session: int) -> None:
        """Unload an engine instance."""
        with self._lock:
            self._state = model.close_session(self._state, session)

    def configure(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change the device (a card that was reseated, a scheduler that was patched) or replace it by another."""
        with self._lock:
            base = choose(request["device"]) if "device" in request else self._profile
            self._profile = override(base, request.get("set", {}))
        log.info("device changed: %s", json.dumps(request))
        return {"device": self._profile.name}

    def describe(self) -> dict[str, Any]:
        """Return the profile and what a monitor sees."""
        profile, state, reading = self.observe()
        return {
            "profile": to_dict(profile),
            "utilisation": reading.utilisation,
            "hostUtilisation": reading.host_utilisation,
            "memoryUsed": reading.memory_used,
            "temperature": reading.temperature,
            "instances": reading.instances,
            "images": state.totals.images,
        }

    def observe(self) -> tuple[DeviceProfile, model.DeviceState, model.Reading]:
        """Return profile, state and a reading of this moment."""
        with self._lock:
            now = self._now()
            self._state = model.advance(self._state, self._profile, now)
            return self._profile, self._state, model.read(self._state, self._profile, now)


class Connection:
    """What a client of the device says over one connection: at most one engine instance."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._session: model.Session | None = None

    def answer(self, line: bytes) -> dict[str, Any]:
        """Do what a line asks for."""
        try:
            request = json.loads(line)
            return {"ok": True, **self._perform(request)}
        except (model.RefusedError, InvalidProfileError) as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            return {"ok": False, "error": f"bad request: {type(error).__name__}: {error}"}

    def _perform(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = request["op"]
        if operation == "execute":
            if self._session is None:
                raise model.RefusedError("no engine is loaded over this connection")
            return self._device.execute(self._session.id, request)
        if operation == "open":
            if self._session is not None:
                raise model.RefusedError("an engine is already loaded over this connection")
            self._session = self._device.open(request)
            log.info("loaded %s", self._session)
            return {"session": self._session.id, "memoryMb": self._session.memory, "maxBatch": self._session.max_batch}
        if operation == "configure":
            return self._device.configure(request)
        if operation == "describe":
            return self._device.describe()
        raise ValueError(f"no operation {operation!r}")

    def close(self) -> None:
        """Unload what was loaded."""
        if self._session is not None:
            self._device.close(self._session.id)
            log.info("unloaded %s", self._session)


class Server(socketserver.ThreadingTCPServer):
    """Listens on one port and speaks HTTP or executions, whichever the client does."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], device: Device, selection: exporter.Selection, host: str) -> None:
        self.device, self.selection, self.host = device, selection, host
        super().__init__(address, _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client whose network went away would hold its memory for ever.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        if self.request.recv(1, socket.MSG_PEEK) != b"{":
            _Http(self.request, self.client_address, self.server)
            return
        connection = Connection(self.server.device)
        try:
            with self.request.makefile("rb") as lines:
                while line := lines.readline(LONGEST_LINE):
                    self.request.sendall(json.dumps(connection.answer(line)).encode() + b"\n")
        except OSError as error:
            log.info("connection lost: %s", error)
        finally:
            connection.close()


class _Http(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/metrics":
            profile, state, reading = self.server.device.observe()
            body = exporter.exposition(profile, state, reading, selection=self.server.selection, host=self.server.host)
        elif self.path in {"/health", "/healthz"}:
            body = b"ok\n"
        else:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)


def choose(name: str, changes: str = "") -> DeviceProfile:
    """Return the device called `name` (a name of the calibration file, or ``seed:N``) with `changes` made.

    Raises
    ------
    InvalidProfileError
        If there is none of that name or a change does not fit.
    """
    devices = load(CALIBRATION)
    kind, _, number = name.partition(":")
    if kind == "seed" and number.isdigit():
        chosen = seeds.device(int(number))
    elif name in devices:
        chosen = devices[name]
    else:
        raise InvalidProfileError(f"no device {name!r}: one of {', '.join(devices)} or seed:N")
    return override(chosen, parse_assignments(changes))


def select(mode: str, path: Path) -> exporter.Selection:
    """Return which metrics to show, by mode and the vendor's file at `path`.

    ``auto``: the vendor's names that the file asks for (without a file every one) and what only an emulation knows;
    ``vendor``: exactly what the real exporter shows; ``all``: everything, whatever the file says.
    """
    if mode == "all":
        return exporter.Selection()
    try:
        return exporter.Selection(exporter.requested(path), truth=mode == "auto")
    except OSError as error:
        log.warning("no list of metrics: %s", error)
        return exporter.Selection() if mode == "auto" else exporter.Selection(exporter.KS20_METRICS, truth=False)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator.device", description="Emulated accelerator.")
    env = os.environ.get
    parser.add_argument("-f", "--collectors", type=Path, default=Path("/etc/dcgm-exporter/ks20-metrics.csv"))
    parser.add_argument("-a", "--address", default=f":{METRICS_PORT}", help="as the vendor's exporter has it")
    parser.add_argument("--execute-port", type=int, default=EXECUTE_PORT)
    parser.add_argument("--device", default=env("EMULATED_DEVICE", "ks20"), help="a calibrated device, or seed:N")
    parser.add_argument("--set", default=env("EMULATED_DEVICE_SET", ""), help="link.lanes=1,scheduler.patched=true")
    parser.add_argument(
        "--metrics",
        choices=["auto", "vendor", "all"],
        default=env("EMULATED_METRICS", "auto"),
        help="vendor: only what the collectors file asks for; auto: and what only an emulation knows",
    )
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        log.warning("arguments of the vendor's exporter without a meaning here: %s", " ".join(unknown))
    return known


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    arguments = _arguments(argv)
    device = Device(choose(arguments.device, arguments.set))
    selection = select(arguments.metrics, arguments.collectors)
    host, _, port = arguments.address.rpartition(":")
    name = os.environ.get("NODE_NAME", "") or socket.gethostname()
    ports = dict.fromkeys([int(port), arguments.execute_port])
    servers = [Server((host.strip("[]"), number), device, selection, name) for number in ports]
    log.warning("EMULATED accelerator %s on ports %s: no such hardware is present, all figures are simulated",
                arguments.device, [server.server_address[1] for server in servers])  # fmt: skip
    for server in servers:
        threading.Thread(target=server.serve_forever, name=f"port-{server.server_address[1]}", daemon=True).start()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
