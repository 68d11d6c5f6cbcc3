"""What is no longer wanted does not arrive, not even what was under way when it was given up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.unit.cli.viewing.test_mp4 import film
from tests.unit.cli.worlds import World

from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.relay import Relay


@contextlib.contextmanager
def media(asked: threading.Event, goes: threading.Event) -> Iterator[str]:
    """Answer with a film, and a picture, once it may go."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.end_headers()
            asked.set()
            assert goes.wait(60)
            with contextlib.suppress(OSError):
                self.wfile.write(film())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)


@pytest.mark.parametrize(("kind", "arrives"), [("video", b"begin"), ("pictures", b"picture")])
@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_arrives_of_a_feed_that_was_stopped(world: World, kind: str, arrives: bytes, *, wanted: bool) -> None:
    asked, goes = threading.Event(), threading.Event()
    with media(asked, goes) as url:
        relay = Relay(lambda: world.snapshot(cluster=False, seconds=0.0), Links(lambda *_: contextlib.nullcontext(url)))
        world.pods[0]["status"]["phase"] = "Pending"  # no results: their reader would ask first
        relay.round()
        session = relay.open()
        session.take(0)
        relay.watch(session.id, {"gate": kind})
        (reader,) = [one for one in threading.enumerate() if one.name == f"{kind} of gate"]
        assert asked.wait(60)
        if not wanted:
            relay.watch(session.id, {})
        goes.set()
        got = b""
        while wanted and arrives not in got:
            got += session.take(60) or pytest.fail("nothing has come")
        relay.close(session)
        reader.join(60)
        got += session.take(0)
        relay.end()

    assert not reader.is_alive()
    assert (arrives in got) == wanted
