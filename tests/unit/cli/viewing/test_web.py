"""The page's server, over real connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.cli.test_pods import LISTENS, PLACE, ended, kubectl
from tests.unit.cli.worlds import World
from tests.unit.media.conftest import wait_for

from edgedetector.cli.errors import UnreachableError
from edgedetector.cli.pods import forward
from edgedetector.cli.snapshot import Snapshot
from edgedetector.cli.viewing.access import HEADERS
from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.relay import Relay
from edgedetector.cli.viewing.web import FILES, Server, serving


def no_ports(pod: str, _port: int) -> contextlib.AbstractContextManager[str]:
    raise UnreachableError(f"ports of pod {pod} cannot be forwarded")


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    relay = Relay(lambda: world.snapshot(cluster=False, seconds=0.0), Links(no_ports))
    with serving(relay) as found:
        yield found


def ask(server: Server, path: str, *, body: str | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers.items())


def test_every_file_comes_with_every_header(server: Server) -> None:
    for path, (name, kind) in FILES.items():
        status, content, headers = ask(server, f"/{server.token}/{path}")

        assert (status, headers["Content-Type"]) == (200, kind), name
        assert content
        assert HEADERS.items() <= headers.items()


def test_the_page_names_nobody_elses_address(server: Server) -> None:
    for path in FILES:
        text = ask(server, f"/{server.token}/{path}")[1].decode()
        found = text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in found.replace("// ", "").replace("https://", "//"), path
        assert not {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} & set(found.split())
        assert not any(word in found for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"))


def test_files_beside_the_page_are_not_there(server: Server) -> None:
    for path in ("web.py", "../web.py", "static/app.js", "..%2fweb.py", "%00", "live/"):
        assert ask(server, f"/{server.token}/{path}")[0] == 404, path


def test_without_token_or_with_another_host_nothing_is_told(server: Server) -> None:
    for path in ("/", "/app.js", "/live", "/watch", f"/{server.token[:-1]}/"):
        assert ask(server, path)[0] == 404, path
        assert ask(server, path, body="{}")[0] == 404, path
    for path in ("", "live"):
        assert ask(server, f"/{server.token}/{path}", Host="rebound.example")[0] == 421
    assert ask(server, f"/{server.token}/live", Origin="http://evil.example")[0] == 403


def test_the_ticket_leads_to_the_page_once(server: Server) -> None:
    path = "/" + server.ticket.split("/", 3)[3]

    status, _, headers = ask(server, path)
    again, said, _ = ask(server, path)

    assert (status, headers["Location"]) == (303, f"/{server.token}/")
    assert again == 410
    assert server.token.encode() not in said
    assert ask(server, "/open/")[0] == 410


class Live:
    """A page's connection."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        self.connection.request("GET", f"/{server.token}/live")
        self.answer = self.connection.getresponse()

    def next(self, kind: str) -> tuple[dict[str, object], bytes]:
        """Return the next message of a kind."""
        while True:
            message = self.answer.read(int.from_bytes(self.answer.read(4)))
            size = 2 + int.from_bytes(message[:2])
            head = json.loads(message[2:size])
            if head["kind"] == kind:
                return head, message[size:]


def test_a_page_is_greeted_and_told_how_it_is(server: Server) -> None:
    live = Live(server)

    assert live.next("hello")[0]["session"]
    assert json.loads(live.next("page")[1])["name"] == "yard"
    live.connection.close()


def test_a_port_that_cannot_be_forwarded_is_told_on_the_page(server: Server) -> None:
    live = Live(server)
    told: list[dict[str, str]] = []
    while not told:
        told = [one for one in json.loads(live.next("page")[1])["notSeen"] if "yard-triton-1" in one["what"]]

    assert told == [{"what": "results of pod yard-triton-1", "why": "ports of pod yard-triton-1 cannot be forwarded"}]
    live.connection.close()


def test_a_cluster_that_does_not_answer_is_told_on_the_page(server: Server, world: World) -> None:
    path = "/apis/edgedetector.dev/v1alpha1/namespaces/site/edgedetectors"
    world.refused[path] = UnreachableError("the API server does not answer: ConnectTimeout")
    live = Live(server)

    assert live.next("blind")[0]["why"] == "the API server does not answer: ConnectTimeout"
    world.refused.clear()
    assert live.next("page")[1]
    live.connection.close()


def test_a_mistake_of_ours_is_told_on_the_page_and_the_next_look_follows(world: World) -> None:
    looks = iter([ZeroDivisionError("rtsp://user:secret@camera")])

    def look() -> Snapshot:
        for error in looks:
            raise error
        return world.snapshot(cluster=False, seconds=0.0)

    with serving(Relay(look, Links(no_ports))) as server:
        live = Live(server)
        said = str(live.next("blind")[0]["why"])
        live.next("page")
        live.connection.close()

    assert "ZeroDivisionError at test_web.py, line" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ("{", 400),
        ('{"session": "x"}', 400),
        ('{"session": "x", "cameras": {"gate": "exec"}}', 400),
        ('{"session": "x", "cameras": []}', 400),
        ('{"session": "x", "cameras": {"gate": "video"}}', 410),
    ],
)
def test_a_wish_that_is_none_is_refused(server: Server, body: str, status: int) -> None:
    assert ask(server, f"/{server.token}/watch", body=body)[0] == status


def test_a_wish_is_taken_and_its_failure_told(server: Server) -> None:
    live = Live(server)
    number = live.next("hello")[0]["session"]
    live.next("page")

    status, _, _ = ask(
        server, f"/{server.token}/watch", body=json.dumps({"session": number, "cameras": {"gate": "video"}})
    )

    assert status == 204
    assert live.next("end")[0] == {
        "kind": "end",
        "camera": "gate",
        "of": "video",
        "why": "ports of pod yard-media-1 cannot be forwarded",
    }
    live.connection.close()


def test_nothing_is_left_behind(world: World) -> None:
    before = set(threading.enumerate())
    with serving(Relay(lambda: world.snapshot(cluster=False, seconds=0.0), Links(no_ports))) as server:
        live = Live(server)
        live.next("page")
        address = server.server_port
    live.connection.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)

    assert not {thread.name for thread in threading.enumerate()} - {thread.name for thread in before}
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection("127.0.0.1", address, timeout=5).connect()


def test_a_look_that_takes_long_keeps_no_port_open(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = kubectl(tmp_path, LISTENS, monkeypatch)
    seen, slow, answers = world.snapshot(cluster=False, seconds=0.0), threading.Event(), threading.Event()
    looks = iter([seen])

    def look() -> Snapshot:
        for one in looks:
            return one
        slow.set()
        answers.wait(120)
        return seen

    try:
        with serving(Relay(look, Links(partial(forward, PLACE, "site"))), patience=0.05) as server:
            live = Live(server)
            wait_for("kubectl", lambda: notes.exists() and notes.read_text().endswith("]"), 60)
            pid = json.loads(notes.read_text())[0]
            assert slow.wait(60)
            assert not ended(pid)
        wait_for("the end of kubectl", lambda: ended(pid), 60)
        assert not answers.is_set()
    finally:
        answers.set()
        live.connection.close()
