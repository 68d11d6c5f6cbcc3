"""Reports to an HTTP server: a real one, on a time of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import authority
from tests.unit.detector.outputs.made import Tally, report
from tests.unit.detector.outputs.receiver import Receiver, receiver

from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.cloudevents import source
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.post import Answer, Poster, refusal, retry_after
from edgedetector.detector.outputs.reports import Scene
from edgedetector.detector.outputs.secretfiles import SecretFile
from edgedetector.detector.outputs.spool import Bound, Spool
from edgedetector.detector.outputs.webhook import _TRIES, IDLE, Identity, Sender, Webhook

SOURCE = source("site-a", "yard")


@pytest.fixture
def server() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with receiver() as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """A sender on virtual time: it never waits, but counts how long it would have."""

    def __init__(self, folder: Path, url: str, bound: Bound = Bound(), identity: Identity = Identity(SOURCE)) -> None:  # noqa: B008 - frozen
        self.now = 1_000_000.0
        self.tally = Tally()
        self.spool = Spool(folder / "spool", bound)
        self.sender = Sender(
            Poster(url, timeout=5.0),
            self.spool,
            identity,
            lambda what, n: self.tally("webhook", what, n),
            Backoff(draw=lambda: 1.0),
            epoch=lambda: self.now,
        )

    def put(self, *ids: str) -> int:
        return self.spool.append([(one, f'{{"id":"{one}"}}'.encode()) for one in ids])

    def run(self, until: float = float("inf"), attempts: int = 10_000) -> None:
        """Go on until nothing waits or time is up."""
        for _ in range(attempts):
            if self.now >= until:
                return
            wait = self.sender.step()
            if wait == IDLE and self.spool.used[0] == 0:
                return
            self.now += wait
        pytest.fail(f"{self.spool.used} still waits at {self.now}")


def ids(server: Receiver) -> list[str]:
    return [event["id"] for event in server.events]


def test_a_receiver_that_is_gone_for_five_minutes_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    bench = Bench(tmp_path, f"http://127.0.0.1:{port}/")
    start = bench.now
    for second in range(0, 300, 5):
        bench.put(f"{second}-a", f"{second}-b")
        bench.run(until=start + second + 5)
    assert bench.tally["webhook", "retried"] > 10
    with receiver(port) as server:
        bench.run()
        assert ids(server) == [f"{second}-{which}" for second in range(0, 300, 5) for which in "ab"]
    assert bench.tally["webhook", "sent"] == 120
    assert bench.now - start < 300 + 2 * 30


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    port = free_port()
    bench = Bench(tmp_path, f"http://127.0.0.1:{port}/", Bound(events=10))
    dropped = sum(bench.put(str(number)) for number in range(25))
    assert dropped == 15
    with receiver(port) as server:
        bench.run()
        assert ids(server) == [str(number) for number in range(15, 25)]


def test_what_waits_is_sent_after_a_restart(tmp_path: Path, server: Receiver) -> None:
    before = Bench(tmp_path, f"http://127.0.0.1:{free_port()}/")
    before.put("1", "2")
    before.sender.step()
    before.spool.close()
    Bench(tmp_path, server.url).run()
    assert ids(server) == ["1", "2"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_a_refusal_is_counted_and_not_tried_again(tmp_path: Path, server: Receiver, status: int) -> None:
    server.answers = [(status, {})]
    bench = Bench(tmp_path, server.url)
    bench.put("1", "2")
    bench.run()
    assert ids(server) == ["1", "2"]
    assert bench.tally == {("webhook", "refused"): 1, ("webhook", "sent"): 1}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_gets_the_same_event_again_before_any_other(
    tmp_path: Path, server: Receiver, status: int
) -> None:
    server.answers = [(status, {})] * 3
    bench = Bench(tmp_path, server.url)
    bench.put("1", "2")
    bench.run()
    assert ids(server) == ["1", "1", "1", "1", "2"]
    assert bench.now - 1_000_000.0 == 0.5 + 1.0 + 2.0
    assert bench.tally == {("webhook", "retried"): 3, ("webhook", "sent"): 2}


def test_an_event_that_always_breaks_the_server_does_not_hold_up_the_others_for_ever(
    tmp_path: Path, server: Receiver
) -> None:
    server.answers = [(500, {})] * _TRIES
    bench = Bench(tmp_path, server.url)
    bench.put("1", "2")
    bench.run()
    assert ids(server) == ["1"] * _TRIES + ["2"]
    assert bench.tally["webhook", "refused"] == 1


def test_a_server_that_is_away_behind_a_proxy_refuses_nothing(tmp_path: Path, server: Receiver) -> None:
    server.answers = [(503, {})] * (3 * _TRIES)
    bench = Bench(tmp_path, server.url)
    bench.put("1")
    bench.run()
    assert bench.tally["webhook", "sent"] == 1
    assert bench.tally["webhook", "refused"] == 0


def test_retry_after_is_waited_for(tmp_path: Path, server: Receiver) -> None:
    server.answers = [(429, {"Retry-After": "120"}), (503, {"Retry-After": "Mon, 12 Jan 1970 13:51:40 GMT"})]
    bench = Bench(tmp_path, server.url)
    bench.put("1")
    assert bench.sender.step() == 120.0
    # The clock stands still until here: the date is 300 s later.
    bench.run()
    assert bench.now == 1_000_000.0 + 300.0
    assert bench.tally["webhook", "sent"] == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("7", 7.0),
        ("999999", 300.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_more_than_five_minutes(value: str | None, seconds: float) -> None:
    assert retry_after(value, 10.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_sender(value: str) -> None:
    assert 0.0 <= retry_after(value, 10.0) <= 300.0


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(tmp_path: Path, server: Receiver, status: int) -> None:
    with receiver() as other:
        server.answers = [(status, {"Location": other.url})]
        bench = Bench(tmp_path, server.url)
        bench.put("1")
        bench.run()
        assert other.requests == []
    assert bench.tally == {("webhook", "refused"): 1}


def test_a_token_is_read_for_each_request(tmp_path: Path, server: Receiver) -> None:
    token = tmp_path / "token"
    bench = Bench(tmp_path, server.url, identity=Identity(SOURCE, token=SecretFile(token)))
    bench.put("1", "2")
    assert bench.sender.step() > 0, "without its token nothing is sent"
    token.write_text("first\n")
    bench.sender.step()
    token.write_text("second")
    bench.sender.step()
    assert [headers["Authorization"] for headers, _ in server.requests] == ["Bearer first", "Bearer second"]


def test_no_secret_is_logged_or_shown(tmp_path: Path, server: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "token").write_text("hunter2")
    (tmp_path / "key").write_text("whsec_%%%hunter2")
    server.answers = [(403, {})]
    identity = Identity(SOURCE, SecretFile(tmp_path / "token"), SecretFile(tmp_path / "key"))
    bench = Bench(tmp_path, server.url, identity=identity)
    bench.put("1")
    bench.sender.step()
    (tmp_path / "key").write_text("hunter2")
    bench.run()
    assert len(caplog.records) == 2
    assert "hunter2" not in caplog.text + repr(bench.sender)


def test_a_receiver_can_check_the_signature(tmp_path: Path, server: Receiver) -> None:
    key = b"an example of a key"
    (tmp_path / "key").write_text(f"whsec_{base64.b64encode(key).decode()}")
    bench = Bench(tmp_path, server.url, identity=Identity(SOURCE, key=SecretFile(tmp_path / "key")))
    bench.put("1")
    bench.run()
    headers, body = server.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("1", "1000000")


def test_the_sink_sends_cloudevents_over_one_connection_and_keeps_the_rest(tmp_path: Path, server: Receiver) -> None:
    mailbox, stop, tally, arrived = Mailbox(100), threading.Event(), Tally(), threading.Event()

    def count(sink: str, what: str, n: int) -> None:
        tally(sink, what, n)
        if tally["webhook", "sent"] == 3:
            arrived.set()

    sink = Webhook(
        lambda: Spool(tmp_path / "spool", Bound()), lambda: Poster(server.url, timeout=5.0), Identity(SOURCE), count
    )
    thread = threading.Thread(target=sink.run, args=(mailbox, Scene, stop))
    thread.start()
    mailbox.put([report("1"), report("2", "yard"), report("3")])
    assert arrived.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    first = server.events[0]
    assert ids(server) == ["1", "2", "3"]
    assert {name: first[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "1",
        "source": "/namespaces/site-a/edgedetectors/yard",
        "type": "dev.edgedetector.object.new",
        "subject": "gate/thing-1",
        "time": "1970-01-01T00:16:41.000Z",
    }
    assert first["data"]["label"] == "person"
    assert server.requests[0][0]["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert server.requests[0][0]["path"] == "/hook?site=a"


def test_https_needs_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    authority.make(tmp_path, "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with receiver() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        assert Poster(url, timeout=5.0).post(b"{}", {}, 0.0) == Answer(0, error="SSLCertVerificationError")
        trusted = Poster(url, timeout=5.0, tls=ssl.create_default_context(cafile=tmp_path / "ca.crt"))
        assert trusted.post(b"{}", {}, 0.0).verdict == "sent"
        trusted.close()


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        poster = Poster(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.05)
        assert poster.post(b"{}", {}, 0.0) == Answer(0, error="TimeoutError")


def test_a_connection_that_the_server_closed_is_made_anew(server: Receiver) -> None:
    server.answers = [(204, {"Connection": "close"})]
    poster = Poster(server.url, timeout=5.0)
    assert [poster.post(b"{}", {}, 0.0).verdict for _ in range(3)] == ["sent"] * 3
    poster.close()


def test_a_server_that_hangs_up_between_requests_is_no_failure(tmp_path: Path, server: Receiver) -> None:
    server.hangs_up = True
    bench = Bench(tmp_path, server.url)
    bench.put("1", "2", "3")
    bench.run()
    assert ids(server) == ["1", "2", "3"]
    assert bench.tally == {("webhook", "sent"): 3}


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://hooks.example.com/x", True),
        ("http://receiver:8080/", True),
        ("http://receiver.site-a.svc:8080/", True),
        ("http://receiver.site-a.svc.cluster.local/", True),
        ("http://192.168.1.5/", True),
        ("http://[fd00::5]/", True),
        ("http://hooks.example.com/", False),
        ("http://8.8.8.8/", False),
        ("http://svc.example.com/", False),
        ("ftp://receiver/", False),
        ("http:///x", False),
    ],
)
def test_plain_http_stays_inside(url: str, fine: bool) -> None:  # noqa: FBT001 - a case
    assert (refusal(url) == "") == fine
