"""Reports to an MQTT broker, by the topics of `topics`.

MQTT 3.1.1, which every broker speaks; nothing here needs 5. What is retained (availability, counts, discovery) is sent
with QoS 1: a count that got lost would stay wrong until the next object comes. Events are sent with the QoS that the
user chose: 0 may lose some with the connection, 1 may repeat some, told apart by `after.id` and `type`.

A client of paho is made anew for each connection, with what the Secret's files hold then; what the broker has not
acknowledged is published again over the next one.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.health import FINE, Tell, failing, lacking
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.outputs import Count
from edgedetector.detector.outputs.reports import Report, Scene
from edgedetector.detector.outputs.secretfiles import MissingSecretError, SecretFile
from edgedetector.detector.outputs.topics import OFFLINE, ONLINE, Topics, changes, event

log = logging.getLogger(__name__)

_WINDOW: Final = 64
"""Messages that the broker has not acknowledged; more wait in the mailbox, where the oldest make room."""
_POLL: Final = 0.2
"""Seconds between looks at connection and scene, if nobody wakes us."""
_CONNECT: Final = 5.0
"""Seconds for TCP, TLS and the broker's answer, each."""
_FAREWELL: Final = 20
"""Looks, a tenth of a second apart, for the broker's answer to the last message."""


@dataclass(frozen=True, slots=True)
class Broker:
    """How a broker is reached."""

    url: str
    """mqtt:// or mqtts://, without user name."""
    client_id: str
    """Unique to the replica: a broker drops the older of two connections with one id."""
    username: SecretFile | None = None
    password: SecretFile | None = None
    authority: Path | None = None
    """Certificates to trust instead of the system's."""
    keepalive: int = 15
    """Seconds; a broker takes a replica that is silent for one and a half of it for dead, and says so."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    report: bool = False
    """Whether it is counted."""


class LostError(Exception):
    """There is no connection, or no longer. The message says why, without any secret."""


class Connection:
    """One connection to a broker, from the first packet to the last. Raises LostError if there is none to be had."""

    def __init__(self, broker: Broker, topics: Topics, on_message: Callable[[str, bytes, bool], None]) -> None:
        self._answered, self._lost = threading.Event(), threading.Event()
        self._why = "no answer in time"
        self._lock = threading.Lock()
        self._unacknowledged: OrderedDict[int, Message] = OrderedDict()
        self._early: set[int] = set()
        self._on_message = on_message
        self._client = _client(broker)
        self._client.will_set(topics.available, OFFLINE, qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._acknowledged
        self._client.on_message = lambda _client, _data, found: on_message(
            found.topic, bytes(found.payload), found.retain
        )
        self._done = 0
        at = urlsplit(broker.url)
        try:
            self._client.connect(at.hostname or "", at.port or (8883 if _secure(broker) else 1883), broker.keepalive)
        except (OSError, ValueError) as error:
            raise LostError(type(error).__name__) from None
        self._client.loop_start()
        if not self._answered.wait(_CONNECT) or self._lost.is_set():
            self.close()
            raise LostError(self._why)

    @property
    def alive(self) -> bool:
        """Whether it stands."""
        return not self._lost.is_set()

    @property
    def room(self) -> int:
        """How many messages may be published before the broker has acknowledged one."""
        with self._lock:
            return max(0, _WINDOW - len(self._unacknowledged))

    def unacknowledged(self) -> list[Message]:
        """Return what the broker may not have, oldest first."""
        with self._lock:
            return list(self._unacknowledged.values())

    def acknowledged(self) -> int:
        """Return how many reports the broker took since the last call."""
        with self._lock:
            done, self._done = self._done, 0
        return done

    def subscribe(self, topic: str) -> None:
        """Ask for what is published, and what is retained, under a filter."""
        self._client.subscribe(topic, qos=1)

    def publish(self, message: Message) -> None:
        """Send a message; it is unacknowledged until the broker says otherwise, or, with QoS 0, until it is written."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        with self._lock:
            # The answer may be here before we know the message's number.
            if info.mid in self._early:
                self._early.discard(info.mid)
                self._done += message.report
            else:
                self._unacknowledged[info.mid] = message

    def close(self) -> None:
        """Disconnect without a last will, and wait for paho's thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._why = str(code)
            self._lost.set()
        self._answered.set()

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if not self._lost.is_set():
            self._why = str(code)
        self._lost.set()
        self._answered.set()

    def _acknowledged(self, _client: Any, _data: Any, mid: int, _code: Any, _properties: Any) -> None:
        with self._lock:
            if (message := self._unacknowledged.pop(mid, None)) is None:
                self._early.add(mid)
            else:
                self._done += message.report

    @property
    def why(self) -> str:
        """Why it was lost."""
        return self._why


class Mqtt:
    """The sink.

    Parameters
    ----------
    picture
        Returns the newest picture of a camera as JPEG, None if there is none. None: no picture leaves.
    """

    name = "mqtt"

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        count: Count,
        *,
        qos: int = 0,
        picture: Callable[[str], bytes | None] | None = None,
        backoff: Backoff | None = None,
        tell: Tell = lambda _name, _trouble: None,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._count = count
        self._qos = qos
        self._picture = picture
        self._backoff = backoff or Backoff(first=1.0)
        self._tell = tell
        self._again: list[Message] = []

    def run(self, mailbox: Mailbox, scene: Callable[[], Scene], stop: threading.Event) -> None:
        """Publish until `stop` is set, over one connection after the other."""
        said = ""
        while not stop.is_set():
            try:
                session = _Session(self._broker, self._topics)
            except (LostError, MissingSecretError) as error:
                if str(error) != said:
                    log.warning("mqtt: no connection: %s", error)
                said = str(error)
                missing = isinstance(error, MissingSecretError)
                self._tell(self.name, lacking(said) if missing else failing(f"no connection to the broker: {said}"))
                self._count(self.name, "retried", 1)
                stop.wait(self._backoff.failed())
                continue
            said = ""
            self._backoff.succeeded()
            self._tell(self.name, FINE)
            self._use(session, mailbox, scene, stop)
            if not stop.is_set():
                log.warning("mqtt: connection lost: %s", session.connection.why)
                self._tell(self.name, failing(f"the broker ended the connection: {session.connection.why}"))
                stop.wait(self._backoff.failed())

    def _use(self, session: _Session, mailbox: Mailbox, scene: Callable[[], Scene], stop: threading.Event) -> None:
        connection = session.connection
        for message in self._again:
            connection.publish(message)
        try:
            while connection.alive and not stop.is_set():
                session.show(scene())
                # A full window is looked at again soon; the mailbox is left alone meanwhile.
                room = connection.room
                for report in mailbox.take(room, _POLL) if room else ():
                    for message in self._messages(report):
                        connection.publish(message)
                if not room:
                    stop.wait(_POLL / 10)
                self._settle(connection)
            if connection.alive:
                session.leave()
        finally:
            connection.close()
            self._settle(connection)
            # What is retained is said anew from the scene of then.
            self._again = [message for message in connection.unacknowledged() if message.report]

    def _settle(self, connection: Connection) -> None:
        if done := connection.acknowledged():
            self._count(self.name, "sent", done)

    def _messages(self, report: Report) -> list[Message]:
        found = [Message(self._topics.events, event(report), self._qos, report=True)]
        after = report.after
        if self._picture and report.kind == "new" and (picture := self._picture(after.camera)):
            found.append(Message(self._topics.snapshot(after.camera, after.label), picture, self._qos))
        return found


class _Session:
    """What a broker was told over one connection."""

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._topics = topics
        self._lock = threading.Lock()
        self._told: dict[str, bytes] = {}
        self._found: dict[str, bytes] = {}
        self._watched: dict[str, bool] = {}
        self._dead = threading.Event()
        self.connection = Connection(broker, topics, self._heard)
        # Listening comes first: an `offline` that another replica leaves behind is then heard or overwritten.
        self.connection.subscribe(topics.available)
        self._assert()

    def show(self, scene: Scene) -> None:
        """Publish what changed of availability and counts."""
        if self._dead.is_set():
            self._dead.clear()
            self._assert()
        self._watch(scene)
        with self._lock:
            told, self._found = {**self._told, **self._found}, {}
        for camera in scene.removed:
            # Home Assistant's are told by the counts: nobody subscribes to those of all its other devices.
            told |= dict.fromkeys(self._topics.configs_of(camera, told), b"")
        wanted = self._wanted(scene, told)
        gone = [start for camera in scene.removed for start in self._topics.everything_of(camera)]
        for topic, payload in changes(told, wanted, gone).items():
            self.connection.publish(Message(topic, payload, retain=True))
        self._told = wanted

    def leave(self) -> None:
        """Say that this replica goes, and wait a moment for the broker to know; others contradict if there are any."""
        self.connection.publish(Message(self._topics.available, OFFLINE, retain=True))
        waited = threading.Event()
        for _ in range(_FAREWELL):
            if not self.connection.unacknowledged() or not self.connection.alive:
                return
            waited.wait(_POLL / 2)

    def _watch(self, scene: Scene) -> None:
        """Ask what is retained of cameras that came to this replica, or went for good."""
        cameras = {**dict.fromkeys(scene.online, False), **dict.fromkeys(scene.removed, True)}
        for camera, removed in cameras.items():
            if self._watched.get(camera) != removed:
                self.connection.subscribe(self._topics.all_of(camera) + "+")
        self._watched = cameras

    def _wanted(self, scene: Scene, told: Iterable[str]) -> dict[str, bytes]:
        """Return what is to be retained; of labels that are retained and not in the picture, there is none."""
        counts = scene.counts()
        everything = {
            camera: {**dict.fromkeys(self._topics.labels_of(camera, told), 0), **counts.get(camera, {})}
            for camera in scene.online
        }
        return self._topics.retained(scene.online, everything)

    def _assert(self) -> None:
        self.connection.publish(Message(self._topics.available, ONLINE, retain=True))

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - paho's order
        """Note what others said; called by paho's thread."""
        if topic == self._topics.available:
            if payload == OFFLINE:
                self._dead.set()
            return
        # Only what was there before us: two replicas that serve a camera for a moment must not answer each other.
        if retained:
            with self._lock:
                self._found[topic] = payload


def _secure(broker: Broker) -> bool:
    return urlsplit(broker.url).scheme == "mqtts"


def _client(broker: Broker) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=broker.client_id, clean_session=True, reconnect_on_failure=False
    )
    client.connect_timeout = _CONNECT
    if broker.username:
        client.username_pw_set(broker.username.read(), broker.password.read() if broker.password else None)
    if _secure(broker):
        try:
            client.tls_set_context(ssl.create_default_context(cafile=broker.authority))
        except OSError:
            authority = SecretFile(broker.authority) if broker.authority else "the system"
            raise MissingSecretError(f"{authority} holds no certificates") from None
    return client
