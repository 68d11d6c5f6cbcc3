"""The exporter beside a real go2rtc that asks for a password."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.media.conftest import Cameras, answers, cameras, free_port, go2rtc_binary, loop, wait_for

__all__ = ["cameras", "go2rtc_binary", "loop"]  # fixtures

ROOT = Path(__file__).parents[3]


def sample_key(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{shown}}}" if shown else name


@dataclass
class Site:
    """A real go2rtc that asks for a password, and an exporter beside it."""

    rtsp: int
    api: int
    metrics: int

    def series(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {
                sample_key(sample.name, sample.labels): sample.value for family in families for sample in family.samples
            }

    def until(self, name: str, least: float) -> dict[str, float]:
        """Scrape until a series has at least a value; return that scrape."""
        series: dict[str, float] = {}

        def reached() -> bool:
            series.clear()
            series.update(self.series())
            return series.get(name, -1.0) >= least

        wait_for(f"{name} >= {least}", reached, 30)
        return series

    def yard(self) -> dict[str, Any]:
        """The stream in go2rtc's own words; empty while it does not answer."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException, ValueError),
            urllib.request.urlopen(authorised(f"http://127.0.0.1:{self.api}/api/streams")) as answer,
        ):
            return dict(json.load(answer)["yard"])
        return {}

    def consumers(self) -> list[Any]:
        return self.yard().get("consumers") or []

    def sent(self) -> dict[tuple[int, int], int]:
        """Bytes of every consumer's track, by the numbers of both: they are of one sequence in a process."""
        tracks = ((consumer["id"], track) for consumer in self.consumers() for track in consumer.get("senders") or ())
        return {(number, track["id"]): track.get("bytes", 0) for number, track in tracks}

    def restart(self) -> None:
        """Have go2rtc start again in place, and wait until it is there again with nobody reading."""
        request = authorised(f"http://127.0.0.1:{self.api}/api/restart")
        request.method = "POST"
        with contextlib.suppress(OSError):  # it may be gone before it has answered
            urllib.request.urlopen(request).close()
        wait_for("the sessions' end", lambda: not self.consumers())
        wait_for("RTSP", lambda: answers(self.rtsp))

    def read(self, stream: str) -> "av.container.InputContainer":
        options = {"rtsp_transport": "tcp", "timeout": "20000000", "analyzeduration": "100000", "probesize": "5000"}
        # A go2rtc that has just started may break off a first session.
        ends = time.monotonic() + 30.0
        while True:
            try:
                return av.open(f"rtsp://admin:viewer@127.0.0.1:{self.rtsp}/{stream}", options=options)
            except av.error.FFmpegError:
                if time.monotonic() > ends:
                    raise


@contextlib.contextmanager
def process(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def site(root: Path, binary: str, streams: dict[str, str], **secrets: str) -> Iterator[Site]:
    ports = Site(free_port(), free_port(), free_port())
    access = {"username": "admin", "password": "viewer"}
    config = {
        "app": {"modules": ["api", "http", "rtsp", "mp4"]},
        "api": {"listen": f"127.0.0.1:{ports.api}", "local_auth": True, **access},
        "rtsp": {"listen": f"127.0.0.1:{ports.rtsp}", **access},
        "streams": streams,
    }
    (root / "go2rtc.yaml").write_text(json.dumps(config))
    (root / "password").write_text("viewer\n")
    for name, value in secrets.items():
        (root / name).write_text(value)
    arguments = ["--url", f"http://127.0.0.1:{ports.api}", "--listen", f"127.0.0.1:{ports.metrics}", "--cache", "0.01"]
    arguments += ["--username", "admin", "--password-file", str(root / "password")]
    exporter = [sys.executable, "-m", "edgedetector.go2rtc.exporter", *arguments]
    variables = os.environ | {"CREDENTIALS_DIRECTORY": str(root)}
    with (
        (root / "log").open("wb") as log,
        process(binary, "-config", str(root / "go2rtc.yaml"), env=variables, stdout=log, stderr=log),
        process(*exporter, env=os.environ | {"PYTHONPATH": str(ROOT / "operator")}) as metrics,
    ):
        wait_for("go2rtc", lambda: answers(ports.api) and answers(ports.rtsp))
        wait_for("exporter", lambda: answers(ports.metrics))
        yield ports
        metrics.send_signal(signal.SIGTERM)
        assert metrics.wait(timeout=20) == 0


def test_a_real_stream_that_is_read_lost_and_read_again(
    tmp_path: Path,
    go2rtc_binary: str,
    loop: Path,
) -> None:
    port, control = free_port(), free_port()
    camera = [sys.executable, str(ROOT / "bench/media_topology/camera.py"), "--video", str(loop), "--paths", "1"]
    camera += ["--port", str(port), "--control", str(control)]
    received, reconnects, connections = (
        f'go2rtc_producer_{name}_total{{stream="yard"}}' for name in ("receive_bytes", "reconnects", "connections")
    )
    consumers, sent = (
        f'go2rtc_{name}{{kind="rtsp",stream="yard"}}' for name in ("stream_consumers", "consumer_transmit_bytes_total")
    )
    with (
        contextlib.ExitStack() as cameras_on,
        site(tmp_path, go2rtc_binary, {"yard": f"rtsp://127.0.0.1:{port}/cam0"}) as ports,
    ):
        cameras_on.enter_context(first := process(*camera))
        wait_for("camera", lambda: answers(control))
        idle = ports.until("go2rtc_up", 1)
        assert idle['go2rtc_stream_producers{state="idle",stream="yard"}'] == 1
        with ports.read("yard") as container:
            next(container.decode(video=0))
            reading = ports.until(received, 5000)
            assert (reading[consumers], reading[connections], reading[reconnects]) == (1, 1, 0)
            assert reading[sent] > 0
            assert reading['go2rtc_producer_receive_packets_total{stream="yard"}'] > 0
            assert any('codec="h264"' in key for key in reading)
            # A second consumer of another kind, for whom the camera is not dialled again.
            with urllib.request.urlopen(authorised(f"http://127.0.0.1:{ports.api}/api/stream.mp4?src=yard")) as mp4:
                assert mp4.read(1000)
                both = ports.until('go2rtc_consumer_transmit_bytes_total{kind="mp4",stream="yard"}', 1000)
                assert both[connections] == 1
            first.__exit__(None, None, None)
            lost = ports.until('go2rtc_producer_receive_age_seconds{stream="yard"}', 1)
            cameras_on.enter_context(process(*camera))
            again = ports.until(reconnects, 1)
            assert (again[reconnects], again[connections], again[consumers]) == (1, 2, 1)
            grown = ports.until(received, lost[received] + 5000)
            assert grown[sent] >= again[sent] >= lost[sent] >= reading[sent]
        gone = ports.until('go2rtc_stream_producers{state="idle",stream="yard"}', 1)
        assert gone[consumers] == 0
        assert gone[received] >= grown[received]
        with ports.read("yard") as container:
            next(container.decode(video=0))
            reread = ports.until(connections, 3)
            assert reread[reconnects] == 1
        assert reread["go2rtc_restarts_total"] == 0
        assert reread["go2rtc_exporter_parse_errors_total"] == 0


def authorised(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"Authorization": "Basic YWRtaW46dmlld2Vy"})


def test_a_real_go2rtc_whose_secrets_are_digits_and_keys_is_still_read(
    tmp_path: Path,
    go2rtc_binary: str,
    cameras: Cameras,
) -> None:
    source = cameras.url(0).replace("//", "//${USER}:${PASSWORD}@")
    with site(tmp_path, go2rtc_binary, {"yard": source, "gate": cameras.url(1)}, USER="url", PASSWORD="1") as ports:
        with ports.read("yard") as container:
            next(container.decode(video=0))
            ports.until('go2rtc_stream_consumers{kind="rtsp",stream="yard"}', 1)
            found = ports.until("go2rtc_exporter_parse_errors_total", 1)
            with urllib.request.urlopen(authorised(f"http://127.0.0.1:{ports.api}/api/streams")) as answer:
                blotted = answer.read().decode()
            assert '"***":' in blotted
        assert found["go2rtc_up"] == 1
        assert found['go2rtc_stream_producers{state="idle",stream="gate"}'] == 1


def test_a_real_restart_in_place_is_noticed_and_no_counter_falls(
    tmp_path: Path,
    go2rtc_binary: str,
    cameras: Cameras,
) -> None:
    received, connections = (
        f'go2rtc_producer_{name}_total{{stream="yard"}}' for name in ("receive_bytes", "connections")
    )
    with site(tmp_path, go2rtc_binary, {"yard": cameras.url(0)}) as ports, contextlib.ExitStack() as sessions:
        sessions.enter_context(ports.read("yard"))
        before = ports.until(received, 200_000)
        old = ports.sent()

        # Nobody scrapes until the new process has a track with an old one's numbers. Which numbers a session has
        # depends on how many before it were broken off while go2rtc started: then it starts once more.
        def restarted_with_an_old_number() -> bool:
            sessions.close()
            ports.restart()
            sessions.enter_context(ports.read("yard"))
            wait_for("a track that moves", lambda: any(ports.sent().values()))
            return any(sent < old.get(numbers, 0) for numbers, sent in ports.sent().items())

        wait_for("a restart with an old number", restarted_with_an_old_number, 60)
        after = ports.until("go2rtc_restarts_total", 1)
    assert after[connections] == before[connections] + 1
    assert after[received] > before[received]


def test_a_wrong_password_is_told_as_such(tmp_path: Path, go2rtc_binary: str) -> None:
    with site(tmp_path, go2rtc_binary, {}) as ports:
        ports.until("go2rtc_up", 1)
        (tmp_path / "password").write_text("wrong")
        found = ports.until('go2rtc_exporter_failures_total{reason="unauthorized"}', 1)
        assert found["go2rtc_up"] == 0
