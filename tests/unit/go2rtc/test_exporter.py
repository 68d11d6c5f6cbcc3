"""What Prometheus learns of a go2rtc, from whole, damaged and hostile answers, and from the real one."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.media.conftest import free_port

from edgedetector.go2rtc import totals as totals_module
from edgedetector.go2rtc.connections import KINDS, OTHER, Codec, parse
from edgedetector.go2rtc.exporter import Go2rtcCollector
from edgedetector.go2rtc.fetch import FetchError, endpoint, fetch
from edgedetector.go2rtc.totals import REMEMBERED_SECONDS, StreamTotals, Totals, advance

ROOT = Path(__file__).parents[3]

# Shortened from what 1.9.14 answered with one stream read and one idle.
ANSWER = """{"s0":{"producers":[{"id":5,"format_name":"rtsp","protocol":"rtsp+tcp","remote_addr":"127.0.0.1:554",
"url":"rtsp://***@cam/main","medias":["video, recvonly, H264"],"receivers":[{"id":6,"codec":{"codec_name":"h264",
"codec_type":"video","level":31,"profile":"High"},"childs":[7],"bytes":1184093,"packets":874}],"bytes_recv":1194581}],
"consumers":[{"id":2,"format_name":"rtsp","senders":[{"id":7,"parent":6,"bytes":1184093,"packets":874,"drops":3}],
"bytes_send":1190000}]},"s1":{"producers":[{"url":"rtsp://cam/sub"}],"consumers":null}}"""

FIELDS = [
    "producers",
    "consumers",
    "receivers",
    "senders",
    "bytes_recv",
    "bytes_send",
    "bytes",
    "packets",
    "drops",
    "codec",
    "codec_name",
    "codec_type",
    "profile",
    "id",
    "format_name",
    "***",
    "url",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["rtsp", "***", "h264"]) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=15,
)
FIGURE = st.integers(0, 2**70) | JSON
TRACK = st.fixed_dictionaries({}, optional={"id": st.integers(0, 3), "bytes": FIGURE, "packets": FIGURE, "codec": JSON})
CONNECTION = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 4),
        "format_name": st.sampled_from(["rtsp", "mp4", "hls/fmp4", "***"]) | JSON,
        "bytes_recv": FIGURE,
        "bytes_send": FIGURE,
        "receivers": st.lists(TRACK | JSON, max_size=2),
        "senders": st.lists(TRACK | JSON, max_size=2),
    },
)
STREAM = st.fixed_dictionaries({}, optional={key: st.lists(CONNECTION | JSON) for key in ("producers", "consumers")})
NAME = st.sampled_from(["s0", "***", "rtsp://admin:hunter2@cam/main"]) | st.text()
DOCUMENT = st.dictionaries(NAME, STREAM | JSON, max_size=4)


def exposed(text: str) -> dict[str, float]:
    """Sample, as the exposition has it, -> value; fails on an exposition that Prometheus could not read."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            found[key] = sample.value
    return found


class Scrapes:
    """A collector whose go2rtc gives the answers of a list, the last one again and again."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.now = 1000.0
        self.asked = 0
        self.registry = CollectorRegistry()
        self.registry.register(Go2rtcCollector(self._read, lambda: self.now))

    def _read(self) -> str:
        self.asked += 1
        if not self.texts[0]:
            raise FetchError("connection")
        return self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]

    def scrape(self, after: float = 10.0) -> dict[str, float]:
        self.now += after
        return exposed(generate_latest(self.registry).decode())


def test_a_real_answer_becomes_series() -> None:
    found = Scrapes(ANSWER).scrape()
    assert found["go2rtc_up"] == 1
    assert found["go2rtc_streams"] == 2
    assert found['go2rtc_stream_producers{state="connected",stream="s0"}'] == 1
    assert found['go2rtc_stream_producers{state="idle",stream="s1"}'] == 1
    assert found['go2rtc_producer_codec_info{codec="h264",profile="High",stream="s0",type="video"}'] == 1
    assert found['go2rtc_producer_receive_bytes_total{stream="s0"}'] == 1194581
    assert found['go2rtc_producer_receive_packets_total{stream="s0"}'] == 874
    assert found['go2rtc_stream_consumers{kind="rtsp",stream="s0"}'] == 1
    assert found['go2rtc_consumer_transmit_bytes_total{kind="rtsp",stream="s0"}'] == 1190000
    assert found['go2rtc_consumer_transmit_packets_total{kind="rtsp",stream="s0"}'] == 874
    assert found['go2rtc_consumer_dropped_packets_total{kind="rtsp",stream="s0"}'] == 3
    assert found["go2rtc_exporter_parse_errors_total"] == 0
    assert 'go2rtc_producer_receive_age_seconds{stream="s1"}' not in found  # nobody reads: nothing to expect


def test_the_age_is_that_of_the_last_growth() -> None:
    scrapes = Scrapes(ANSWER, ANSWER, ANSWER.replace("1194581", "1194582"), ANSWER.replace("1194581", "1194582"))
    ages = [scrapes.scrape()['go2rtc_producer_receive_age_seconds{stream="s0"}'] for _ in range(4)]
    assert ages == [0, 10, 0, 10]


def test_every_series_is_documented_with_its_type_and_labels() -> None:
    document = (ROOT / "docs/go2rtc-exporter.md").read_text()
    rows = re.findall(r"^\| `(go2rtc_\w+)` \| (\w+) \|([^|]*)\|", document, re.MULTILINE)
    text = generate_latest(Scrapes(ANSWER).registry).decode()
    shown = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            kind = "gauge" if sample.name.endswith("_info") else family.type
            shown[sample.name] = (kind, ", ".join(sample.labels))
    assert {name: (kind, labels.strip()) for name, kind, labels in rows} == shown


@given(st.lists(DOCUMENT.map(json.dumps) | st.text() | JSON.map(json.dumps), min_size=1, max_size=5))
def test_whatever_is_answered_counters_only_grow_and_labels_stay_few(texts: list[str]) -> None:
    scrapes = Scrapes(*texts, "{}")
    last: dict[str, float] = {}
    for _ in range(len(texts)):
        if not scrapes.texts[0]:
            scrapes.texts[0] = "no JSON"
        found = scrapes.scrape()
        counters = {key: value for key, value in found.items() if "_total" in key}
        for key, value in counters.items():
            assert value >= last.get(key, 0), key
        last |= counters
        assert not re.search(r"hunter2|://|@", " ".join(found))
        assert set(re.findall(r'kind="([^"]*)"', " ".join(found))) <= {*KINDS, OTHER}


@given(secret=st.text(min_size=1, max_size=4) | st.sampled_from(["url", "1", "packets", '"', "producers", "s0", "0"]))
def test_a_blotted_answer_is_never_taken_for_a_reset(secret: str) -> None:
    first = advance(Totals(), parse(ANSWER.replace(secret, "***")), 0)
    again = advance(first, parse(ANSWER.replace(secret, "***")), 10)
    assert again.restarts == 0
    for label, stream in again.streams.items():
        assert stream.producers.bytes == first.streams[label].producers.bytes
        assert stream.producers.reconnects == 0


def test_digits_that_are_blotted_out_cost_that_figure_and_nothing_else() -> None:
    before = advance(Totals(), parse(ANSWER), 0)
    answer = parse(ANSWER.replace("874", "***").replace("1194581", "1***99999"))
    assert answer.readable
    after = advance(before, answer, 10).streams["s0"]
    assert after.producers == before.streams["s0"].producers
    grown = advance(Totals(streams={"s0": after}), parse(ANSWER.replace("1194581", "1194600")), 20)
    assert grown.streams["s0"].producers.bytes == 1194600


def test_two_names_that_were_blotted_out_share_a_label() -> None:
    stream = json.loads(ANSWER)["s0"]
    other = json.loads(ANSWER.replace('"id":', '"id":1'))["s0"]
    (total,) = advance(Totals(), parse(f'{{"***":{json.dumps(stream)},"***":{json.dumps(other)}}}'), 0).streams.values()
    assert (total.producers.connections, total.producers.bytes) == (2, 2 * 1194581)


@pytest.mark.parametrize("text", ["", "[]", "null", "404 page not found", '{"s0":', "[" * 100_000, "9" * 5000])
def test_what_is_no_object_leaves_the_totals_and_is_counted(text: str) -> None:
    before = advance(Totals(), parse(ANSWER), 0)
    after = advance(before, parse(text), 10)
    assert after.errors == before.errors + 1
    assert after.streams == before.streams


@dataclass
class Model:
    """A go2rtc with one stream, and what really went through it."""

    number: int = 0
    producer: dict[str, Any] | None = None
    consumers: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0
    sent: int = 0
    dialled: int = 0
    redialled: int = 0
    restarts: int = 0

    def next_id(self) -> int:
        self.number += 1
        return self.number

    def dial(self) -> None:
        self.producer = {"id": self.next_id(), "bytes_recv": 0, "receivers": [{"id": self.next_id()}]}
        self.dialled += 1

    def join(self) -> None:
        self.consumers.append({"id": self.next_id(), "format_name": "rtsp", "bytes_send": 0})
        if self.producer is None:
            self.dial()

    def leave(self) -> None:
        del self.consumers[:1]
        if not self.consumers:
            self.producer = None

    def redial(self) -> None:
        if self.producer is not None:
            self.redialled += 1
            self.dial()

    def grow(self) -> None:
        if self.producer is not None:
            self.producer["bytes_recv"] += 1000
            self.received += 1000
            for consumer in self.consumers:
                consumer["bytes_send"] += 900
                self.sent += 900

    def text(self) -> str:
        producer = self.producer or {"url": "rtsp://cam"}
        return json.dumps({"s0": {"producers": [producer], "consumers": self.consumers}})


@given(st.lists(st.sampled_from(["join", "leave", "redial", "grow", "grow"]), max_size=40))
def test_a_look_after_every_event_sees_everything(events: list[str]) -> None:
    model, seen = Model(), Totals()
    for now, event in enumerate(events):
        getattr(model, event)()
        seen = advance(seen, parse(model.text()), now)
    stream = seen.streams.get("s0", StreamTotals())
    sent = sum(side.bytes for side in stream.consumers.values())
    assert (stream.producers.bytes, sent) == (model.received, model.sent)
    assert stream.producers.connections == model.dialled
    assert stream.producers.reconnects == model.redialled
    assert (seen.restarts, seen.errors) == (0, 0)


def test_a_counter_that_fell_means_that_every_connection_is_new() -> None:
    model = Model()
    model.join()
    for _ in range(5):
        model.grow()
    before = advance(Totals(), parse(model.text()), 0)
    fresh = Model()
    fresh.join()
    fresh.grow()
    fresh.consumers[0]["bytes_send"] = 999_999  # more than the consumer with the same id had in the process before
    after = advance(before, parse(fresh.text()), 10)
    assert after.restarts == 1
    assert after.streams["s0"].producers.bytes == 6000
    assert after.streams["s0"].producers.connections == 2
    assert after.streams["s0"].producers.reconnects == 0
    assert after.streams["s0"].consumers["rtsp"].bytes == 5 * 900 + 999_999


@pytest.mark.parametrize("field", ['"bytes_recv":1194581', '"packets":874', '"bytes":1184093,'])
def test_a_key_that_is_blotted_out_is_no_reset(field: str) -> None:
    before = advance(Totals(), parse(ANSWER), 0)
    blotted = advance(before, parse(ANSWER.replace(field, re.sub(r"\w+(?=\")", "***", field))), 10)
    back = advance(blotted, parse(ANSWER), 20)
    for after in (blotted, back):
        assert after.restarts == 0
        assert after.streams["s0"].producers.bytes == 1194581
        assert after.streams["s0"].producers.packets == 874
        assert after.streams["s0"].producers.connections == 1


def test_a_new_process_is_noticed_even_if_the_first_look_was_at_zeros() -> None:
    before = advance(Totals(), parse(ANSWER), 0)
    zeros = advance(before, parse(re.sub(r',"(bytes\w*|packets|drops)":\d+', "", ANSWER)), 10)
    after = advance(zeros, parse(ANSWER.replace("1194581", "100").replace("1184093", "90").replace("874", "1")), 20)
    assert after.restarts == 1
    assert after.streams["s0"].producers.bytes == 1194581 + 100
    assert after.streams["s0"].producers.packets == 874 + 1


def test_unnumbered_connections_of_streams_with_one_label_are_not_mixed_up() -> None:
    def answer(first: int, second: int) -> str:
        streams = ({"producers": [{"format_name": "x", "bytes_recv": count}]} for count in (first, second))
        return "{" + ",".join(f'"***":{json.dumps(stream)}' for stream in streams) + "}"

    before = advance(Totals(), parse(answer(1000, 10)), 0)
    after = advance(before, parse(answer(1001, 11)), 10)
    assert after.streams["***"].producers.bytes == 1001
    assert after.streams["***"].producers.connections == 1


def test_a_source_put_down_and_dialled_for_somebody_else_is_no_reconnect() -> None:
    model = Model()
    model.join()
    before = advance(Totals(), parse(model.text()), 0)
    model.leave()
    model.join()  # both between two looks
    after = advance(before, parse(model.text()), 10).streams["s0"].producers
    assert (after.connections, after.reconnects) == (2, 0)


def test_a_source_that_does_not_count_its_bytes_is_measured_by_its_payload() -> None:
    text = ANSWER.replace(',"bytes_recv":1194581', "")
    before = advance(Totals(), parse(text), 0)
    after = advance(before, parse(text.replace("1184093", "1184100")), 10)
    assert [item.streams["s0"].producers.bytes for item in (before, after)] == [1184093, 1184100]


def test_a_stream_that_returns_goes_on_where_it_was_and_is_forgotten_in_the_end() -> None:
    before = advance(Totals(), parse(ANSWER), 0)
    gone = advance(before, parse("{}"), 10)
    assert not gone.streams["s0"].present
    back = advance(gone, parse(ANSWER.replace("1194581", "1194600")), 20)
    assert back.streams["s0"].producers.bytes == 1194600
    assert not advance(gone, parse("{}"), 11 + REMEMBERED_SECONDS).streams


def test_kinds_are_go2rtcs_formats_up_to_the_slash() -> None:
    names = ["mse/fmp4", "webrtc/whep", "rtsp", "***", "192.0.2.7"]
    consumers = [{"id": number + 1, "format_name": name} for number, name in enumerate(names)]
    (stream,) = parse(json.dumps({"s0": {"consumers": consumers}})).streams
    assert [item.kind for item in stream.consumers] == ["mse", "webrtc", "rtsp", OTHER, OTHER]


def test_names_beyond_the_most_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals_module, "MAXIMUM_STREAMS", 2)
    seen = advance(Totals(), parse(json.dumps({name: {} for name in "abcd"})), 0)
    assert seen.streams.keys() == {"a", "b", OTHER}
    assert seen.shown == 4


def test_a_codec_with_a_blotted_name_is_shown_without_it() -> None:
    (stream, _) = parse(ANSWER.replace("High", "H***")).streams
    assert stream.producers[0].tracks[0].codec == Codec("h264", "video", OTHER)


def test_two_scrapes_within_the_cache_ask_once() -> None:
    scrapes = Scrapes(ANSWER)
    assert scrapes.scrape() == scrapes.scrape(after=0.5)
    assert scrapes.asked == 1
    scrapes.scrape(after=0.5)
    assert scrapes.asked == 2


def test_a_go2rtc_that_does_not_answer_is_down_and_its_counters_go_on_afterwards() -> None:
    scrapes = Scrapes(ANSWER, "", ANSWER)
    before = scrapes.scrape()
    down = scrapes.scrape()
    assert down["go2rtc_up"] == 0
    assert down['go2rtc_exporter_failures_total{reason="connection"}'] == 1
    assert not any("stream=" in key for key in down)
    scrapes.texts.pop(0)
    after = scrapes.scrape()
    key = 'go2rtc_producer_receive_bytes_total{stream="s0"}'
    assert (after["go2rtc_up"], after[key]) == (1, before[key])


class _Answers(BaseHTTPRequestHandler):
    """A go2rtc that misbehaves as the path before /api/streams says."""

    def do_GET(self) -> None:
        what = self.path.split("/")[1]
        status = {"moved": 302, "missing": 404, "locked": 401}.get(what, 200)
        if what == "good" and self.headers.get("Authorization") != "Basic YWRtaW46cMOkc3M6":
            status = 401
        self.send_response(status)
        self.send_header("Location", "/good/api/streams")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"{}")
            while what == "trickle" and not self.server.closing.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b" ")
            while what == "flood":
                self.wfile.write(b" " * (1 << 20))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the test's output clean."""


@pytest.fixture
def strange() -> Iterator[str]:
    """URL of a server of `_Answers`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    server.closing = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.closing.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("moved", "status"),
        ("missing", "status"),
        ("locked", "unauthorized"),
        ("good", "unauthorized"),
        ("trickle", "timeout"),
        ("flood", "too_long"),
    ],
)
def test_every_way_to_fail_has_its_reason(strange: str, what: str, reason: str) -> None:
    with pytest.raises(FetchError) as failure:
        fetch(endpoint(f"{strange}/{what}"), None, None, 0.3 if what == "trickle" else 20)
    assert failure.value.reason == reason


def test_a_password_is_read_from_its_file_without_the_newline(strange: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("päss:\n")
    assert fetch(endpoint(f"{strange}/good"), "admin", file, 20) == "{}"
    file.unlink()
    with pytest.raises(FetchError) as failure:
        fetch(endpoint(f"{strange}/good"), "admin", file, 20)
    assert failure.value.reason == "password_file"


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:1984", "ftp://cam", "http://", "http://a:b@cam", "http://cam?x", "http://cam:99999"]
)
def test_an_address_that_is_none_or_carries_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"has to be|has a user|[Pp]ort"):
        endpoint(url)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgedetector.go2rtc.exporter", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, **options)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "operator")}


def test_the_exit_status_says_what_happened() -> None:
    assert run("--help").returncode == 0
    assert run("--url", "http://a:b@cam").returncode == 2
    assert run("--username", "admin").returncode == 2
    assert run("--listen", "9102x").returncode == 2
    assert run("--timeout", "0").returncode == 2
    nobody = run("--once", "--url", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1
    assert exposed(nobody.stdout)["go2rtc_up"] == 0


def test_an_address_in_use_ends_the_exporter(strange: str) -> None:
    taken = run("--listen", strange.removeprefix("http://"), timeout=60)
    assert taken.returncode == 1
    assert "cannot listen" in taken.stderr


def test_it_needs_no_other_part_of_the_package() -> None:
    code = "import edgedetector.go2rtc.exporter, sys; print(*(m for m in sys.modules if m.startswith('edgedetector.')))"
    loaded = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in loaded.stdout.split()} == {"go2rtc"}
