"""A real mosquitto for a test, and somebody who listens to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from tests.e2e.node.localnode import debian

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
AVAILABLE = bool(shutil.which("mosquitto", path=_PATH)) or (os.geteuid() == 0 and bool(shutil.which("apt-get")))
"""Whether there is a mosquitto, or one can be installed."""


def program() -> str:
    """Return the broker's program, installed from Debian's packages if it is missing."""
    found = shutil.which("mosquitto", path=_PATH)
    if found is None:
        debian.ensure({"mosquitto": "mosquitto"})
    return found or "/usr/sbin/mosquitto"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker on a port of its own, as a child process."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        # Started as root it would become another user, who cannot read the test's files.
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "user root", *options]
        if not any(line.startswith("allow_anonymous") for line in options):
            lines.append("allow_anonymous true")
        self._config.write_text("\n".join(lines) + "\n")
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program(), "-c", str(self._config)], stdout=log, stderr=log)
        wait_for(self._answers, self._log.read_text)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def mosquitto(folder: Path, *options: str) -> Iterator[Mosquitto]:
    broker = Mosquitto(folder, *options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Listener:
    """Hears everything."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.kept: dict[str, bytes] = {}
        """What the broker had kept for a newcomer."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{uuid.uuid4()}")
        ready = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _client, _data, message: self._hear(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(10)

    def _hear(self, message: paho.MQTTMessage) -> None:
        if message.retain:
            self.kept[message.topic] = message.payload
        self.heard.append((message.topic, message.payload))

    def of(self, topic: str) -> list[bytes]:
        return [payload for said, payload in list(self.heard) if said == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


def wait_for(condition: Callable[[], object], last: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; fail with the last state seen."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, last()
        pause.wait(0.02)
