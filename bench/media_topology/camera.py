"""Stand-in for a site's cameras: an RTSP server with many paths, one H.264 loop, and a record of its sessions.

    python camera.py --video loop.h264 --paths 35 --port 8554 --control 8080

Every path plays the same loop against one clock, as a camera does: who connects gets the next frame, not a keyframe.
With --spread each path has its own moment in it, as cameras do that know nothing of each other.
The control port answers GET /sessions with each path's sessions; /credentials?path=cam0&user=u&password=p sets what a
path asks for from now on (running sessions go on), /only-one?on=1 makes paths refuse a second session. All are GET, for
the sake of `kubectl get --raw` through the API server's proxy.
Standard library only, so that it runs in any image with Python.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FRAME_RATE = 10
CLOCK_RATE = 90_000
PAYLOAD_TYPE = 96
PACKET_BYTES = 1400
NAL_IDR, NAL_SPS, NAL_PPS, NAL_SLICE, FU_A = 5, 7, 8, 1, 28


def access_units(stream: bytes) -> list[list[bytes]]:
    """Split an Annex B stream with one slice a picture into pictures, parameter sets with the picture they precede."""
    units: list[list[bytes]] = []
    current: list[bytes] = []
    for part in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        nal = part.rstrip(b"\0")
        kind = nal[0] & 31
        if kind in (NAL_SPS, NAL_PPS, NAL_IDR, NAL_SLICE):
            current.append(nal)
        if kind in (NAL_IDR, NAL_SLICE):
            units.append(current)
            current = []
    return units


def payloads(unit: list[bytes]) -> list[bytes]:
    """RTP payloads of one picture (RFC 6184: single NAL units and FU-A)."""
    found = []
    for nal in unit:
        if len(nal) <= PACKET_BYTES:
            found.append(nal)
            continue
        indicator, kind, body = (nal[0] & 0xE0) | FU_A, nal[0] & 31, nal[1:]
        chunks = [body[start : start + PACKET_BYTES] for start in range(0, len(body), PACKET_BYTES)]
        for number, chunk in enumerate(chunks):
            header = kind | (0x80 if number == 0 else 0) | (0x40 if number == len(chunks) - 1 else 0)
            found.append(bytes((indicator, header)) + chunk)
    return found


@dataclass
class Session:
    path: str
    peer: str
    started: float
    ended: float | None = None
    writer: asyncio.StreamWriter | None = None
    channel: int = 0
    playing: bool = False
    sequence: int = 0


@dataclass
class Site:
    frames: list[list[bytes]]
    parameters: tuple[bytes, bytes]
    paths: set[str]
    credentials: dict[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    only_one: bool = False

    def open_sessions(self, path: str) -> list[Session]:
        return [item for item in self.sessions if item.path == path and item.ended is None]

    def sdp(self) -> str:
        sps, pps = self.parameters
        sets = ",".join(base64.b64encode(item).decode() for item in (sps, pps))
        return (
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_RATE}\r\n"
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={sps[1:4].hex()};"
            f"sprop-parameter-sets={sets}\r\n"
            "a=control:track0\r\n"
        )


async def play(site: Site, paths: tuple[str, ...], *, spread: bool) -> None:
    """Send each path's next picture to every session of it that plays, ten times a second.

    `spread`: each path is later than the one before, by its part of a picture's time and of the loop; else all send
    the same picture at once.
    """
    loop = asyncio.get_running_loop()
    start, shift = loop.time(), 1.0 / len(paths) if spread else 0.0
    number = 0
    while True:
        for place, path in enumerate(paths):
            due = start + (number + place * shift) / FRAME_RATE
            if (wait := due - loop.time()) > 0.0:
                await asyncio.sleep(wait)
            picture = site.frames[(number + int(place * shift * len(site.frames))) % len(site.frames)]
            timestamp = (number * CLOCK_RATE // FRAME_RATE) & 0xFFFFFFFF
            for session in site.open_sessions(path):
                if session.playing and session.writer is not None and not session.writer.is_closing():
                    session.writer.write(b"".join(packets(session, picture, timestamp)))
        number += 1


def packets(session: Session, picture: list[bytes], timestamp: int) -> Iterator[bytes]:
    for number, payload in enumerate(picture):
        marker = 0x80 if number == len(picture) - 1 else 0
        rtp = struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, session.sequence, timestamp, 1)
        session.sequence = (session.sequence + 1) & 0xFFFF
        yield struct.pack("!BBH", 0x24, session.channel, len(rtp) + len(payload)) + rtp + payload


async def serve(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    session: Session | None = None
    try:
        while head := await request(reader):
            method, url, headers = head
            path = urlsplit(url).path.strip("/").split("/")[0]
            status, extra, body = answer(site, method, path, headers, session)
            if method == "SETUP" and status == "200 OK" and session is None:
                session = Session(path, str(writer.get_extra_info("peername")[0]), time.time(), writer=writer)
                site.sessions.append(session)
            writer.write(response(status, headers, extra, body))
            if method == "PLAY" and session is not None:
                session.playing = True
            if method == "TEARDOWN":
                break
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        if session is not None:
            session.ended, session.playing, session.writer = time.time(), False, None
        writer.close()


async def request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """Read the next request, passing over interleaved RTCP; None at the end of the connection."""
    while True:
        first = await reader.read(1)
        if not first:
            return None
        if first != b"$":
            break
        header = await reader.readexactly(3)
        await reader.readexactly(int.from_bytes(header[1:], "big"))
    text = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    method, url, _ = text.split("\r\n", 1)[0].split(" ", 2)
    headers = dict(line.split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)
    return method, url, {key.lower(): value for key, value in headers.items()}


def answer(
    site: Site, method: str, path: str, headers: dict[str, str], session: Session | None
) -> tuple[str, list[str], str]:
    """Status, extra headers and body."""
    if method in ("OPTIONS", "GET_PARAMETER", "TEARDOWN"):
        return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"], ""
    if refusal := refuse(site, path, headers):
        return refusal
    if method == "DESCRIBE":
        return "200 OK", ["Content-Type: application/sdp"], site.sdp()
    if method != "SETUP":
        return "200 OK", ["Session: 1;timeout=60"], ""
    if site.only_one and session is None and site.open_sessions(path):
        site.refused[path] = site.refused.get(path, 0) + 1
        return "453 Not Enough Bandwidth", [], ""
    return "200 OK", ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"], ""


def refuse(site: Site, path: str, headers: dict[str, str]) -> tuple[str, list[str], str] | None:
    if path not in site.paths:
        return "404 Not Found", [], ""
    expected = site.credentials.get(path)
    if expected and headers.get("authorization") != "Basic " + base64.b64encode(expected.encode()).decode():
        return "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
    return None


def response(status: str, headers: dict[str, str], extra: list[str], body: str) -> bytes:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *extra]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def control(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    if not line:
        writer.close()
        return
    _, target, _ = line.decode().split(" ", 2)
    parts = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if parts.path == "/credentials":
        site.credentials[query["path"]] = f"{query['user']}:{query['password']}"
    if parts.path == "/only-one":
        site.only_one = query["on"] == "1"
    sessions = [
        {"path": item.path, "peer": item.peer, "started": item.started, "ended": item.ended} for item in site.sessions
    ]
    body = json.dumps({"sessions": sessions, "refused": site.refused})
    writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def run(arguments: argparse.Namespace) -> None:
    units = access_units(arguments.video.read_bytes())
    first = units[0]
    sps, pps = (next(nal for nal in first if nal[0] & 31 == kind) for kind in (NAL_SPS, NAL_PPS))
    paths = tuple(f"cam{number}" for number in range(arguments.paths))
    site = Site([payloads(unit) for unit in units], (sps, pps), set(paths))
    await asyncio.start_server(lambda r, w: serve(site, r, w), "", arguments.port)
    await asyncio.start_server(lambda r, w: control(site, r, w), "", arguments.control)
    await play(site, paths, spread=arguments.spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--paths", type=int, default=35)
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--control", type=int, default=8080)
    parser.add_argument("--spread", action="store_true", help="no two paths send at once, nor keyframes together")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
