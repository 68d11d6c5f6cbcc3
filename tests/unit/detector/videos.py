"""Small videos, and a server that sends them and breaks off."""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

import av
import numpy as np


@functools.cache
def clip(
    codec: str = "libx264",
    *,
    width: int = 64,
    height: int = 48,
    count: int = 10,
    container: str = "mpegts",
    pixels: str = "yuv420p",
    gop: int = 5,
    b_frames: int = 0,
    step: int = 12,
) -> bytes:
    """Frames that grow brighter by `step`; 10 a second. Cached, since encoding takes a moment."""
    made = io.BytesIO()
    options = {"bf": str(b_frames), "g": str(gop), "sc_threshold": "0"} if codec == "libx264" else {}
    with av.open(made, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number in range(count):
            level = number * step % 240
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return made.getvalue()


@functools.cache
def sound() -> bytes:
    """Audio alone."""
    made = io.BytesIO()
    with av.open(made, "w", format="mpegts") as output:
        stream = output.add_stream("mp2", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152 * 2), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return made.getvalue()


Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Yield host:port of a server that answers each connection, one after the other, and then breaks it off."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def saying(content: bytes) -> Answer:
    """Send `content` at once."""
    return lambda connection: connection.sendall(content)


def rtsp(status: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer each request of RTSP alike."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

    def answer(connection: socket.socket) -> None:
        number = 0
        while connection.recv(4096):
            number += 1
            connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{lines}\r\n".encode())

    return answer
