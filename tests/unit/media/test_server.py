"""The media pod tells how it is, and takes no orders."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.api.wire import to_json
from edgedetector.go2rtc import client
from edgedetector.media.metrics import exposition
from edgedetector.media.process import Go2rtc
from edgedetector.media.server import Server
from edgedetector.media.supervisor import Paths, Supervisor

from .conftest import free_port


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    paths = Paths(tmp_path / "media.json", tmp_path / "s", tmp_path / "y", tmp_path / "credentials", tmp_path / "key")
    return Supervisor(paths, Go2rtc(port=free_port()), lambda: 0.0)


@pytest.fixture
def port(supervisor: Supervisor) -> Iterator[int]:
    with Server(0, supervisor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def render(supervisor: Supervisor, tmp_path: Path) -> None:
    cameras = (MediaCamera("s0", url="rtsp://cam/x"), MediaCamera("s1", url="rtsp://cam/y", credentials_secret="gate"))
    (tmp_path / "media.json").write_text(to_json(MediaConfig(4, cameras)))
    supervisor.step()


def status(port: int, path: str, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_is_started_once_a_configuration_is_rendered(supervisor: Supervisor, port: int, tmp_path: Path) -> None:
    supervisor.step()
    assert status(port, "/healthz") == 503
    render(supervisor, tmp_path)
    assert status(port, "/healthz") == 200


def test_it_takes_no_orders(port: int) -> None:
    assert status(port, "/api/streams?src=exec:id") == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert status(port, "/api/restart", method) == 501


async def test_the_client_reads_what_the_server_says(supervisor: Supervisor, port: int, tmp_path: Path) -> None:
    render(supervisor, tmp_path)
    state = await client.state("127.0.0.1", port=port)
    assert state == supervisor.state
    assert {item.stream: item.state for item in state.streams} == {"s0": "Pending", "s1": "MissingSecret"}


async def test_the_client_says_when_there_is_no_answer() -> None:
    with pytest.raises(client.MediaUnavailableError):
        await client.state("127.0.0.1", port=free_port(), deadline=1.0)


async def test_the_client_does_not_wait_for_ever(port: int) -> None:
    with pytest.raises(client.MediaUnavailableError, match="no answer within"):
        await client.state("127.0.0.1", port=port, deadline=0.0)


def test_prometheus_reads_the_metrics(supervisor: Supervisor, tmp_path: Path) -> None:
    render(supervisor, tmp_path)
    families = {item.name: item for item in text_string_to_metric_families(exposition(supervisor.state))}
    assert families["edgedetector_media_ready"].samples[0].value == 0
    states = {
        (sample.labels["stream"], sample.labels["state"])
        for sample in families["edgedetector_media_stream_state"].samples
        if sample.value
    }
    assert states == {("s0", "Pending"), ("s1", "MissingSecret")}
    assert len(families["edgedetector_media_stream_received_bytes"].samples) == 2
