"""Reports to a real mosquitto."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import authority
from tests.unit.detector.outputs.broker import AVAILABLE, Listener, Mosquitto, listening, mosquitto, wait_for
from tests.unit.detector.outputs.made import Tally, crossing

from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.mqtt import Broker, Mqtt
from edgedetector.detector.outputs.outputs import Outputs
from edgedetector.detector.outputs.secretfiles import SecretFile
from edgedetector.detector.outputs.topics import Topics

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="mosquitto is not installed: apt-get install mosquitto")

TOPICS = Topics("edgedetector/site-a/yard", "homeassistant")
P = TOPICS.prefix


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that lets everybody in."""
    with mosquitto(tmp_path) as broker:
        yield broker


class Replica:
    """Outputs with MQTT alone."""

    def __init__(
        self,
        port: int,
        name: str = "one",
        *,
        scheme: str = "mqtt",
        picture: Callable[[str], bytes | None] | None = None,
        queue: int = 1024,
        qos: int = 1,
        username: SecretFile | None = None,
        password: SecretFile | None = None,
        authority: Path | None = None,
        keepalive: int = 15,
    ) -> None:
        self.tally, self.stop = Tally(), threading.Event()
        at = Broker(f"{scheme}://127.0.0.1:{port}", name, username, password, authority, keepalive)
        # Retries in a test are quick; how waits grow is another test's.
        sink = Mqtt(at, TOPICS, self.tally, qos=qos, picture=picture, backoff=Backoff(first=0.05, most=0.1))
        self.outputs = Outputs([sink], self.tally, queue=queue)

    def come(self, *numbers: int, label: str = "person") -> None:
        self.outputs.publish("gate", "people", [crossing("enter", number, label=label) for number in numbers])

    def go(self, *numbers: int) -> None:
        self.outputs.publish("gate", "people", [crossing("leave", number) for number in numbers])


@contextmanager
def running(replica: Replica) -> Iterator[Replica]:
    threads = replica.outputs.start(replica.stop)
    try:
        yield replica
    finally:
        replica.stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()


def retained(port: int, topic: str) -> bytes | None:
    """Return what a newcomer is told; the end of the test's own shows that all was said."""
    with listening(port) as newcomer:
        newcomer._client.publish("test/end", b"end", qos=1)
        wait_for(lambda: newcomer.of("test/end"), lambda: newcomer.heard)
        return newcomer.kept.get(topic)


def events(listener: Listener) -> list[tuple[str, str]]:
    said = [json.loads(payload) for payload in listener.of(TOPICS.events)]
    return [(one["type"], one["after"]["label"]) for one in said]


def test_what_home_assistant_and_frigate_users_expect_is_said(broker: Mosquitto) -> None:
    with listening(broker.port) as listener, running(Replica(broker.port)) as replica:
        replica.outputs.serve({"gate": True})
        replica.come(1, 2)
        replica.go(1)
        wait_for(lambda: len(events(listener)) == 3, lambda: listener.heard)
        wait_for(lambda: (listener.of(f"{P}/gate/person") or [b""])[-1] == b"1", lambda: listener.heard)
        assert events(listener) == [("new", "person"), ("new", "person"), ("end", "person")]
        assert retained(broker.port, f"{P}/available") == b"online"
        assert retained(broker.port, f"{P}/gate/available") == b"online"
        assert retained(broker.port, f"{P}/gate/person") == b"1"
        assert retained(broker.port, TOPICS.events) is None
        entity = json.loads(retained(broker.port, TOPICS.config("gate", "person")) or b"{}")
        assert entity["state_topic"] == f"{P}/gate/person"
        replica.outputs.serve({"gate": False})
        wait_for(lambda: listener.of(f"{P}/gate/available") == [b"online", b"offline"], lambda: listener.heard)
        wait_for(lambda: replica.tally["mqtt", "sent"] == 3, lambda: replica.tally)
        # No picture was asked for.
        assert not [topic for topic, _ in listener.heard if topic.endswith("/snapshot")]
    assert retained(broker.port, f"{P}/available") == b"offline"


def test_a_picture_leaves_only_if_asked_for_and_does_not_stay(broker: Mosquitto) -> None:
    with (
        listening(broker.port) as listener,
        running(Replica(broker.port, picture=lambda camera: f"jpeg of {camera}".encode())) as replica,
    ):
        replica.come(1)
        wait_for(lambda: listener.of(f"{P}/gate/person/snapshot") == [b"jpeg of gate"], lambda: listener.heard)
        replica.go(1)
        wait_for(lambda: len(events(listener)) == 2, lambda: listener.heard)
        assert listener.of(f"{P}/gate/person/snapshot") == [b"jpeg of gate"]
    assert retained(broker.port, f"{P}/gate/person/snapshot") is None


def killed_replica(port: int, name: str) -> subprocess.Popen[bytes]:
    """Start a replica in a process of its own, which serves the gate with a person and a dog in the picture."""
    script = f"""
import threading
from tests.unit.detector.outputs.test_mqtt import Replica
replica = Replica({port}, {name!r})
replica.outputs.serve({{"gate": True}})
replica.come(1); replica.come(2, label="dog")
replica.outputs.start(replica.stop)
threading.Event().wait()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment)


def test_a_replica_that_is_killed_is_told_of_and_the_next_one_puts_its_counts_right(broker: Mosquitto) -> None:
    process = killed_replica(broker.port, "first")
    try:
        with listening(broker.port) as listener:
            wait_for(lambda: listener.of(f"{P}/gate/dog") == [b"1"], lambda: listener.heard)
            process.send_signal(signal.SIGKILL)
            wait_for(lambda: listener.of(f"{P}/available") == [b"online", b"offline"], lambda: listener.heard)
            with running(Replica(broker.port, "second")) as replica:
                replica.outputs.serve({"gate": True})
                replica.come(1)
                wait_for(lambda: listener.of(f"{P}/gate/dog")[-1] == b"0", lambda: listener.heard)
                assert retained(broker.port, f"{P}/gate/person") == b"1"
                assert retained(broker.port, f"{P}/available") == b"online"
    finally:
        process.kill()
        process.wait()


def test_the_death_of_one_of_two_replicas_leaves_the_detector_available(broker: Mosquitto) -> None:
    process = killed_replica(broker.port, "first")
    try:
        with listening(broker.port) as listener, running(Replica(broker.port, "second")):
            wait_for(lambda: len(listener.of(f"{P}/available")) >= 2, lambda: listener.heard)
            wait_for(lambda: listener.of(f"{P}/gate/dog"), lambda: listener.heard)
            process.send_signal(signal.SIGKILL)
            wait_for(lambda: b"offline" in listener.of(f"{P}/available"), lambda: listener.heard)
            wait_for(lambda: listener.of(f"{P}/available")[-1] == b"online", lambda: listener.heard)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("removed", [False, True])
def test_what_is_said_of_a_camera_stays_when_it_moves_and_goes_when_it_goes(
    broker: Mosquitto,
    removed: bool,  # noqa: FBT001 - a case
) -> None:
    with listening(broker.port) as listener, running(Replica(broker.port)) as replica:
        replica.outputs.serve({"gate": True, "yard": True})
        replica.come(1)
        wait_for(lambda: b"1" in listener.of(f"{P}/gate/person"), lambda: listener.heard)
        replica.outputs.forget("gate", removed=removed)
        # What is said of the yard comes after what is said of the gate.
        replica.outputs.serve({"yard": False})
        wait_for(lambda: b"offline" in listener.of(f"{P}/yard/available"), lambda: listener.heard)
        assert retained(broker.port, f"{P}/gate/person") == (None if removed else b"1")
        assert retained(broker.port, f"{P}/gate/available") == (None if removed else b"online")
        assert (retained(broker.port, TOPICS.config("gate", "person")) is None) == removed


def test_a_camera_that_was_removed_while_there_was_no_connection_is_cleared_later(broker: Mosquitto) -> None:
    with listening(broker.port) as listener, running(Replica(broker.port)) as before:
        before.outputs.serve({"gate": True})
        before.come(1)
        wait_for(lambda: b"1" in listener.of(f"{P}/gate/person"), lambda: listener.heard)
    with listening(broker.port) as listener:
        after = Replica(broker.port)
        after.outputs.serve({"gate": True})
        after.outputs.forget("gate", removed=True)
        with running(after):
            cleared = [f"{P}/gate/person", f"{P}/gate/available", TOPICS.config("gate", "person")]
            wait_for(lambda: all(b"" in listener.of(topic) for topic in cleared), lambda: listener.heard)


def test_events_wait_for_a_broker_that_is_gone_within_the_bound(broker: Mosquitto) -> None:
    with running(Replica(broker.port, queue=10)) as replica:
        replica.outputs.serve({"gate": True})
        replica.come(0)
        wait_for(lambda: replica.tally["mqtt", "sent"] == 1, lambda: replica.tally)
        broker.stop()
        wait_for(lambda: replica.tally["mqtt", "retried"] > 2, lambda: replica.tally)
        replica.come(*range(1, 26))
        assert replica.tally["mqtt", "dropped"] == 15
        # Retained messages are gone with this broker; the replica says them anew.
        broker.start()
        wait_for(lambda: replica.tally["mqtt", "sent"] == 11, lambda: replica.tally)
        assert retained(broker.port, f"{P}/gate/person") == b"26"
        assert retained(broker.port, f"{P}/available") == b"online"


def test_with_quality_1_nothing_is_lost_when_the_broker_dies_under_load(broker: Mosquitto) -> None:
    with running(Replica(broker.port, queue=5000)) as replica:
        replica.come(*range(1000))
        wait_for(lambda: replica.tally["mqtt", "sent"] > 50, lambda: replica.tally)
        broker.stop()
        replica.come(*range(1000, 1200))
        broker.start()
        wait_for(lambda: replica.tally["mqtt", "sent"] == 1200, lambda: replica.tally)
        assert replica.tally["mqtt", "dropped"] == 0


def test_a_broker_that_hangs_is_left_and_gets_everything_once_it_goes_on(broker: Mosquitto) -> None:
    with listening(broker.port) as listener, running(Replica(broker.port, keepalive=1)) as replica:
        replica.come(0)
        wait_for(lambda: replica.tally["mqtt", "sent"] == 1, lambda: replica.tally)
        broker.signal(signal.SIGSTOP)
        replica.come(*range(1, 200))
        wait_for(lambda: replica.tally["mqtt", "retried"] > 0, lambda: replica.tally, 40)
        broker.signal(signal.SIGCONT)
        wait_for(lambda: replica.tally["mqtt", "sent"] == 200, lambda: replica.tally)
        wait_for(lambda: len(set(listener.of(TOPICS.events))) == 200, lambda: len(listener.heard))


def test_user_and_password_are_read_again_at_each_attempt_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "yard", "right-one"], check=True, capture_output=True)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    user, password = tmp_path / "username", tmp_path / "password"
    user.write_text("yard\n")
    password.write_text("wrong-one\n")
    with mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        secret = {"username": SecretFile(user), "password": SecretFile(password)}
        with running(Replica(broker.port, **secret)) as replica:
            wait_for(lambda: replica.tally["mqtt", "retried"] > 1, lambda: replica.tally)
            password.unlink()
            wait_for(lambda: "cannot be read" in caplog.text, lambda: caplog.text)
            password.write_text("right-one\n")
            replica.come(1)
            wait_for(lambda: replica.tally["mqtt", "sent"] == 1, lambda: replica.tally)
    assert "-one" not in caplog.text
    assert "Not authorized" in caplog.text


def test_tls_needs_an_authority_that_is_trusted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority.make(tmp_path, "IP:127.0.0.1")
    (tmp_path / "server.key").chmod(0o644)
    tmp_path.chmod(0o755)
    other = tmp_path / "other"
    other.mkdir()
    authority.make(other, "IP:127.0.0.1")
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes((other / "ca.crt").read_bytes())
    options = (f"certfile {tmp_path}/server.crt", f"keyfile {tmp_path}/server.key")
    with (
        mosquitto(tmp_path, *options) as broker,
        running(Replica(broker.port, scheme="mqtts", authority=trusted)) as replica,
    ):
        wait_for(lambda: replica.tally["mqtt", "retried"] > 1, lambda: replica.tally)
        assert ssl.SSLCertVerificationError.__name__ in caplog.text
        trusted.write_bytes((tmp_path / "ca.crt").read_bytes())
        replica.come(1)
        wait_for(lambda: replica.tally["mqtt", "sent"] == 1, lambda: replica.tally)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_quality_delivers_in_order(broker: Mosquitto, qos: int) -> None:
    with listening(broker.port) as listener, running(Replica(broker.port, qos=qos)) as replica:
        replica.come(*range(300))
        replica.go(*range(300))
        wait_for(lambda: len(listener.of(TOPICS.events)) == 600, lambda: len(listener.heard))
        said = [json.loads(payload) for payload in listener.of(TOPICS.events)]
        assert [one["type"] for one in said] == ["new"] * 300 + ["end"] * 300
        assert [one["after"]["id"] for one in said[:300]] == [one["after"]["id"] for one in said[300:]]
        wait_for(lambda: replica.tally["mqtt", "sent"] == 600, lambda: replica.tally)
