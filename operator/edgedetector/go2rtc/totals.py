"""Counters that only grow, made of go2rtc's, which start again with every connection. Pure.

An answer shows the connections of the moment with what each has moved so far. What a connection has moved since the
answer before is added to its stream's counters; a connection not seen before is added whole. go2rtc numbers connections
in a sequence, and within one process no counter falls: one that did proves another process, in which every connection
is a new one. What moved between the last look at a connection and its end is never seen, nor is a connection that
came and went between two looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.go2rtc.connections import OTHER, Answer, Codec, Connection, Stream, Track

# More streams than anyone configures: names can be made up by whoever reaches go2rtc's API.
MAXIMUM_STREAMS: Final = 2048
# How long the counters of a stream that is gone are kept for its return, in seconds.
REMEMBERED_SECONDS: Final = 3600.0
# A camera has a video and an audio track, perhaps transcoded once or twice.
_MAXIMUM_CODECS: Final = 8


@dataclass(frozen=True, slots=True)
class Baseline:
    """A connection as it was seen last."""

    bytes: int = 0
    reported: int = 0
    """Bytes by go2rtc's count of the connection; `bytes` is payload where it has none."""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    grown: float = 0.0
    """When it was first seen, or last seen to have moved something; in seconds of the caller's clock."""

    @property
    def carries(self) -> bool:
        """Tell whether anything is to be expected of it."""
        return bool(self.tracks)


@dataclass(frozen=True, slots=True)
class Side:
    """The producers of a stream, or its consumers of one kind."""

    connections: int = 0
    reconnects: int = 0
    bytes: int = 0
    packets: int = 0
    drops: int = 0
    seen: Mapping[str, Baseline] = field(default_factory=dict)
    """Identity of a present connection -> what it was like."""

    def age(self, now: float) -> float | None:
        """Return the seconds since the connection that has been still for longest moved anything."""
        grown = [baseline.grown for baseline in self.seen.values() if baseline.carries]
        return max(now - min(grown), 0.0) if grown else None


@dataclass(frozen=True, slots=True)
class StreamTotals:
    """A stream; of one that is not `present` only the counters are kept."""

    present: bool = True
    looked: float = 0.0
    idle: int = 0
    codecs: tuple[Codec, ...] = ()
    producers: Side = field(default_factory=Side)
    consumers: Mapping[str, Side] = field(default_factory=dict)
    """Kind -> consumers, also of kinds that had some once."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that was seen so far."""

    streams: Mapping[str, StreamTotals] = field(default_factory=dict)
    """Label -> stream."""
    shown: int = 0
    """Streams in the last answer."""
    restarts: int = 0
    """How often another go2rtc process was noticed."""
    errors: int = 0
    """Parts of answers that could not be read."""


def advance(previous: Totals, answer: Answer, now: float) -> Totals:
    """Return the totals after an answer at `now`, in seconds of a clock that does not jump."""
    if not answer.readable:
        return replace(previous, errors=previous.errors + answer.errors)
    restarted = _another_process(previous.streams.values(), answer.streams)
    before = {label: _forget(item) for label, item in previous.streams.items()} if restarted else previous.streams
    streams = {
        label: _stream(before.get(label, StreamTotals()), parts, now)
        for label, parts in _by_label(answer.streams, before).items()
    }
    for label, stream in before.items():
        if label not in streams and now - stream.looked <= REMEMBERED_SECONDS:
            streams[label] = replace(stream, present=False)
    return Totals(streams, len(answer.streams), previous.restarts + restarted, previous.errors + answer.errors)


def _by_label(streams: Iterable[Stream], known: Mapping[str, StreamTotals]) -> dict[str, list[Stream]]:
    labels = set(known)
    found: dict[str, list[Stream]] = {}
    for stream in streams:
        label = stream.label if stream.label in labels or len(labels) < MAXIMUM_STREAMS else OTHER
        labels.add(label)
        found.setdefault(label, []).append(stream)
    return found


def _another_process(streams: Iterable[StreamTotals], now: Iterable[Stream]) -> bool:
    before = {key: baseline for stream in streams for side in _sides(stream) for key, baseline in side.seen.items()}
    return any(
        connection.numbered and _fell(before[connection.identity], connection)
        for stream in now
        for connection in (*stream.producers, *stream.consumers)
        if connection.identity in before
    )


def _sides(stream: StreamTotals) -> tuple[Side, ...]:
    return (stream.producers, *stream.consumers.values())


def _forget(stream: StreamTotals) -> StreamTotals:
    """Return the stream with its counters and without its connections."""
    consumers = {kind: replace(side, seen={}) for kind, side in stream.consumers.items()}
    return replace(stream, producers=replace(stream.producers, seen={}), consumers=consumers)


def _stream(before: StreamTotals, parts: Sequence[Stream], now: float) -> StreamTotals:
    producers = [connection for part in parts for connection in part.producers]
    consumers: dict[str, list[Connection]] = {kind: [] for kind in before.consumers}
    for connection in (item for part in parts for item in part.consumers):
        consumers.setdefault(connection.kind, []).append(connection)
    sides = {kind: _side(before.consumers.get(kind, Side()), items, now) for kind, items in consumers.items()}
    stayed = any(sides[kind].seen.keys() & side.seen.keys() for kind, side in before.consumers.items())
    return StreamTotals(
        looked=now,
        idle=sum(part.idle for part in parts),
        codecs=_codecs(producers),
        # With all consumers changed, the source was put down and dialled again on demand: nothing was lost.
        producers=_side(before.producers, producers, now, replacing=stayed),
        consumers=sides,
    )


def _codecs(producers: Iterable[Connection]) -> tuple[Codec, ...]:
    found = {track.codec for connection in producers for track in connection.tracks if track.codec is not None}
    return tuple(sorted(found)[:_MAXIMUM_CODECS])


def _side(before: Side, connections: Iterable[Connection], now: float, *, replacing: bool = False) -> Side:
    """Return a side after an answer; `replacing` if a new connection in the place of an old one is a reconnect."""
    seen: dict[str, Baseline] = {}
    kept = new = moved = packets = drops = 0
    for connection in connections:
        if connection.identity in seen:
            continue  # of another stream with the same label; counted once rather than against the wrong baseline
        last = before.seen.get(connection.identity)
        if last is None or _fell(last, connection):
            last = Baseline(grown=now)
            new += 1
        else:
            kept += 1
        baseline = seen[connection.identity] = _baseline(last, connection, now)
        more = _growth(last, connection)
        moved += max(baseline.bytes - last.bytes, 0)
        packets += more[0]
        drops += more[1]
    return Side(
        before.connections + new,
        before.reconnects + (min(new, len(before.seen) - kept) if replacing else 0),
        before.bytes + moved,
        before.packets + packets,
        before.drops + drops,
        seen,
    )


def _baseline(last: Baseline, connection: Connection, now: float) -> Baseline:
    tracks = {track.identity: _known(track, last.tracks.get(track.identity)) for track in connection.tracks}
    reported = connection.bytes or last.reported
    total = reported or sum(track.bytes or 0 for track in tracks.values())
    moved = total > last.bytes or _growth(last, connection)[0] > 0
    return Baseline(total, reported, tracks, now if moved else last.grown)


def _known(track: Track, last: Track | None) -> Track:
    """Return the track with figures that are missing or could not be read as they were last."""
    if last is None:
        return track
    return replace(
        track, bytes=track.bytes or last.bytes, packets=track.packets or last.packets, drops=track.drops or last.drops
    )


def _growth(last: Baseline, connection: Connection) -> tuple[int, int]:
    """Return the packets and drops since the last look."""
    packets = drops = 0
    for track in connection.tracks:
        old = last.tracks.get(track.identity)
        packets += max((track.packets or 0) - (old.packets or 0 if old else 0), 0)
        drops += max((track.drops or 0) - (old.drops or 0 if old else 0), 0)
    return packets, drops


def _fell(last: Baseline, connection: Connection) -> bool:
    """Tell whether a counter is below what it was: the connection is another one with the same identity."""
    for track in connection.tracks:
        old = last.tracks.get(track.identity)
        if old is not None and (_less(track.packets, old.packets) or _less(track.bytes, old.bytes)):
            return True
    return _less(connection.bytes, last.reported)


def _less(now: int | None, before: int | None) -> bool:
    # go2rtc leaves out a figure that is 0, and a blotted key looks the same: only another figure proves something.
    return bool(now) and before is not None and now is not None and now < before
