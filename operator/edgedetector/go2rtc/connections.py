"""What go2rtc's answer to GET /api/streams says about every connection. Pure, and it never raises.

The answer is no documented interface, and go2rtc 1.9.14 replaces the text of every secret in it by ``***``, wherever
that text occurs: in values, in keys, between digits. So what cannot be read is left unknown (None) and counted, and
everything around it is still used. Names of fields: pkg/core/connection.go, track.go and codec.go of go2rtc 1.9.14.

Nothing here but the standard library, so that the exporter runs without the rest of the package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

OTHER: Final = "other"
"""Label for what has no name that may be shown, and for all that is too much."""

# Formats of consumers in go2rtc 1.9.14, without what follows a slash ("hls/fmp4"). A closed list, because a label's
# values must be few whatever an answer says.
KINDS: Final = frozenset(
    [
        "adts",
        "alsa",
        "ascii",
        "flv",
        "hls",
        "homekit",
        "keyframe",
        "mjpeg",
        "mp4",
        "mpegts",
        "mpjpeg",
        "mse",
        "pcm",
        "preload",
        "probe",
        "rtmp",
        "rtp",
        "rtsp",
        "wav",
        "webrtc",
        "wyoming",
        "yuv4mpegpipe",
    ]
)

# From here on ids are addresses in memory (`core.ID`), which a process may use twice.
_FIRST_ADDRESS: Final = 0x8000_0000
# Counters are Go's int. What is larger is no counter and would not fit into a float.
_LARGEST: Final = 2**63 - 1
# An idle producer is shown as its URL alone; whatever has one of these was dialled.
_DIALLED: Final = frozenset(
    ("id", "format_name", "protocol", "remote_addr", "medias", "receivers", "senders", "bytes_recv", "bytes_send")
)
# A name with ":", "@" or "/" may be a source: go2rtc makes a stream called by its URL for whoever asks for one.
_PLAIN_NAME: Final = re.compile(r"[\w .()+*-]{1,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,31}")
# A string, which stays, or a number with a secret's text blotted out of it.
_STRING_OR_BLOT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.0-9eE]*\*{3}[-+.0-9eE*]*')


@dataclass(frozen=True, slots=True, order=True)
class Codec:
    """A codec in FFmpeg's words: `type` is video or audio, `profile` is empty unless it is H.264."""

    name: str
    type: str
    profile: str


@dataclass(frozen=True, slots=True)
class Track:
    """A receiver or sender of a connection. None is a figure that could not be read; one that is missing is 0."""

    identity: str
    codec: Codec | None
    bytes: int | None
    """Payload."""
    packets: int | None
    drops: int | None
    """Packets that a consumer was too slow for. Receivers have none."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A producer that was dialled, or a consumer."""

    identity: str
    """The same in every answer for as long as the connection lasts, and of no other connection of the process."""
    numbered: bool
    """The identity is of go2rtc's own sequence: another connection can have it only in another process."""
    kind: str
    """One of `KINDS`, or `OTHER`."""
    bytes: int | None
    """Bytes received (producers) or sent (consumers), with what the protocol adds; 0 if go2rtc does not count them."""
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream under a name that may be shown, or `OTHER`. Several streams can have the same."""

    label: str
    idle: int
    """Producers that are not dialled."""
    producers: tuple[Connection, ...]
    consumers: tuple[Connection, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `readable` if it was a JSON object at all, `errors` for how many parts of it were not as expected."""

    readable: bool
    streams: tuple[Stream, ...] = ()
    errors: int = 0


def parse(text: str) -> Answer:
    """Return what can be read of an answer."""
    reader = _Reader()
    document = reader.document(text)
    if not isinstance(document, _Object):
        return Answer(readable=False, errors=1)
    # Pairs, because two names can both have become "***".
    streams = tuple(reader.stream(name, value) for name, value in document.pairs)
    return Answer(readable=True, streams=streams, errors=reader.errors)


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class _Reader:
    """Reads parts and counts those that are not as expected."""

    def __init__(self) -> None:
        self.errors = 0

    def document(self, text: str) -> Any:
        document = _load(text)
        if document is None:
            self.errors += 1
            document = _load(_STRING_OR_BLOT.sub(lambda found: found[0] if found[0][0] == '"' else "null", text))
        return document

    def stream(self, name: str, value: Any) -> Stream:
        producers = list(self._objects(value, "producers"))
        dialled = [item for item in producers if not _DIALLED.isdisjoint(item)]
        return Stream(
            name if _PLAIN_NAME.fullmatch(name) else OTHER,
            len(producers) - len(dialled),
            self._connections(dialled, "bytes_recv", "receivers"),
            self._connections(self._objects(value, "consumers"), "bytes_send", "senders"),
        )

    def _connections(self, items: Any, counter: str, tracks: str) -> tuple[Connection, ...]:
        taken: set[str] = set()
        return tuple(self._connection(item, counter, tracks, taken) for item in items)

    def _connection(self, item: dict[str, Any], counter: str, tracks: str, taken: set[str]) -> Connection:
        identity, numbered = self._identity(item, taken)
        kind = str(item.get("format_name")).partition("/")[0]
        inner: set[str] = set()
        return Connection(
            identity,
            numbered,
            kind if kind in KINDS else OTHER,
            self._count(item, counter),
            tuple(self._track(track, inner) for track in self._objects(item, tracks)),
        )

    def _track(self, item: dict[str, Any], taken: set[str]) -> Track:
        identity, _ = self._identity(item, taken)
        counts = (self._count(item, key) for key in ("bytes", "packets", "drops"))
        return Track(identity, self._codec(item.get("codec")), *counts)

    def _identity(self, item: dict[str, Any], taken: set[str]) -> tuple[str, bool]:
        """Return go2rtc's id, or a place among those without a usable one, and whether it is of go2rtc's sequence."""
        number = self._count(item, "id") or 0
        identity = f"#{number}"
        named = number > 0 and identity not in taken
        if not named:
            identity = f"@{sum(other[0] == '@' for other in taken)}"
        taken.add(identity)
        return identity, named and number < _FIRST_ADDRESS

    def _codec(self, value: Any) -> Codec | None:
        if not isinstance(value, dict):
            self.errors += value is not None
            return None
        if "codec_name" not in value:
            return None  # go2rtc has no name for it
        return Codec(*(_token(value.get(key, "")) for key in ("codec_name", "codec_type", "profile")))

    def _objects(self, value: Any, key: str) -> Iterator[dict[str, Any]]:
        items = value.get(key) if isinstance(value, dict) else ()
        if not isinstance(value, dict) or not isinstance(items, list | None):
            self.errors += 1
            return
        for item in items or ():
            if isinstance(item, dict):
                yield item
            else:
                self.errors += 1

    def _count(self, value: dict[str, Any], key: str) -> int | None:
        number = value.get(key, 0)
        if type(number) is int and 0 <= number <= _LARGEST:
            return number
        self.errors += 1
        return None


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return None


def _token(value: Any) -> str:
    if value == "":
        return ""
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else OTHER
