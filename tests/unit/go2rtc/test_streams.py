"""go2rtc's answers, whole and damaged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.go2rtc.render import render
from edgedetector.go2rtc.state import StreamState
from edgedetector.go2rtc.streams import InvalidAnswerError, Traffic, describe, parse

# Shortened from what 1.9.14 answered with one stream read and one idle.
ANSWER = """{"s0":{"producers":[{"id":5,"format_name":"rtsp","protocol":"rtsp+tcp","remote_addr":"127.0.0.1:554",
"url":"rtsp://***@cam/main","medias":["video, recvonly, H264"],"receivers":[{"id":6,"codec":{"codec_name":"h264",
"codec_type":"video","level":31,"profile":"High"},"childs":[7],"bytes":1184093,"packets":874}],"bytes_recv":1194581}],
"consumers":[{"id":2,"format_name":"rtsp","senders":[{"id":7,"parent":6,"bytes":1184093,"packets":874}]}]},
"s1":{"producers":[{"url":"rtsp://cam/sub"}],"consumers":null}}"""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["producers", "consumers", "receivers", "bytes_recv", "packets", "codec", "id", "codec_name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_real_answer_is_understood() -> None:
    assert parse(ANSWER) == {"s0": Traffic(True, "h264", 1194581, 874, 1), "s1": Traffic(False)}


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=3))
def test_any_object_is_an_answer(document: dict[str, object]) -> None:
    assert parse(json.dumps(document)).keys() == document.keys()


@pytest.mark.parametrize("text", ["", "[]", "null", "404 page not found", '{"s0":'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidAnswerError):
        parse(text)


def test_a_stream_is_live_while_its_bytes_grow() -> None:
    config = MediaConfig(1, (MediaCamera("s0", url="rtsp://cam/x"), MediaCamera("s9", url="")))
    rendered = render(config, {})

    def state(now: Traffic | None, before: Traffic | None) -> StreamState:
        found = describe(rendered, {"s0": now} if now else {}, {"s0": before} if before else {})
        assert [item.stream for item in found] == ["s0", "s9"]
        assert found[1].state == "Invalid"
        return found[0]

    reading = Traffic(True, "h264", 100, 10, 1)
    assert state(None, reading).state == "Pending"
    assert state(Traffic(False), None).state == "Idle"
    assert state(reading, None).state == "Live"
    assert state(reading, Traffic(True, "h264", 50, 5, 1)).state == "Live"
    assert state(reading, reading) == StreamState("s0", "Connecting", "", "h264", 100, 10, 1)
    assert state(Traffic(True), None).state == "Connecting"
