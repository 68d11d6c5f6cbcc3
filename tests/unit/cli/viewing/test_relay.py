"""What comes of real pods: a real go2rtc with the media pod's configuration, the detector's own reader and server."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from tests.unit.cli.viewing.rig import Rig, figure
from tests.unit.media.conftest import go2rtc_binary, wait_for

from edgedetector.cli.viewing.relay import Relay
from edgedetector.cli.viewing.session import Session
from edgedetector.detector.outputs.secretfiles import SecretFile

__all__ = ["go2rtc_binary"]  # a fixture

Message = tuple[dict[str, Any], bytes]


@pytest.fixture
def site(tmp_path: Path, go2rtc_binary: str) -> Iterator[Callable[..., Rig]]:
    """Starts a site, with a token if one is given."""
    with contextlib.ExitStack() as started:

        def start(token: SecretFile | None = None) -> Rig:
            rig = Rig(tmp_path, go2rtc_binary, token)
            started.callback(rig.close)
            rig.start()
            return rig

        yield start


@contextlib.contextmanager
def watched(relay: Relay, **cameras: str) -> Iterator[Iterator[Message]]:
    """Yield the messages that a page gets that watches these cameras."""
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    session = relay.open()
    relay.watch(session.id, cameras)
    yield messages(session)
    stop.set()
    thread.join(60)


def messages(session: Session, seconds: float = 120.0) -> Iterator[Message]:
    waiting, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        waiting += session.take(1.0)
        while len(waiting) >= 4 and len(waiting) >= (end := 4 + int.from_bytes(waiting[:4])):
            message, waiting = waiting[4:end], waiting[end:]
            size = 2 + int.from_bytes(message[:2])
            yield json.loads(message[2:size]), message[size:]
    pytest.fail(f"what is waited for has not come within {seconds:.0f} s")


def until(found: Iterator[Message], kind: str) -> Message:
    return next(one for one in found if one[0]["kind"] == kind)


def test_boxes_are_placed_at_the_frames_that_they_were_found_in(site: Callable[..., Rig]) -> None:
    film, results = b"", []
    with watched(site().relay(), gate="video") as found:
        while len(results) < 80:
            head, content = next(found)
            film += content if head["kind"] in {"begin", "video"} else b""
            if head["kind"] == "result" and head["at"] is not None:
                results.append((head["at"], head["detections"][0]["box"][0]))
    with av.open(io.BytesIO(film)) as container:
        frames = [(float(one.time), figure(one.to_ndarray(format="rgb24"))) for one in container.decode(video=0)]
    lefts = [(at, boxes[0].box[0]) for at, boxes in frames if boxes]

    off = []
    for at, left in results[20:]:
        nearest = min(range(len(lefts)), key=lambda place: abs(lefts[place][0] - at))
        # The figure walks back and forth: within a second of where the box was placed it is there once or twice.
        near = range(max(0, nearest - 10), min(len(lefts), nearest + 11))
        true = min(near, key=lambda place: (abs(lefts[place][1] - left) > 3, abs(place - nearest)))
        off.append(abs(true - nearest))

    assert statistics.median(off) <= 1, off


def test_a_camera_that_is_replaced_below_goes_on(site: Callable[..., Rig]) -> None:
    rig = site()
    with watched(rig.relay(), gate="video") as found:
        assert until(found, "begin")[0]["type"].startswith('video/mp4; codecs="avc1.')
        rig.replace_media_pod()

        assert until(found, "end")[0]["camera"] == "gate"
        assert until(found, "begin")[0]["camera"] == "gate"
        assert until(found, "video")[1]


def test_pictures_have_the_boxes_in_them(site: Callable[..., Rig]) -> None:
    with watched(site().relay(), dock="pictures") as found:
        _, content = until(found, "picture")

    assert content.startswith(b"\xff\xd8")


def test_a_token_that_is_asked_for_and_not_given_is_named(site: Callable[..., Rig], tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("let-me-see")
    rig = site(SecretFile(path))
    with watched(rig.relay(), gate="video") as found:
        assert until(found, "begin")[1], "video needs none"
        told: list[dict[str, str]] = []
        while not told:
            told = [one for one in json.loads(until(found, "page")[1])["notSeen"] if "token" in one["why"]]
    assert "--token-file" in told[0]["why"]

    with watched(rig.relay("let-me-see"), gate="video") as found:
        assert until(found, "result")[0]["camera"] == "gate"


def test_a_page_that_is_closed_leaves_no_reader_behind(site: Callable[..., Rig]) -> None:
    rig = site()

    def readers() -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{rig.pod.api}/api/streams") as answer:
            streams = json.load(answer).values()
        return [one["format_name"] for stream in streams for one in stream.get("consumers") or ()]

    with watched(rig.relay(), gate="video") as found:
        until(found, "video")
        assert "mp4" in readers()

    wait_for("the end of the page's reader", lambda: "mp4" not in readers())
