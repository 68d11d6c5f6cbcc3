"""Read go2rtc's answer to GET /api/streams. Pure.

What is missing or has another type than expected counts as nothing: the answer is not a documented interface, and
go2rtc blots out credentials in it wherever their text occurs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgedetector.go2rtc.render import Rendered
from edgedetector.go2rtc.state import StreamState


class InvalidAnswerError(ValueError):
    """go2rtc did not answer with a JSON object."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through a stream since go2rtc dialled its source."""

    connected: bool
    """The source was dialled; it may be lost again, which go2rtc does not tell."""
    codec: str = ""
    bytes_received: int = 0
    packets_received: int = 0
    consumers: int = 0


def parse(text: str) -> dict[str, Traffic]:
    """Return stream id -> traffic.

    Raises
    ------
    InvalidAnswerError
        If the text is no JSON object.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise InvalidAnswerError("no JSON") from None
    if not isinstance(document, dict):
        raise InvalidAnswerError("no JSON object")
    return {stream: _traffic(value) for stream, value in document.items()}


def describe(
    rendered: Rendered, traffic: Mapping[str, Traffic], previous: Mapping[str, Traffic]
) -> tuple[StreamState, ...]:
    """Return the state of every camera from two successive answers; `traffic` is empty while go2rtc does not answer."""
    states = [_describe(stream, traffic.get(stream), previous.get(stream)) for stream in rendered.streams]
    states += [StreamState(item.stream, item.state, item.message) for item in rendered.left_out]
    return tuple(sorted(states, key=lambda item: item.stream))


def _describe(stream: str, now: Traffic | None, before: Traffic | None) -> StreamState:
    if now is None:
        return StreamState(stream, "Pending")
    if not now.connected:
        state = "Idle"
    elif before is not None and before.connected and now.bytes_received == before.bytes_received:
        state = "Connecting"
    else:
        state = "Live" if now.bytes_received else "Connecting"
    return StreamState(
        stream,
        state,
        codec=now.codec,
        bytes_received=now.bytes_received,
        packets_received=now.packets_received,
        consumers=now.consumers,
    )


def _traffic(value: Any) -> Traffic:
    producers = _objects(value, "producers")
    receivers = [receiver for producer in producers for receiver in _objects(producer, "receivers")]
    codecs = [receiver.get("codec") for receiver in receivers]
    video = [codec["codec_name"] for codec in codecs if isinstance(codec, dict) and codec.get("codec_type") == "video"]
    return Traffic(
        # An idle producer is shown as its URL alone.
        connected=any("id" in producer or "receivers" in producer for producer in producers),
        codec=str(video[0]) if video else "",
        bytes_received=sum(_count(producer, "bytes_recv") for producer in producers),
        packets_received=sum(_count(receiver, "packets") for receiver in receivers),
        consumers=len(_objects(value, "consumers")),
    )


def _objects(value: Any, key: str) -> list[dict[str, Any]]:
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _count(value: dict[str, Any], key: str) -> int:
    number = value.get(key)
    return number if isinstance(number, int) and not isinstance(number, bool) else 0
