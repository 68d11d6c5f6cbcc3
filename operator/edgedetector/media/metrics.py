"""What the config container itself tells Prometheus, in its text format. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from edgedetector.go2rtc.state import MediaState, StreamState

_STATES = ("Idle", "Connecting", "Live", "Pending", "MissingSecret", "Invalid")


def exposition(state: MediaState) -> str:
    """Return the series of a media pod. Stream ids are letters and digits, so that no label needs escaping."""
    lines: list[str] = []
    lines += _family(
        "edgedetector_media_ready", "gauge", "1 if go2rtc runs what is asked for.", [("", int(state.ready))]
    )
    lines += _family(
        "edgedetector_media_restarts_total", "counter", "Restarts of go2rtc in place.", [("", state.restarts)]
    )
    lines += _family(
        "edgedetector_media_stream_state",
        "gauge",
        "1 for the state that a stream is in.",
        (
            (f'{{stream="{item.stream}",state="{name}"}}', int(item.state == name))
            for item in state.streams
            for name in _STATES
        ),
    )
    for name, kind, text, values in (
        ("received_bytes_total", "counter", "Bytes received from the camera.", _each(state, "bytes_received")),
        (
            "received_packets_total",
            "counter",
            "RTP packets received from the camera.",
            _each(state, "packets_received"),
        ),
        ("consumers", "gauge", "Sessions that read the stream.", _each(state, "consumers")),
    ):
        lines += _family(f"edgedetector_media_stream_{name}", kind, text, values)
    return "\n".join(lines) + "\n"


def _each(state: MediaState, attribute: str) -> Iterable[tuple[str, int]]:
    return ((f'{{stream="{_id(item)}"}}', getattr(item, attribute)) for item in state.streams)


def _id(item: StreamState) -> str:
    return item.stream


def _family(name: str, kind: str, text: str, values: Iterable[tuple[str, int]]) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in values)]
