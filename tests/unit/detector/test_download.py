"""One file over HTTPS, from a real server: what is taken, and what is refused before it is taken."""

from __future__ import annotations

import hashlib
import http.server
import io
import ipaddress
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.modelserver import LOOPBACK, ModelServer, gives, loopback, moves, says

from edgedetector.detector.download import Address, Network, download, refusal
from edgedetector.detector.files import ModelFileError
from edgedetector.plan.destinations import FORBIDDEN

CONTENT = bytes(range(256)) * 1000
LIMIT = 1_000_000


@pytest.fixture
def tls(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.crt"))


def fetch(url: str, tls: ssl.SSLContext, *, limit: int = LIMIT, network: Network | None = None) -> tuple[str, bytes]:
    sink = io.BytesIO()
    digest = download(
        url, urlsplit(url).hostname or "", sink, limit=limit, tls=tls, network=network or loopback(timeout=5.0)
    )
    return digest, sink.getvalue()


def refused(url: str, tls: ssl.SSLContext, *, limit: int = LIMIT, network: Network | None = None) -> tuple[str, str]:
    """Return reason and message."""
    with pytest.raises(ModelFileError) as error:
        fetch(url, tls, limit=limit, network=network)
    assert "secret" not in str(error.value)
    return error.value.problem.reason, error.value.problem.message


def test_a_file_comes_whole_and_with_its_digest(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.holds("/people.plan", CONTENT)
    assert fetch(models.url("/people.plan?v=1"), tls) == (hashlib.sha256(CONTENT).hexdigest(), CONTENT)
    assert models.asked == ["/people.plan?v=1"]


def test_a_server_may_leave_out_the_length(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = gives(CONTENT, length=-1)
    assert fetch(models.url("/x"), tls)[1] == CONTENT


def test_a_file_of_exactly_the_limit_is_taken(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = gives(CONTENT, length=-1)
    assert fetch(models.url("/x"), tls, limit=len(CONTENT))[1] == CONTENT


def test_a_length_above_the_limit_is_refused_before_anything_is_read(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = gives(b"", length=600_000_000)
    reason, message = refused(models.url("/x"), tls, limit=500_000_000)
    assert (reason, message) == (
        "ModelTooLarge",
        "its files have 600.0 MB, and the accelerator takes at most 500.0 MB",
    )


def test_no_more_than_the_limit_is_ever_written(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = gives(CONTENT, length=-1)
    sink = io.BytesIO()
    with pytest.raises(ModelFileError) as error:
        download(models.url("/x"), "models.example", sink, limit=len(CONTENT) - 1, tls=tls, network=loopback())
    assert error.value.problem.reason == "ModelTooLarge"
    assert len(sink.getvalue()) < len(CONTENT)


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (403, "403 Forbidden"), (500, "500 Internal")])
def test_what_the_server_answers_is_told_in_words_of_ours(
    models: ModelServer, tls: ssl.SSLContext, status: int, words: str
) -> None:
    models.answers["/x"] = says(status)
    reason, message = refused(models.url("/x?key=secret"), tls)
    assert reason == "ModelFetchFailed"
    assert message.startswith(f"fetching from host models.example failed: it answers {words}")


def test_a_connection_that_breaks_off_gives_no_file(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = gives(CONTENT[:1000], length=len(CONTENT))
    assert "broke off" in refused(models.url("/x"), tls)[1]


def test_a_redirect_within_the_host_is_followed(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/old"] = moves("/new?token=secret")
    models.holds("/new", CONTENT)
    assert fetch(models.url("/old"), tls)[1] == CONTENT
    assert models.asked == ["/old", "/new?token=secret"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "https://mirror.example:{port}/x?secret",
        "https://169.254.169.254/latest/secret",
        "https://127.0.0.1:{port}/x",
        "https://models.example:1/x",
        "https://models.example:99999/x",
        "https://models.example/x",
        "http://models.example:{port}/x",
        "//mirror.example:{port}/x",
        "file:///etc/passwd",
        "https://user:secret@models.example:{port}/x",
    ],
)
def test_a_redirect_to_another_place_is_refused(
    models: ModelServer, tls: ssl.SSLContext, location: str, status: int
) -> None:
    models.answers["/old"] = moves(location.format(port=models.port), status)
    models.holds("/x", CONTENT)
    reason, message = refused(models.url("/old"), tls)
    assert reason == "ModelHostNotAllowed"
    assert message.startswith("host models.example redirects to another one")
    assert models.asked == ["/old"]


def test_redirects_in_a_circle_come_to_an_end(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/x"] = moves("/x")
    assert "more than 3 redirects" in refused(models.url("/x"), tls)[1]


def test_the_certificate_has_to_be_for_the_host_of_the_url(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.holds("/x", CONTENT)
    reason, message = refused(models.url("/x", host="other.example"), tls)
    assert reason == "ModelFetchFailed"
    assert "certificate is not trusted: Hostname mismatch" in message
    assert models.asked == []


def test_an_authority_that_is_not_known_is_not_trusted(models: ModelServer) -> None:
    models.holds("/x", CONTENT)
    assert "certificate is not trusted" in refused(models.url("/x"), ssl.create_default_context())[1]
    assert models.asked == []


def test_a_server_that_says_nothing_is_given_up(models: ModelServer, tls: ssl.SSLContext) -> None:
    released = threading.Event()

    def silent(_request: http.server.BaseHTTPRequestHandler) -> None:
        released.wait(30)

    models.answers["/x"] = silent
    try:
        assert "no answer in time" in refused(models.url("/x"), tls, network=loopback(timeout=0.2))[1]
    finally:
        released.set()


def test_a_server_that_trickles_is_given_up_at_the_deadline(models: ModelServer, tls: ssl.SSLContext) -> None:
    ended = threading.Event()

    def trickle(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not ended.wait(0.01):
            request.wfile.write(b"x")

    models.answers["/x"] = trickle
    clock = iter(range(1000))
    network = Network(lambda *_: [LOOPBACK], lambda _: "", lambda: float(next(clock)), deadline=20.0)
    try:
        assert "no answer in time" in refused(models.url("/x"), tls, network=network)[1]
    finally:
        ended.set()


def test_nobody_there(tls: ssl.SSLContext) -> None:
    assert refused("https://models.example:1/x", tls)[1].endswith("Connection refused")


def test_a_name_that_is_not_known(tls: ssl.SSLContext) -> None:
    message = refused("https://models.invalid/x", tls, network=Network())[1]
    assert message == "fetching from host models.invalid failed: the name is not known"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.1.2.3", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "no host's"),
        ("::", "no host's"),
        ("255.255.255.255", "no host's"),
        ("100.100.100.200", "a metadata service's"),
        ("fd00:ec2::254", "a metadata service's"),
    ],
)
def test_addresses_that_are_never_connected_to(
    models: ModelServer, tls: ssl.SSLContext, address: str, why: str
) -> None:
    models.holds("/x", CONTENT)
    # One bad address among good ones, since a name server may give them in any order.
    network = Network(resolve=lambda *_: [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address(address)])
    reason, message = refused(models.url("/x"), tls, network=network)
    assert reason == "ModelHostNotAllowed"
    assert message == f"host models.example has the address {ipaddress.ip_address(address)}, {why}"
    assert models.asked == []


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "192.168.20.4", "93.184.216.34", "fd12::7", "2606:2800::1", "100.64.0.9"]
)
def test_addresses_of_a_site_and_of_the_world_may_be_connected_to(address: str) -> None:
    assert refusal(ipaddress.ip_address(address)) == ""


@given(st.sampled_from(FORBIDDEN), st.data())
def test_what_a_network_policy_forbids_is_refused_here_too(network: object, data: st.DataObject) -> None:
    assert refusal(data.draw(st.ip_addresses(network=network))) != ""  # type: ignore[arg-type]


def test_a_name_is_resolved_once_and_its_address_kept_over_redirects(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.answers["/old"] = moves("/x")
    models.holds("/x", CONTENT)
    answers = iter([LOOPBACK])

    def rebinding(_host: str, _port: int) -> list[Address]:
        return [next(answers)]  # a second question would raise StopIteration

    assert fetch(models.url("/old"), tls, network=Network(rebinding, lambda _: ""))[1] == CONTENT


def test_the_next_address_is_tried_when_one_does_not_answer(models: ModelServer, tls: ssl.SSLContext) -> None:
    models.holds("/x", CONTENT)
    network = Network(lambda *_: [ipaddress.ip_address("127.0.0.9"), LOOPBACK], lambda _: "")
    assert fetch(models.url("/x"), tls, network=network)[1] == CONTENT
