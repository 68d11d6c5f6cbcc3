"""Streams that are well and streams that are not, through real FFmpeg and real sockets."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.unit.detector.videos import clip, rtsp, server, sound

from edgedetector.detector.cpu import Budget, Spent
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.opening import Opening, SourceError, open_stream
from edgedetector.detector.reader import HARDWARE_AGAIN, UNDECODABLE, Reader


class Time:
    """Time that passes a step with each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step, self.cpu, self.cpu_step = 100.0, step, 0.0, 0.0
        self.clocks = Clocks(self._monotonic, lambda: 1_700_000_000.0, self._cpu)

    def _monotonic(self) -> float:
        self.now += self.step
        return self.now

    def _cpu(self) -> float:
        self.cpu += self.cpu_step
        return self.cpu


@pytest.fixture
def stream(tmp_path: Path) -> Callable[..., Reader]:
    """Makes a reader of a stream with some content."""

    def make(content: bytes, clocks: Clocks | None = None, **options) -> Reader:
        path = tmp_path / "stream"
        path.write_bytes(content)
        return Reader(str(path), clocks or Time().clocks, **options)

    return make


def read(reader: Reader) -> tuple[list[Frame], str]:
    """Return the frames of a session, and the reason of its end."""
    seen: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        seen.extend(reader.frames())
    return seen, caught.value.reason


def level(frame: Frame) -> int:
    """Return the number of a frame of `clip`, which its brightness shows."""
    return round(float(frame.image().mean()) / 12)


def test_every_frame_is_decoded_and_told_of(stream) -> None:
    content = clip()
    reader = stream(content)
    seen, reason = read(reader)
    known = reader.reading()
    assert (len(seen), reason) == (10, "StreamEnded")
    assert (known.packets, known.frames["decoded"], known.sessions) == (10, 10, 1)
    assert (known.codec, known.decoder, known.width, known.height) == ("h264", "software", 64, 48)
    assert known.stated_rate == 10.0
    assert 0 < known.bytes < len(content)


def test_the_rate_and_the_keyframe_interval_are_measured(stream) -> None:
    clock = Time()

    def due(_now: float) -> bool:
        clock.now += 0.1  # asked once a packet: so 10 packets a second
        return True

    reader = stream(clip(count=40), clock.clocks, due=due)
    read(reader)
    assert reader.reading().rate == pytest.approx(10.0, rel=0.1)
    assert reader.reading().keyframe_interval == pytest.approx(0.5)


def test_keyframes_only_begins_at_once_and_ends_with_a_keyframe(stream) -> None:
    numbers = itertools.count()

    def due(_now: float) -> bool:  # asked once a packet
        reader.keyframes_only = 3 <= next(numbers) < 8
        return True

    reader = stream(clip(count=20, gop=5), due=due)
    seen, _ = read(reader)
    # 6 to 9 build on one another: 8 and 9 would be pictures of nothing, so they wait for 10.
    assert [level(frame) for frame in seen] == [0, 1, 2, 5, *range(10, 20)]
    assert reader.reading().frames["passed_over"] == 6
    assert reader.reading().frames["corrupt"] == reader.reading().frames["damaged"] == 0


def test_frames_that_nobody_refers_to_are_not_decoded_unless_due(stream) -> None:
    content = clip(count=20, gop=20, b_frames=3)
    all_of_them, _ = read(stream(content))
    needed, _ = read(stream(content, due=lambda _now: False))
    assert len(all_of_them) == 20
    assert 5 <= len(needed) <= 12
    whole = {frame.pts: frame.image() for frame in all_of_them}
    assert all(np.array_equal(frame.image(), whole[frame.pts]) for frame in needed)


def test_pictures_on_their_own_are_decoded_only_when_due(stream) -> None:
    asked = itertools.count()
    reader = stream(clip("mjpeg", container="mjpeg", pixels="yuvj420p"), due=lambda _now: next(asked) % 5 == 0)
    seen, _ = read(reader)
    assert len(seen) == 2
    assert reader.reading().frames["passed_over"] == 8


def test_a_stream_over_its_budget_is_read_on_by_keyframes_and_comes_back(stream) -> None:
    clock, numbers = Time(), itertools.count()

    def due(_now: float) -> bool:
        number = next(numbers)
        clock.cpu_step = 1.0 if number == 2 else 0.0  # what decoding 2 and reading 3 take
        clock.now += {4: 12.0, 7: 10.0}.get(number, 0.0)
        return True

    reader = stream(clip(count=20, gop=5), clock.clocks, due=due, budget=Budget(share=0.1, burst=1.0))
    seen, _ = read(reader)
    assert [level(frame) for frame in seen] == [0, 1, 2, 5, *range(10, 20)]
    known = reader.reading()
    assert (known.frames["over_budget"], known.frames["passed_over"], known.packets) == (4, 2, 20)


def test_while_the_budget_is_exceeded_nothing_is_decoded_and_all_is_read(stream) -> None:
    clock = Time()
    clock.cpu_step = 1.0
    reader = stream(clip(count=20), clock.clocks, budget=Budget(share=0.1, burst=1.0))
    assert len(read(reader)[0]) == 1
    assert (reader.reading().frames["over_budget"], reader.reading().packets) == (19, 20)


def test_a_reader_stops_at_the_next_packet_though_no_frame_comes(stream) -> None:
    asked: list[float] = []

    def due(now: float) -> bool:
        asked.append(now)
        if len(asked) == 3:
            reader.stop()
        return False

    reader = stream(clip("mjpeg", container="mjpeg", pixels="yuvj420p"), due=due)
    assert list(reader.frames()) == []
    assert len(asked) == 3


def test_a_change_of_resolution_gives_frames_of_the_new_size(stream) -> None:
    reader = stream(clip() + clip(width=128, height=96))
    seen, _ = read(reader)
    assert {(frame.width, frame.height) for frame in seen} == {(64, 48), (128, 96)}
    assert {frame.image().shape for frame in seen} == {(48, 64, 3), (96, 128, 3)}
    assert (reader.reading().resized, reader.reading().width) == (1, 128)


@pytest.mark.parametrize(("width", "height", "pixels"), [(1, 1, "yuv444p"), (2, 2, "yuv420p"), (3840, 2160, "yuv420p")])
def test_odd_sizes_are_frames_like_any_other(stream, width: int, height: int, pixels: str) -> None:
    seen, reason = read(stream(clip(width=width, height=height, pixels=pixels, count=3)))
    assert reason == "StreamEnded"
    assert seen[0].image().shape == (height, width, 3)
    assert seen[0].luma().shape == (height, width)


@pytest.mark.parametrize("opening", [Opening(), Opening(decoders={"h264": "h264"})])
def test_a_size_beyond_all_cameras_is_refused_by_the_decoder(stream, opening: Opening, monkeypatch) -> None:
    monkeypatch.setattr("edgedetector.detector.opening._LARGEST", 64 * 48 - 1)
    assert read(stream(clip(), opening=opening)) == ([], "TooLarge")
    reader = stream(clip(width=32, height=32) + clip() + clip(width=32, height=32), opening=opening)
    seen, _ = read(reader)
    assert [frame.width for frame in seen] == [32] * 20
    assert reader.reading().frames["damaged"] == 10


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "InvalidData"), (b"this is no video" * 1000, "InvalidData"), (sound(), "NoVideo")],
    ids=["nothing", "garbage", "audio only"],
)
def test_what_is_no_video_has_its_reason(stream, content: bytes, reason: str) -> None:
    reader = stream(content)
    assert read(reader) == ([], reason)
    assert reader.reading().sessions == 0


def damaged(count: int) -> bytes:
    """Return ten pictures of MJPEG of which the first are noise, in whole packets."""
    content = bytearray(clip("mjpeg", container="avi", pixels="yuvj420p"))
    for chunk in itertools.islice(re.finditer(rb"00dc(....)\xff\xd8", content, re.DOTALL), count):
        start, size = chunk.end(1), int.from_bytes(chunk[1], "little")
        content[start : start + size] = bytes(size)
    return bytes(content)


def test_damaged_packets_are_counted_with_what_the_decoder_said_and_harm_nothing_else(stream) -> None:
    reader = stream(damaged(3))
    seen, _ = read(reader)
    known = reader.reading()
    assert known.frames["damaged"] == 3
    assert "Invalid data" in known.damage
    assert len(seen) == known.frames["decoded"] == 7


def test_a_stream_of_which_nothing_can_be_decoded_is_given_up(stream) -> None:
    reader = stream(damaged(10), Time(step=UNDECODABLE / 20).clocks)
    assert read(reader) == ([], "Undecodable")
    assert 0 < reader.reading().frames["damaged"] < 10


def test_the_same_picture_is_noticed_when_asked_for(stream) -> None:
    clock = Time(step=0.1)
    frozen = stream(clip(step=0, count=40), clock.clocks, watch_stillness=True)
    read(frozen)
    since = frozen.reading().same_since
    assert since is not None
    assert clock.now - since > 10
    clock = Time(step=0.1)
    moving = stream(clip(count=40), clock.clocks, watch_stillness=True)
    read(moving)
    assert moving.reading().same_since is not None
    assert clock.now - moving.reading().same_since < 3


def test_reading_and_decoding_are_told_in_wall_and_cpu_seconds(stream) -> None:
    told: dict[str, list[Spent]] = {"read": [], "decode": []}
    clocks = Clocks(time.monotonic, time.time)
    read(stream(clip(width=640, height=480), clocks, on_read=told["read"].append, on_decode=told["decode"].append))
    assert len(told["decode"]) == 11  # the last one flushes
    assert len(told["read"]) >= 11
    assert sum(spent.cpu for spent in told["decode"]) > 0


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        (Opening(hardware="nosuch"), "nosuch: this FFmpeg has"),
        (Opening(hardware="cuda"), "cuda: "),
        (Opening(hardware="drm"), "drm: "),
        (Opening(decoders={"h264": "nosuch"}), "nosuch: no such decoder"),
        (Opening(decoders={"h264": "h264_v4l2m2m"}), "h264_v4l2m2m: "),
    ],
    ids=["unknown kind", "absent device", "kind without this codec", "unknown decoder", "absent decoder"],
)
def test_without_the_hardware_it_decodes_in_software_and_says_why(stream, opening: Opening, said: str) -> None:
    reader = stream(clip(), opening=opening)
    seen, _ = read(reader)
    assert len(seen) == 10
    assert reader.reading().decoder == "software"
    assert reader.reading().fallback.startswith(said)


def test_a_decoder_by_name_is_used(stream) -> None:
    reader = stream(clip(), opening=Opening(decoders={"h264": "h264"}))
    assert len(read(reader)[0]) == 10
    assert (reader.reading().decoder, reader.reading().fallback) == ("h264", "")


def test_input_options_reach_ffmpeg(stream) -> None:
    reader = stream(clip(), opening=Opening(options={"format_whitelist": "matroska"}))
    assert read(reader)[1] in {"InvalidData", "StreamFailed"}


@pytest.mark.parametrize(
    ("status", "headers", "reason", "unauthorized"),
    [
        ("401 Unauthorized", {"WWW-Authenticate": 'Basic realm="camera"'}, "Unauthorized", True),
        ("403 Forbidden", {}, "Unauthorized", True),
        ("404 Not Found", {}, "NotFound", False),
        ("500 Internal Server Error", {}, "StreamFailed", False),
    ],
)
@pytest.mark.parametrize("hardware", ["", "cuda"])
def test_a_refusal_has_its_reason(status: str, headers, reason: str, unauthorized, hardware: str) -> None:
    with server(rtsp(status, headers)) as address, pytest.raises(SourceError) as caught:
        open_stream(f"rtsp://{address}/s1", Opening(hardware=hardware))
    assert (caught.value.reason, caught.value.unauthorized) == (reason, unauthorized)


def _held() -> tuple[int, int, int]:
    """Return descriptors, threads (FFmpeg's too), and resident memory in KiB."""
    resident = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    held = [len(list(Path(f"/proc/self/{kind}").iterdir())) for kind in ("fd", "task")]
    return held[0], held[1], int(resident[1]) if resident else 0


def test_a_thousand_reconnects_leave_nothing_behind() -> None:
    contents = itertools.cycle([clip(count=5), clip(count=20)[:8000], b"garbage" * 50, b"", sound()[:2000]])
    with server(lambda connection: connection.sendall(next(contents))) as address:
        reader = Reader(f"tcp://{address}", Time().clocks, watch_stillness=True)

        def sessions(count: int) -> tuple[int, int, int]:
            for _ in range(count):
                read(reader)
            return _held()

        before = sessions(100)
        after = sessions(1000)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 4096  # less than one small picture a session
    assert reader.reading().sessions == 440  # two of the five kinds have video


def test_a_reader_that_is_left_closes_its_connection() -> None:
    left = threading.Event()

    def answer(connection) -> None:
        connection.sendall(clip(count=100))
        connection.settimeout(10)
        while connection.recv(100):
            pass
        left.set()

    with server(answer) as address:
        frames = Reader(f"tcp://{address}", Time().clocks).frames()
        next(frames)
        frames.close()
        assert left.wait(10)


@pytest.mark.parametrize(
    ("broken", "said"),
    [("hevc", "hevc: Not yet implemented"), ("mjpeg", "mjpeg: Invalid data found")],
    ids=["the decoder fails", "nothing can be decoded"],
)
def test_hardware_that_fails_later_is_given_up_for_software_without_an_end_of_the_stream(
    stream, broken: str, said: str
) -> None:
    clock = Time(step=0.1)
    reader = stream(clip(count=60), clock.clocks, opening=Opening(decoders={"h264": broken}))
    seen, reason = read(reader)
    known = reader.reading()
    assert (len(seen), reason, known.sessions) == (60, "StreamEnded", 2)
    assert known.decoder == "software"
    assert known.fallback.startswith(said)
    read(reader)
    assert (reader.reading().sessions, reader.reading().fallback) == (3, known.fallback)
    clock.now += HARDWARE_AGAIN
    read(reader)
    assert reader.reading().sessions == 5  # hardware again, in vain, and software


def test_a_stream_that_software_cannot_decode_either_is_given_up(stream) -> None:
    clock = Time(step=UNDECODABLE / 20)
    reader = stream(damaged(10), clock.clocks, opening=Opening(decoders={"mjpeg": "png"}))
    assert read(reader) == ([], "Undecodable")
    assert reader.reading().sessions == 2


def test_a_stopped_reader_does_not_begin_anew_in_software(stream) -> None:
    reader = stream(clip(), opening=Opening(decoders={"h264": "hevc"}))
    reader.stop()
    assert list(reader.frames()) == []
    assert reader.reading().sessions == 1


def test_turned_to_another_url_a_session_ends_without_an_error_and_the_next_reads_that(tmp_path: Path) -> None:
    for name, width in (("main", 128), ("sub", 64)):
        (tmp_path / name).write_bytes(clip(width=width))
    reader = Reader(str(tmp_path / "main"), Time().clocks)
    wide = []
    for frame in reader.frames():
        wide.append(frame.width)
        reader.url = str(tmp_path / "sub")
    assert len(wide) < 10
    assert set(wide) == {128}
    narrow, reason = read(reader)
    assert ([frame.width for frame in narrow], reason) == ([64] * 10, "StreamEnded")
    assert reader.reading().sessions == 2
