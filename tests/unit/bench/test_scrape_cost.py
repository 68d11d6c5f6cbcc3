"""What scraping costs, told from turns whose costs are known, and a scraper that asks as Prometheus does."""

from __future__ import annotations

import gzip
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from bench.dataplane.site import until
from bench.scrape_cost import Scraper, costs, starved
from hypothesis import given
from hypothesis import strategies as st


@given(
    load=st.floats(0.001, 0.05),
    scrape=st.floats(0.0, 0.05),
    rates=st.lists(st.tuples(*[st.floats(30.0, 50.0)] * 3), min_size=1, max_size=7),
)
def test_the_cost_of_a_scrape_is_found_though_turns_infer_different_numbers_of_frames(
    load: float, scrape: float, rates: list[tuple[float, float, float]]
) -> None:
    turns = {
        name: [{"pod": load * each[place] + scrape * often, "rate": each[place], "scrapes": often} for each in rates]
        for place, (name, often) in enumerate((("none", 0.0), ("product", 0.1), ("often", 4.0)))
    }

    found = costs(turns, 10.0)

    assert found["scrape"] == pytest.approx(scrape * 1e3, abs=1e-3)
    if len({rate for each in rates for rate in each}) == 1:
        assert found["share"] == pytest.approx(found["measured"], abs=2e-5)


def test_a_turn_that_infers_too_few_frames_says_nothing_of_cost() -> None:
    turns = {"none": [{"rate": 40.0}, {"rate": 30.0}], "often": [{"rate": 36.5}]}

    assert starved(turns, 40.0) == ["none, turn 2: 30.0 frames/s, wanted 40"]


def test_a_scrape_asks_every_address_for_a_compressed_answer() -> None:
    asked: list[tuple[str, str]] = []

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Accept-Encoding"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(gzip.compress(b"up 1\n"))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        scraper = Scraper([f"{base}/a", f"{base}/b"])
        scraper.once()
        server.shutdown()

    assert asked == [("/a", "gzip"), ("/b", "gzip")]
    assert scraper.rounds == 1
    assert scraper.size == 2 * len(gzip.compress(b"up 1\n"))


def test_a_scrape_that_fails_fails_its_turn() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    scraper = Scraper([f"http://127.0.0.1:{port}/metrics"])

    with pytest.raises(OSError, match="refused"), scraper.every(0.01):
        until("the scraper has given up", lambda: scraper.failed)
