"""Events, snapshots and the HTTP servers, over real sockets."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedetector.detector import web
from edgedetector.detector.events import _QUEUE, Hub, Result
from edgedetector.detector.inference import Detection
from edgedetector.detector.outputs.secretfiles import SecretFile

IMAGE = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)


def result(camera: str = "gate", *, image: np.ndarray = IMAGE, pts: int = 7) -> Result:
    found = (Detection("person", 0.75, (10.0, 20.0, 50.0, 100.0)),)
    return Result(
        camera, "people", image.shape[1], image.shape[0], lambda: image, pts, 1_800_000_000.25, 0.03, 0.02, found
    )


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def base(hub: Hub) -> Iterator[str]:
    server, stop = web.private(("127.0.0.1", 0), hub), threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    stop.set()
    thread.join()


def listen(base: str, hub: Hub, query: str = "") -> Iterator[dict]:
    """Events of /events; results are published until the listener is there to hear them."""
    with urllib.request.urlopen(f"{base}/events{query}", timeout=10) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.readline().startswith(b": listening")
        hub.publish(result())
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize("path", ["/events", "/snapshot/gate.jpg", "/snapshot/gate.json", "/other"])
def test_a_page_whose_name_was_made_to_point_here_is_not_answered(base: str, hub: Hub, path: str) -> None:
    hub.publish(result())
    request = urllib.request.Request(f"{base}{path}", headers={"Host": "evil.example:9091"})

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)

    assert refused.value.code == 421
    assert b"localhost" in refused.value.read()


def test_an_event_says_what_was_found_where_and_when(base: str, hub: Hub) -> None:
    assert next(listen(base, hub)) == {
        "camera": "gate",
        "model": "people",
        "frame": {
            "width": 160,
            "height": 120,
            "pts": 7,
            "capturedAt": "2027-01-15T08:00:00.250+00:00",
            "ageSeconds": 0.03,
            "inferenceSeconds": 0.02,
        },
        "detections": [{"label": "person", "score": 0.75, "box": [10.0, 20.0, 50.0, 100.0]}],
    }


def test_whoever_asks_gets_the_digest_of_the_pixels(base: str, hub: Hub) -> None:
    expected = hashlib.blake2b(IMAGE.tobytes(), digest_size=16).hexdigest()
    assert next(listen(base, hub, "?digest=1"))["frame"]["digest"] == expected


def test_a_slow_listener_loses_the_oldest_and_is_told_how_many(hub: Hub) -> None:
    with hub.listen(digest=False) as listener:
        for pts in range(_QUEUE + 10):
            hub.publish(result(pts=pts))
        events, dropped = hub.take(listener, 0.0)
        assert dropped == 10
        assert [json.loads(event)["frame"]["pts"] for event in events] == list(range(10, _QUEUE + 10))
        assert hub.take(listener, 0.0) == ([], 0)


def test_a_snapshot_is_the_newest_frame_with_its_boxes_drawn(base: str, hub: Hub) -> None:
    hub.publish(result(image=np.zeros((480, 640, 3), np.uint8)))
    with urllib.request.urlopen(f"{base}/snapshot/gate.jpg", timeout=10) as answer:
        picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
        assert answer.headers["Content-Type"] == "image/jpeg"
    assert picture.shape == (480, 640, 3)
    assert picture[60, 10].max() > 100, "the box's left edge is drawn"
    assert picture[200, 300].max() < 10, "the rest is the frame"
    with urllib.request.urlopen(f"{base}/snapshot/gate.json", timeout=10) as answer:
        assert json.load(answer)["detections"] == [
            {"label": "person", "score": 0.75, "box": [10.0, 20.0, 50.0, 100.0], "model": "people"}
        ]


@pytest.mark.parametrize("size", [(1, 1), (20, 2000), (2160, 3840)])
def test_odd_frames_have_snapshots_too(base: str, hub: Hub, size: tuple[int, int]) -> None:
    hub.publish(result(image=np.zeros((*size, 3), np.uint8)))
    with urllib.request.urlopen(f"{base}/snapshot/gate.jpg", timeout=10) as answer:
        assert cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR).shape[:2] == size


@pytest.mark.parametrize(
    "path", ["/snapshot/other.jpg", "/snapshot/../secret.jpg", "/snapshot/gate.gif", "/", "/state"]
)
def test_anything_else_is_not_found(base: str, hub: Hub, path: str) -> None:
    hub.publish(result())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(base + path, timeout=10)


def test_pictures_of_a_removed_camera_are_gone(hub: Hub) -> None:
    hub.publish(result())
    hub.forget("gate")
    assert hub.latest("gate") == ()


def test_the_public_server_has_figures_and_no_pictures() -> None:
    server, stop = (
        web.public(
            ("127.0.0.1", 0),
            state=lambda: "{}",
            observation=lambda: "[]",
            exposition=lambda: b"up 1\n",
            greet=lambda _source, _text: "{}",
        ),
        threading.Event(),
    )
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        for path, body in (("/state", b"{}"), ("/observation", b"[]"), ("/metrics", b"up 1\n"), ("/healthz", b"ok\n")):
            assert urllib.request.urlopen(base + path, timeout=10).read() == body
        for path in ("/events", "/snapshot/gate.jpg"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(base + path, timeout=10)
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def guarded(hub: Hub, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on every address, with a token."""
    (tmp_path / "token").write_text("first")
    server, stop = web.private(("", 0), hub, lambda: SecretFile(tmp_path / "token")), threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "token"
    stop.set()
    thread.join()


def ask(url: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["/events", "/snapshot/gate.jpg", "/snapshot/gate.json", "/snapshot/other.jpg", "/"])
def test_whoever_lacks_the_token_learns_nothing_not_even_what_there_is(
    guarded: tuple[str, Path], hub: Hub, path: str
) -> None:
    base, _ = guarded
    hub.publish(result())
    assert [ask(base + path, token) for token in (None, "", "firs", "second")] == [401] * 4
    assert ask(base + path, "first") == (200 if "gate" in path or path == "/events" else 404)


def test_a_token_that_is_rotated_holds_from_the_next_request(guarded: tuple[str, Path], hub: Hub) -> None:
    base, token = guarded
    hub.publish(result())
    token.write_text("second")
    assert [ask(f"{base}/snapshot/gate.jpg", one) for one in ("first", "second")] == [401, 200]
    token.unlink()
    assert ask(f"{base}/snapshot/gate.jpg", "second") == 401


def test_a_token_that_is_rotated_ends_those_who_listen_with_the_old_one(guarded: tuple[str, Path], hub: Hub) -> None:
    base, token = guarded
    request = urllib.request.Request(f"{base}/events", headers={"Authorization": "Bearer first"})
    with urllib.request.urlopen(request, timeout=30) as stream:
        stream.readline()
        token.write_text("second")
        hub.publish(result())
        hub.publish(result())
        rest = stream.read()
    assert rest.count(b"data: ") <= 2


def test_without_a_token_only_the_pod_itself_is_answered_whatever_the_address(hub: Hub) -> None:
    """The token is taken from the specification a while before the pod is replaced."""
    server, stop = web.private(("", 0), hub), threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    hub.publish(result())

    def asked_from(address: str) -> int:
        connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10, source_address=(address, 0))
        connection.request("GET", "/snapshot/gate.jpg")
        answer = connection.getresponse()
        assert answer.status != 401 or answer.headers["WWW-Authenticate"] == "Bearer"
        connection.close()
        return answer.status

    try:
        # Another address of this machine stands for one elsewhere.
        assert (asked_from("127.0.0.2"), asked_from("127.0.0.1")) == (401, 200)
    finally:
        stop.set()
        thread.join()


def test_a_result_says_which_variant_found_it(base: str, hub: Hub) -> None:
    hub.publish(replace(result(), variant="people-320"))
    with urllib.request.urlopen(f"{base}/snapshot/gate.json", timeout=10) as answer:
        (found,) = json.load(answer)["detections"]
    assert (found["model"], found["variant"]) == ("people", "people-320")
