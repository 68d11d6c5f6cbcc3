"""From detector.json to broker and server: real ones, and a configuration that changes meanwhile."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.detector.outputs.broker import AVAILABLE, Mosquitto, listening, mosquitto, wait_for
from tests.unit.detector.outputs.made import crossing
from tests.unit.detector.outputs.receiver import Receiver, receiver

from edgedetector.api import names
from edgedetector.api.dataplane import (
    DetectorConfig,
    EventsConfig,
    MqttConfig,
    OutputsConfig,
    OutputState,
    WebhookConfig,
)
from edgedetector.api.wire import to_json
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.outputs.health import STEADY
from edgedetector.detector.publishing import Publisher
from edgedetector.detector.repository import Paths, replace_file

BROKER = pytest.mark.skipif(not AVAILABLE, reason="mosquitto is not installed: apt-get install mosquitto")
PREFIX = "edgedetector/site-a/yard"
STDOUT = EventsConfig(stdout=True)


class Pod:
    """A pod's files and its publisher, on a clock of our own."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.now = 0.0
        self.metrics = Metrics()
        self.stdout = io.StringIO()
        self.configure()
        self.publisher = self.started()

    def started(self) -> Publisher:
        return Publisher(
            self.paths,
            "yard-1",
            picture=lambda camera: f"jpeg of {camera}".encode(),
            metrics=self.metrics,
            stdout=self.stdout,
            clock=lambda: self.now,
        )

    def configure(self, **outputs: Any) -> None:
        config = DetectorConfig("yard", "site-a", 1, "", "", outputs=OutputsConfig(**outputs))
        replace_file(self.paths.detector / names.FILE_DETECTOR, to_json(config))

    def use(self, **outputs: Any) -> None:
        self.configure(**outputs)
        self.publisher.round()

    def secret(self, name: str, **keys: str) -> None:
        for key, value in keys.items():
            replace_file(self.paths.secrets / name / key, value)

    def come(self, *numbers: int) -> None:
        self.publisher.publish("gate", "people", [crossing("enter", number) for number in numbers])

    def counted(self, sink: str, result: str) -> float:
        labels = {"sink": sink, "result": result}
        return self.metrics.registry.get_sample_value("edgedetector_output_reports_total", labels) or 0.0

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.getvalue().splitlines()]

    def lasting(self, condition: Callable[[tuple[OutputState, ...]], bool]) -> None:
        """Wait until the condition holds of what the outputs say, while our clock goes on."""

        def holds() -> bool:
            self.now += STEADY
            return condition(self.publisher.states())

        wait_for(holds, self.publisher.states)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """A pod without outputs."""
    pod = Pod(tmp_path)
    pod.publisher.round()
    yield pod
    pod.publisher.close()


@pytest.fixture
def server() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with receiver() as server:
        yield server


@contextmanager
def broker(folder: Path, *options: str) -> Iterator[Mosquitto]:
    folder.mkdir()
    with mosquitto(folder, *options) as found:
        yield found


def mqtt(port: int, **changes: Any) -> MqttConfig:
    return MqttConfig(f"mqtt://127.0.0.1:{port}", PREFIX, "homeassistant", qos=1, **changes)


def test_without_outputs_nothing_is_kept_and_nothing_runs(pod: Pod) -> None:
    before = threading.active_count()
    pod.come(1)
    pod.publisher.serve({"gate": True})
    assert (pod.publisher.states(), threading.active_count()) == ((), before)


def test_every_output_gets_what_is_configured_and_is_counted(pod: Pod, server: Receiver, tmp_path: Path) -> None:
    pod.secret("hooks", token="sesame", key="whsec_c2VzYW1l")
    pod.use(webhook=WebhookConfig(server.url, token_secret="hooks", signature_secret="hooks"), events=STDOUT)
    assert "edgedetector_output_reports_total" in pod.metrics.exposition().decode()
    pod.come(1, 2)
    wait_for(lambda: len(server.events) == len(pod.lines()) == 2, lambda: (server.requests, pod.lines()))
    assert [event["id"] for event in server.events] == [line["id"] for line in pod.lines()]
    assert server.events[0]["source"] == "/namespaces/site-a/edgedetectors/yard"
    headers, _ = server.requests[0]
    assert headers["Authorization"] == "Bearer sesame"
    assert headers["webhook-signature"].startswith("v1,")
    wait_for(lambda: pod.counted("webhook", "sent") == 2, pod.metrics.exposition)
    assert pod.counted("stdout", "queued") == 2
    assert pod.publisher.states() == (OutputState("stdout"), OutputState("webhook"))
    assert pod.paths.spool.is_relative_to(tmp_path)
    assert any(pod.paths.spool.iterdir())


@BROKER
def test_a_broker_gets_events_counts_and_if_asked_for_pictures(pod: Pod, tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as at, listening(at.port) as listener:
        pod.use(mqtt=mqtt(at.port, snapshots=True))
        pod.publisher.serve({"gate": True})
        pod.come(1)
        topic = f"{PREFIX}/gate/person/snapshot"
        wait_for(lambda: listener.of(topic) == [b"jpeg of gate"], lambda: listener.heard)
        pod.use(mqtt=mqtt(at.port, snapshots=False))
        pod.come(2)
        wait_for(lambda: b"2" in listener.of(f"{PREFIX}/gate/person"), lambda: listener.heard)
        wait_for(lambda: len(listener.of(f"{PREFIX}/events")) == 2, lambda: listener.heard)
        assert len(listener.of(topic)) == 1
        assert any(said.startswith("homeassistant/") for said, _ in listener.heard)


@BROKER
def test_another_broker_is_used_without_a_restart_and_knows_who_is_there(pod: Pod, tmp_path: Path) -> None:
    with (
        broker(tmp_path / "a") as first,
        broker(tmp_path / "b") as second,
        listening(first.port) as old,
        listening(second.port) as new,
    ):
        pod.use(mqtt=mqtt(first.port))
        pod.publisher.serve({"gate": True})
        pod.come(1)
        wait_for(lambda: old.of(f"{PREFIX}/gate/person") == [b"1"], lambda: old.heard)
        pod.use(mqtt=mqtt(second.port))
        wait_for(lambda: new.of(f"{PREFIX}/gate/person") == [b"1"], lambda: new.heard)
        wait_for(lambda: old.of(f"{PREFIX}/available")[-1] == b"offline", lambda: old.heard)
        pod.publisher.publish("gate", "people", [crossing("leave", 1)])
        wait_for(lambda: new.of(f"{PREFIX}/gate/person") == [b"1", b"0"], lambda: new.heard)
        wait_for(lambda: new.of(f"{PREFIX}/events"), lambda: new.heard)
        assert json.loads(new.of(f"{PREFIX}/events")[-1])["type"] == "end"


@BROKER
def test_a_broker_that_refuses_shows_and_so_does_that_it_lets_us_in(pod: Pod, tmp_path: Path) -> None:
    folder = tmp_path / "passwords"
    folder.write_text("")
    with broker(tmp_path / "broker", "allow_anonymous false", f"password_file {folder}") as at:
        pod.use(mqtt=mqtt(at.port, credentials_secret="broker"))
        pod.lasting(lambda states: states[0].reason == "SecretMissing")
        (state,) = pod.publisher.states()
        assert state.message == "key username of Secret broker cannot be read"
        pod.secret("broker", username="yard", password="sesame")
        pod.lasting(lambda states: states[0].reason == "OutputFailing")
        (state,) = pod.publisher.states()
        assert "authori" in state.message.lower()
        assert "sesame" not in state.message
        at.stop()
    with broker(tmp_path / "open") as at:
        pod.use(mqtt=mqtt(at.port))
        pod.lasting(lambda states: states[0].ok)


def test_an_output_that_is_not_changed_is_not_touched(pod: Pod, server: Receiver) -> None:
    pod.use(webhook=WebhookConfig(server.url))
    wait_for(lambda: "webhook-sender" in {t.name for t in threading.enumerate()}, threading.enumerate)
    before = {thread.ident for thread in threading.enumerate()}
    pod.use(webhook=WebhookConfig(server.url), events=STDOUT)
    assert before <= {thread.ident for thread in threading.enumerate()}
    pod.publisher.round()
    pod.come(1)
    wait_for(lambda: len(server.events) == len(pod.lines()) == 1, lambda: (server.requests, pod.lines()))


def test_what_one_server_did_not_take_the_next_one_gets(pod: Pod, server: Receiver) -> None:
    with receiver() as gone:
        url = gone.url
    pod.use(webhook=WebhookConfig(url))
    pod.come(*range(5))
    wait_for(lambda: pod.counted("webhook", "retried") > 0, pod.metrics.exposition)
    pod.lasting(lambda states: states[0].reason == "OutputFailing")
    assert url not in to_json(pod.publisher.states()[0])
    pod.use(webhook=WebhookConfig(server.url))
    pod.come(*range(5, 10))
    wait_for(lambda: pod.counted("webhook", "sent") == 10, pod.metrics.exposition)
    assert len({event["id"] for event in server.events}) == 10
    assert [event["data"]["start_time"] for event in server.events] == sorted(
        event["data"]["start_time"] for event in server.events
    )


def test_a_restart_delivers_what_waited(pod: Pod, server: Receiver) -> None:
    with receiver() as gone:
        url = gone.url
    pod.use(webhook=WebhookConfig(url))
    pod.come(1, 2)
    pod.publisher.close()
    pod.configure(webhook=WebhookConfig(server.url))
    pod.publisher = pod.started()
    pod.publisher.round()
    wait_for(lambda: len(server.events) == 2, lambda: server.requests)


def test_plain_http_to_strangers_is_refused_and_shows(pod: Pod) -> None:
    pod.use(webhook=WebhookConfig("http://example.com/canary"))
    pod.come(1)
    pod.lasting(lambda states: not states[0].ok)
    (state,) = pod.publisher.states()
    assert "use https://" in state.message
    assert "canary" not in state.message


def test_the_end_is_told_and_comes_in_time(pod: Pod) -> None:
    pod.use(events=STDOUT)
    pod.publisher.serve({"gate": True})
    pod.come(1)
    pod.publisher.close()
    assert [line["type"].rpartition(".")[2] for line in pod.lines()] == ["new", "end"]
    pod.publisher.round()
    pod.come(2)
    assert len(pod.lines()) == 2


def test_a_configuration_that_is_no_more_leaves_things_as_they_are(pod: Pod) -> None:
    pod.use(events=STDOUT)
    replace_file(pod.paths.detector / names.FILE_DETECTOR, "{")
    pod.publisher.round()
    pod.come(1)
    wait_for(lambda: len(pod.lines()) == 1, pod.lines)


def test_events_leave_the_pod_only_where_a_token_is_asked_for(pod: Pod) -> None:
    assert (pod.publisher.address, pod.publisher.token) == ("127.0.0.1", None)
    pod.use(events=dataclasses.replace(STDOUT, token_secret="viewers"))
    assert pod.publisher.address == ""
    assert pod.publisher.token
    assert pod.publisher.token.path == pod.paths.secrets / "viewers" / "token"


def test_the_stage_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    pod, stop = Pod(tmp_path), threading.Event()
    pod.configure(events=STDOUT)
    thread = threading.Thread(target=pod.publisher.run, args=(stop,))
    thread.start()
    wait_for(lambda: pod.publisher.states() == (OutputState("stdout"),), pod.publisher.states)
    pod.come(1)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert len(pod.lines()) == 1
