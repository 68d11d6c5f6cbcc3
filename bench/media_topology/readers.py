"""Read many RTSP streams in one process and say how long each went without a picture that could be decoded.

    python readers.py --control 8081

GET /targets?json={"name": "rtsp://host:port/path", ...} sets what is read; streams that stay are not disturbed.
GET /reset starts a new measurement. GET /gaps answers, a name: `longest` (seconds between two decodable pictures
since the reset, the wait that still goes on included), `since` (age of the last picture), pictures, connects, failures.
After connecting, pictures count from the first IDR: what comes before cannot be decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.1, 1.0
SILENCE_SECONDS = 20.0  # as the detector does: a stream that is silent for this long is opened again
KEEPALIVE_SECONDS = 25.0
NAL_IDR, FU_A = 5, 28


@dataclass
class Stream:
    url: str
    last: float
    longest: float = 0.0
    pictures: int = 0
    connects: int = 0
    failures: int = 0
    task: asyncio.Task[None] | None = None

    def picture(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.pictures += 1

    def reset(self) -> None:
        self.longest, self.pictures, self.connects, self.failures = 0.0, 0, 0, 0
        self.last = time.monotonic()


class Readers:
    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    async def set(self, targets: dict[str, str]) -> None:
        for name in [name for name, item in self.streams.items() if targets.get(name) != item.url]:
            task = self.streams.pop(name).task
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for name, url in targets.items():
            if name not in self.streams:
                stream = self.streams[name] = Stream(url, time.monotonic())
                stream.task = asyncio.create_task(follow(stream))

    def gaps(self) -> dict[str, dict[str, float]]:
        now = time.monotonic()
        return {
            name: {
                "longest": max(item.longest, now - item.last),
                "since": now - item.last,
                "pictures": item.pictures,
                "connects": item.connects,
                "failures": item.failures,
            }
            for name, item in self.streams.items()
        }


async def follow(stream: Stream) -> None:
    """Read a stream for ever, connecting again as soon as it ends."""
    wait = FIRST_RETRY_SECONDS
    while True:
        before = stream.pictures
        try:
            await read(stream)
        except (OSError, EOFError, ValueError, TimeoutError):
            stream.failures += 1
        wait = FIRST_RETRY_SECONDS if stream.pictures > before else min(wait * 2, LAST_RETRY_SECONDS)
        await asyncio.sleep(wait)


async def read(stream: Stream) -> None:
    parts = urlsplit(stream.url)
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(15):
            await ask(reader, writer, f"DESCRIBE {stream.url}", "CSeq: 1", "Accept: application/sdp")
            transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
            session = await ask(reader, writer, f"SETUP {stream.url}/trackID=0", "CSeq: 2", transport)
            await ask(reader, writer, f"PLAY {stream.url}", "CSeq: 3", f"Session: {session}")
        stream.connects += 1
        await pictures(stream, reader, writer, session)
    finally:
        writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str, *headers: str) -> str:
    """Send a request and return the session id of its answer."""
    writer.write("\r\n".join((f"{request} RTSP/1.0", *headers, "", "")).encode())
    while (first := await reader.readexactly(1)) == b"$":
        await skip(reader)
    answered = await answer(reader, first)
    return answered.get("session", "").split(";")[0]


async def answer(reader: asyncio.StreamReader, first: bytes) -> dict[str, str]:
    text = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = text.split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    if status.split(" ")[1] != "200":
        raise ValueError(status)
    return headers


async def skip(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an interleaved packet after its "$"; return channel and content."""
    header = await reader.readexactly(3)
    return header[0], await reader.readexactly(int.from_bytes(header[1:], "big"))


async def pictures(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: str) -> None:
    decodable = False
    asked = time.monotonic()
    number = 4
    while True:
        async with asyncio.timeout(SILENCE_SECONDS):
            first = await reader.readexactly(1)
            if first != b"$":
                await answer(reader, first)
                continue
            channel, packet = await skip(reader)
        if channel != 0 or len(packet) < 14:
            continue
        kind = packet[12] & 31
        decodable = decodable or (packet[13] & 31 if kind == FU_A else kind) == NAL_IDR
        if decodable and packet[1] & 0x80:
            stream.picture()
        if time.monotonic() - asked > KEEPALIVE_SECONDS:
            asked = time.monotonic()
            writer.write(f"OPTIONS {stream.url} RTSP/1.0\r\nCSeq: {number}\r\nSession: {session}\r\n\r\n".encode())
            number += 1


async def control(readers: Readers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    if line:
        parts = urlsplit(line.decode().split(" ")[1])
        if parts.path == "/targets":
            await readers.set(json.loads(parse_qs(parts.query)["json"][0]))
        if parts.path == "/reset":
            for stream in readers.streams.values():
                stream.reset()
        text = json.dumps(readers.gaps())
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{text}".encode())
        await writer.drain()
    writer.close()


async def run(arguments: argparse.Namespace) -> None:
    readers = Readers()
    server = await asyncio.start_server(lambda r, w: control(readers, r, w), "", arguments.control)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", type=int, default=8081)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
