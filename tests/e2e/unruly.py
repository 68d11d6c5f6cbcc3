"""A camera that misbehaves on command: an RTSP server of many paths, each of which plays what it was told last.

    python unruly.py --clips clips.json --port 8554 --control 8080

Runs in a pod beside `camera.py` (bench/media_topology), whose RTSP and RTP it takes; standard library only. The clips:
name -> {"codec": "H264" | "H265", "every": ticks of 0.1 s a picture, "data": base64 of an Annex B stream}. The control
port answers GET /play?path=gate&what=NAME[&again=1]: what a path plays from now on, and with `again` its sessions end,
as when a camera is set up anew. Apart from the clips a path plays

- `nothing`: sessions stay and are silent, as of a camera that hangs or whose cable was pulled;
- `garbage`: random bytes in packets whose numbers and times are right;
- `sound`: its description offers audio alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import camera

FIRST = "plain"
"""What each path plays at first."""
GARBAGE_BYTES = 1000
_H265_PARAMETERS = range(32, 35)
_H265_SLICES = range(32)


@dataclass(frozen=True)
class Clip:
    """A video as pictures of RTP payloads, and how it is described."""

    pictures: list[list[bytes]]
    every: int
    sdp: str

    @classmethod
    def of(cls, entry: dict[str, str]) -> Clip:
        data = base64.b64decode(entry["data"])
        hevc = entry["codec"] == "H265"
        units = split(data, h265) if hevc else split(data, h264)
        # Small enough for a packet each; the fragments of RFC 7798 are not those of RFC 6184.
        payloads = (lambda unit: unit) if hevc else camera.payloads
        parameters = [nal for nal in units[0] if (h265 if hevc else h264)(nal) == "parameters"]
        return cls([payloads(unit) for unit in units], int(entry["every"]), _description(entry["codec"], parameters))


def h264(nal: bytes) -> str:
    """What a NAL unit is."""
    kind = nal[0] & 31
    return {camera.NAL_SPS: "parameters", camera.NAL_PPS: "parameters"}.get(
        kind, "slice" if kind in (camera.NAL_IDR, camera.NAL_SLICE) else ""
    )


def h265(nal: bytes) -> str:
    """What a NAL unit is."""
    kind = nal[0] >> 1 & 63
    return "parameters" if kind in _H265_PARAMETERS else "slice" if kind in _H265_SLICES else ""


def split(stream: bytes, kind: Callable[[bytes], str]) -> list[list[bytes]]:
    """Split an Annex B stream with one slice a picture into pictures, parameters with the picture they precede."""
    units: list[list[bytes]] = [[]]
    for part in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        nal = part.rstrip(b"\0")
        if kind(nal):
            units[-1].append(nal)
        if kind(nal) == "slice":
            units.append([])
    return units[:-1]


def _description(codec: str, parameters: list[bytes]) -> str:
    sets = [base64.b64encode(nal).decode() for nal in parameters]
    if codec == "H265":
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        settings = ";".join(f"{name}={value}" for name, value in zip(names, sets, strict=True))
    else:
        settings = f"packetization-mode=1;sprop-parameter-sets={','.join(sets)}"
    return _sdp(
        f"m=video 0 RTP/AVP {camera.PAYLOAD_TYPE}\r\n"
        f"a=rtpmap:{camera.PAYLOAD_TYPE} {codec}/{camera.CLOCK_RATE}\r\n"
        f"a=fmtp:{camera.PAYLOAD_TYPE} {settings}\r\n"
    )


def _sdp(media: str) -> str:
    return f"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n{media}a=control:track0\r\n"


SOUND = _sdp("m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")


@dataclass
class Channel:
    """A path: what it plays, since when, and who watches."""

    what: str = FIRST
    ticks: int = 0
    sessions: list[camera.Session] = field(default_factory=list)


@dataclass
class Site:
    """All paths; whatever is asked for exists."""

    clips: dict[str, Clip]
    channels: dict[str, Channel] = field(default_factory=dict)

    def channel(self, path: str) -> Channel:
        return self.channels.setdefault(path, Channel())

    def play(self, path: str, what: str, *, again: bool) -> None:
        channel = self.channel(path)
        channel.what, channel.ticks = what, 0
        for session in channel.sessions if again else ():
            if session.writer is not None:
                session.writer.close()

    def sdp(self, path: str) -> str:
        what = self.channel(path).what
        return SOUND if what == "sound" else self.clips.get(what, self.clips[FIRST]).sdp

    def next(self, channel: Channel) -> list[bytes]:
        """Return the payloads of the present tick, none if there is no picture in it."""
        if channel.what == "garbage":
            return [os.urandom(GARBAGE_BYTES)]
        clip = self.clips.get(channel.what)
        if clip is None or channel.ticks % clip.every:
            return []
        return clip.pictures[channel.ticks // clip.every % len(clip.pictures)]


async def play(site: Site) -> None:
    """Send what is due to everybody, ten times a second. Numbers and times go on whatever a path plays."""
    loop = asyncio.get_running_loop()
    start, number = loop.time(), 0
    while True:
        await asyncio.sleep(max(0.0, start + number / camera.FRAME_RATE - loop.time()))
        timestamp = (number * camera.CLOCK_RATE // camera.FRAME_RATE) & 0xFFFFFFFF
        for channel in site.channels.values():
            picture = site.next(channel)
            channel.ticks += 1
            for session in channel.sessions:
                if session.playing and session.writer is not None and not session.writer.is_closing():
                    session.writer.write(b"".join(camera.packets(session, picture, timestamp)))
        number += 1


async def serve(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one client."""
    session = camera.Session("", "", 0.0, writer=writer)
    try:
        while head := await camera.request(reader):
            method, url, headers = head
            session.path = session.path or urlsplit(url).path.strip("/").split("/")[0]
            extra, body = _answer(site, method, session.path)
            writer.write(camera.response("200 OK", headers, extra, body))
            if method == "PLAY":
                session.playing = True
                site.channel(session.path).sessions.append(session)
            if method == "TEARDOWN":
                break
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        channel = site.channel(session.path)
        channel.sessions = [other for other in channel.sessions if other is not session]
        writer.close()


def _answer(site: Site, method: str, path: str) -> tuple[list[str], str]:
    if method == "DESCRIBE":
        return ["Content-Type: application/sdp"], site.sdp(path)
    if method == "SETUP":
        return ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"], ""
    return ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER", "Session: 1;timeout=60"], ""


async def control(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do what one request asks for, and tell what each path plays."""
    line = await reader.readline()
    if not line:
        writer.close()
        return
    parts = urlsplit(line.decode().split(" ", 2)[1])
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if parts.path == "/play":
        site.play(query["path"], query["what"], again=query.get("again") == "1")
    body = json.dumps({path: [channel.what, len(channel.sessions)] for path, channel in site.channels.items()})
    head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    await writer.drain()
    writer.close()


async def run(arguments: argparse.Namespace) -> None:
    site = Site({name: Clip.of(entry) for name, entry in json.loads(arguments.clips.read_text()).items()})
    await asyncio.start_server(lambda r, w: serve(site, r, w), "", arguments.port)
    await asyncio.start_server(lambda r, w: control(site, r, w), "", arguments.control)
    await play(site)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--control", type=int, default=8080)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
