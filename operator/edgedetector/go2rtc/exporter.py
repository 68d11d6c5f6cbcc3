"""Prometheus exporter of a go2rtc: `go2rtc-exporter --url http://127.0.0.1:1984`.

go2rtc is asked when Prometheus asks. Needs go2rtc's address and prometheus_client, nothing else of this package than
the modules beside it.

Exit status: 0 after SIGTERM or SIGINT (with --once: if go2rtc answered), 1 if the address cannot be listened on (with
--once: if go2rtc did not answer), 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from edgedetector.go2rtc.connections import parse
from edgedetector.go2rtc.families import exporter_families, stream_families
from edgedetector.go2rtc.fetch import FAILURES, Endpoint, FetchError, endpoint, fetch
from edgedetector.go2rtc.totals import Totals, advance

EXIT_FAILED: Final = 1
_LARGEST_PORT: Final = 65535


class Go2rtcCollector(Collector):
    """Asks go2rtc when it is collected, unless it did less than `cache` seconds ago; safe to use from many threads.

    Parameters
    ----------
    read
        Returns the text of go2rtc's answer to GET /api/streams, or raises `FetchError`.
    clock
        Seconds, never going back.
    cache
        Seconds. Several Prometheus servers then see the same figures and cost go2rtc one answer.
    """

    def __init__(self, read: Callable[[], str], clock: Callable[[], float], cache: float = 1.0) -> None:
        self._read = read
        self._clock = clock
        self._cache = cache
        self._lock = threading.Lock()
        self._totals = Totals()
        self._looked: float | None = None
        self._took = 0.0
        self._failures = dict.fromkeys(FAILURES, 0)
        self.up = False
        """Whether go2rtc's last answer could be read."""

    def collect(self) -> Iterator[Metric]:
        """Yield all series; those of the streams only while go2rtc answers."""
        with self._lock:
            if self._looked is None or self._clock() - self._looked >= self._cache:
                self._look()
            return iter(self._families())

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering asks nobody."""
        return iter(())

    def _look(self) -> None:
        started = self._clock()
        try:
            answer = parse(self._read())
        except FetchError as error:
            self.up = False
            self._failures[error.reason] += 1
        else:
            self.up = answer.readable
            self._failures["unreadable"] += not answer.readable
            self._totals = advance(self._totals, answer, started)
        self._looked = self._clock()
        self._took = self._looked - started

    def _families(self) -> list[Metric]:
        failures = CounterMetricFamily("go2rtc_exporter_failures", "Looks at go2rtc that failed.", labels=("reason",))
        for reason, count in self._failures.items():
            failures.add_metric((reason,), count)
        return [
            GaugeMetricFamily("go2rtc_up", "1 if go2rtc answered when it was last asked.", float(self.up)),
            GaugeMetricFamily("go2rtc_exporter_scrape_seconds", "What go2rtc's last answer took.", self._took),
            failures,
            *exporter_families(self._totals),
            *(stream_families(self._totals, self._looked or 0.0) if self.up else ()),
        ]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, or print once; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.username is None) != (options.password_file is None):
        parser.error("--username and --password-file belong together")
    target: Endpoint = options.url

    def read() -> str:
        return fetch(target, options.username, options.password_file, options.timeout)

    collector = Go2rtcCollector(read, time.monotonic, options.cache)
    registry = CollectorRegistry()
    registry.register(collector)
    if options.once:
        sys.stdout.write(generate_latest(registry).decode())
        return 0 if collector.up else EXIT_FAILED
    return _serve(registry, *options.listen)


def _serve(registry: CollectorRegistry, host: str, port: int) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror}\n")
        return EXIT_FAILED
    stop.wait()
    server.shutdown()
    server.server_close()
    thread.join()
    return 0


def _parser() -> argparse.ArgumentParser:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("go2rtc-exporter", description=__doc__, formatter_class=text)
    parser.add_argument("--url", type=_url, default="http://127.0.0.1:1984", help="go2rtc's API (%(default)s)")
    parser.add_argument("--listen", type=_address, default=":9102", help="[HOST]:PORT to serve on (%(default)s)")
    parser.add_argument("--username", help="of go2rtc's api.username")
    parser.add_argument("--password-file", type=Path, help="file with api.password, read again for every look")
    parser.add_argument("--timeout", type=_seconds, default=5.0, help="seconds for go2rtc to answer (%(default)s)")
    parser.add_argument("--cache", type=_seconds, default=1.0, help="seconds an answer is used again (%(default)s)")
    parser.add_argument("--once", action="store_true", help="print the metrics and exit")
    return parser


def _url(text: str) -> Endpoint:
    try:
        return endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not [HOST]:PORT")
    return host.strip("[]") or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0"), int(port)  # noqa: S104


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("has to be more than 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
