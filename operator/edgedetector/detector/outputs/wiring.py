"""What each output of detector.json becomes: a sink, with the Secrets, the spool and the pictures that it may use."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorConfig
from edgedetector.detector.outputs import cloudevents
from edgedetector.detector.outputs.health import Board, failing
from edgedetector.detector.outputs.jsonlines import JsonLines
from edgedetector.detector.outputs.mqtt import Broker, Mqtt
from edgedetector.detector.outputs.outputs import Count, Sink
from edgedetector.detector.outputs.post import Poster, refusal
from edgedetector.detector.outputs.secretfiles import SecretFile
from edgedetector.detector.outputs.spool import Bound, Spool
from edgedetector.detector.outputs.topics import Topics
from edgedetector.detector.outputs.webhook import Identity, Webhook
from edgedetector.detector.repository import Paths

_EVENT: Final = 256
"""Bytes; no event is smaller. So the spool's bound in bytes is the one that counts."""

Picture = Callable[[str], bytes | None]
"""Returns the newest picture of a camera as JPEG, None if there is none."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What sinks are made with."""

    paths: Paths
    pod: str
    """Name of this pod: no two replicas may have the same at a broker."""
    picture: Picture
    count: Count
    board: Board
    stdout: TextIO = field(default_factory=lambda: sys.stdout)

    def secret(self, name: str, key: str) -> SecretFile | None:
        """Return a key of a Secret; None without a name."""
        return SecretFile(self.paths.secrets / name / key) if name else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is configured."""

    depends: object
    """While this is equal, the sink need not be made anew."""
    make: Callable[[DetectorConfig, Tools], Sink]


def wanted(config: DetectorConfig) -> dict[str, Wanted]:
    """Return the outputs that are configured, by name."""
    outputs, whose = config.outputs, (config.namespace, config.detector)
    found: dict[str, Wanted] = {}
    if outputs.mqtt.url:
        found[Mqtt.name] = Wanted((outputs.mqtt, whose), _mqtt)
    if outputs.webhook.url:
        found[Webhook.name] = Wanted((outputs.webhook, whose), _webhook)
    if outputs.events.stdout:
        found[JsonLines.name] = Wanted(whose, _lines)
    return found


def _mqtt(config: DetectorConfig, tools: Tools) -> Sink:
    mqtt = config.outputs.mqtt
    authority = tools.secret(mqtt.ca_secret, names.FILE_AUTHORITY)
    broker = Broker(
        url=mqtt.url,
        client_id=f"edgedetector-{config.namespace}-{tools.pod or config.detector}",
        username=tools.secret(mqtt.credentials_secret, names.KEY_USERNAME),
        password=tools.secret(mqtt.credentials_secret, names.KEY_PASSWORD),
        authority=authority.path if authority else None,
    )
    return Mqtt(
        broker,
        Topics(mqtt.prefix, mqtt.discovery),
        tools.count,
        qos=mqtt.qos,
        picture=tools.picture if mqtt.snapshots else None,
        tell=tools.board.tell,
    )


def _webhook(config: DetectorConfig, tools: Tools) -> Sink:
    webhook = config.outputs.webhook
    if why := refusal(webhook.url):
        return Refused(Webhook.name, why, tools.board)
    bound = Bound(events=max(1, webhook.spool_bytes // _EVENT), bytes=webhook.spool_bytes)
    identity = Identity(
        source=cloudevents.source(config.namespace, config.detector),
        token=tools.secret(webhook.token_secret, names.KEY_TOKEN),
        key=tools.secret(webhook.signature_secret, names.KEY_SIGNATURE),
    )
    return Webhook(
        lambda: _spool(tools.paths.spool, bound),
        lambda: Poster(webhook.url, timeout=webhook.timeout_seconds),
        identity,
        tools.count,
        tell=tools.board.tell,
    )


def _lines(config: DetectorConfig, tools: Tools) -> Sink:
    return JsonLines(tools.stdout, cloudevents.source(config.namespace, config.detector), tools.count)


class Refused:
    """An output that must not be used: it says why, and takes nothing."""

    def __init__(self, name: str, why: str, board: Board) -> None:
        self._name = name
        self._why = why
        self._board = board

    @property
    def name(self) -> str:
        """Name of the output."""
        return self._name

    def run(self, _mailbox: object, _scene: object, stop: threading.Event) -> None:
        """Wait until `stop` is set; of the reports the queue drops and counts those that find no room."""
        self._board.tell(self._name, failing(self._why))
        stop.wait()


def _spool(folder: Path, bound: Bound) -> Spool:
    folder.mkdir(parents=True, exist_ok=True)
    return Spool(folder / "events.sqlite", bound)
