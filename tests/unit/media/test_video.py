"""Of a real go2rtc, who may forward the port sees the cameras' video and can have nothing else done."""

import http.client
import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from edgedetector.api.dataplane import MediaCamera
from edgedetector.media.video import VideoServer

from .conftest import Cameras, Pod, free_port, wait_for

HEADERS = {"X-EdgeDetector": "view"}


@pytest.fixture
def running(pod: Pod, cameras: Cameras) -> Pod:
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)), MediaCamera("s1", url=cameras.url(1)))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    return pod


@contextmanager
def asked(
    port: int, path: str, headers: dict[str, str] = HEADERS, method: str = "GET"
) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, headers=headers)
        with closing(connection.getresponse()) as answer:
            yield answer


def status(port: int, path: str, headers: dict[str, str] = HEADERS, method: str = "GET") -> int:
    with asked(port, path, headers, method) as answer:
        return answer.status


def streams(pod: Pod) -> dict[str, list[str]]:
    """Formats of the consumers of each stream that go2rtc has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.api}/api/streams") as answer:
        found = json.load(answer)
    return {name: [one["format_name"] for one in item.get("consumers") or ()] for name, item in found.items()}


def test_a_known_stream_comes_as_mp4(running: Pod) -> None:
    with asked(running.serve_video(), "/video/s0") as answer:
        assert answer.status == 200
        assert (answer.headers["Content-Type"] or "").startswith('video/mp4; codecs="avc1.')
        content = answer.read(20_000)
    assert content[4:8] == b"ftyp"
    assert b"moof" in content


def test_what_the_query_names_is_not_dialled(running: Pod) -> None:
    port = running.serve_video()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        url = f"rtsp://127.0.0.1:{elsewhere.getsockname()[1]}/x"
        for query in (f"src={url}", f"name=s0&src={url}", f"name=s1&src={url}"):
            with asked(port, f"/video/s0?{query}") as answer:
                assert answer.status == 200
                assert answer.read(8)[4:] == b"ftyp"
        for path in (
            f"/video/?src={url}",
            "/api/streams",
            f"/api/stream.mp4?src={url}",
            f"/video/{url}",
            "/video/s0%26",
        ):
            assert status(port, path) == 404
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
        assert set(streams(running)) == {"s0", "s1"}

        # Asked itself, go2rtc does dial.
        with socket.create_connection(("127.0.0.1", running.api)) as go2rtc:
            go2rtc.sendall(f"GET /api/stream.mp4?name=s1&src={url} HTTP/1.0\r\n\r\n".encode())
            elsewhere.settimeout(10)
            elsewhere.accept()[0].close()


def test_an_unknown_stream_is_not_asked_for(running: Pod) -> None:
    assert status(running.serve_video(), "/video/s2") == 404
    assert set(streams(running)) == {"s0", "s1"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", "10.0.0.1", ""])
def test_a_name_that_was_made_to_point_here_is_refused(running: Pod, host: str) -> None:
    assert status(running.serve_video(), "/video/s0", HEADERS | {"Host": host}) == 403


def test_this_machine_may_be_called_by_its_name_and_any_port(running: Pod) -> None:
    assert status(running.serve_video(), "/video/s0", HEADERS | {"Host": "localhost:40000"}) == 200


def test_a_page_of_another_origin_cannot_ask(running: Pod) -> None:
    port = running.serve_video()
    assert status(port, "/video/s0", {}) == 403
    assert status(port, "/video/s0", {"X-EdgeDetector": "other"}) == 403
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Headers": "x-edgedetector"}
    with asked(port, "/video/s0", asking, "OPTIONS") as answer:
        assert answer.status == 501
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD"):
        assert status(port, "/video/s0", HEADERS, method) == 501


def test_a_client_that_goes_leaves_no_reader_behind(running: Pod) -> None:
    with asked(running.serve_video(), "/video/s0") as answer:
        answer.read(1000)
        assert streams(running)["s0"] == ["mp4"]
    wait_for("the end of the reader", lambda: streams(running)["s0"] == [], 10.0)


def test_a_client_that_goes_while_nothing_comes_is_noticed_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = VideoServer(0, silent.getsockname()[1], lambda: {"s0"})
        with server, closing(socket.create_connection(("127.0.0.1", server.server_address[1]))) as client:
            client.sendall(b"GET /video/s0 HTTP/1.1\r\nHost: localhost\r\nX-EdgeDetector: view\r\n\r\n")
            server.handle_request()
            upstream, _ = silent.accept()
            with upstream:
                upstream.settimeout(10)
                assert upstream.recv(1000).startswith(b"GET /api/stream.mp4?src=s0&video=h264,h265 HTTP/1.0\r\n")
                client.close()
                assert upstream.recv(1000) == b""


def test_videos_at_once_are_bounded_and_a_place_becomes_free(running: Pod) -> None:
    port = running.serve_video(most=1)
    with asked(port, "/video/s0") as first:
        first.read(1000)
        assert status(port, "/video/s1") == 503
    wait_for("the free place", lambda: status(port, "/video/s1") == 200)


def test_a_go2rtc_that_does_not_run_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with (
        VideoServer(0, port, lambda: {"s0"}) as server,
        closing(socket.create_connection(("127.0.0.1", server.server_address[1]))) as client,
    ):
        client.sendall(b"GET /video/s0 HTTP/1.1\r\nHost: localhost\r\nX-EdgeDetector: view\r\n\r\n")
        server.handle_request()
        assert client.recv(1000).startswith(b"HTTP/1.0 502 ")


def test_a_camera_that_does_not_answer_is_told_without_its_address(pod: Pod) -> None:
    port = free_port()
    pod.configure(1, MediaCamera("s0", url=f"rtsp://127.0.0.1:{port}/x"))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    with asked(pod.serve_video(), "/video/s0") as answer:
        assert (answer.status, answer.read()) == (502, b"go2rtc has no video of it\n")
