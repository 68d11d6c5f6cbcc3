"""What Prometheus is told of a go2rtc. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from edgedetector.go2rtc.totals import Side, StreamTotals, Totals

_STREAM = ("stream",)
_CONSUMER = ("stream", "kind")


def stream_families(totals: Totals, now: float) -> Iterator[Metric]:
    """Yield the series of the streams that go2rtc has; `now` is in seconds, of the clock that `totals` were made by."""
    streams = {label: stream for label, stream in sorted(totals.streams.items()) if stream.present}
    yield GaugeMetricFamily("go2rtc_streams", "Streams that go2rtc knows.", totals.shown)
    yield from _producers(streams, now)
    yield from _consumers(streams, now)


def exporter_families(totals: Totals) -> Iterator[Metric]:
    """Yield what the exporter noticed whether or not go2rtc answers now."""
    yield CounterMetricFamily("go2rtc_restarts", "Times that another go2rtc process was noticed.", totals.restarts)
    yield CounterMetricFamily(
        "go2rtc_exporter_parse_errors", "Parts of go2rtc's answers that were not as expected.", totals.errors
    )


def with_labels(metrics: Iterable[Metric], labels: Mapping[str, Mapping[str, str]]) -> Iterator[Metric]:
    """Add to each series of a stream what else is known of it.

    Parameters
    ----------
    labels
        Stream -> labels; a stream that is not there keeps what it has.
    """
    for metric in metrics:
        metric.samples = [
            sample._replace(labels={**sample.labels, **labels.get(sample.labels.get("stream", ""), {})})
            for sample in metric.samples
        ]
        yield metric


def _producers(streams: dict[str, StreamTotals], now: float) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "go2rtc_stream_producers", "Sources of a stream, by whether they are dialled.", labels=("stream", "state")
    )
    codecs = InfoMetricFamily("go2rtc_producer_codec", "Codecs received.", labels=_STREAM)
    counters = {
        "connections": _counter("go2rtc_producer_connections", "Connections to a stream's sources.", _STREAM),
        "reconnects": _counter(
            "go2rtc_producer_reconnects", "Connections that replaced one while somebody was reading.", _STREAM
        ),
        "bytes": _counter("go2rtc_producer_receive_bytes", "Bytes received from a stream's sources.", _STREAM),
        "packets": _counter("go2rtc_producer_receive_packets", "Packets received from a stream's sources.", _STREAM),
    }
    age = GaugeMetricFamily(
        "go2rtc_producer_receive_age_seconds", "Since a dialled source was last seen to have sent.", labels=_STREAM
    )
    for label, stream in streams.items():
        states.add_metric((label, "connected"), len(stream.producers.seen))
        states.add_metric((label, "idle"), stream.idle)
        for codec in stream.codecs:
            codecs.add_metric((label,), {"codec": codec.name, "type": codec.type, "profile": codec.profile})
        _add((label,), stream.producers, counters, age, now)
    yield from (states, codecs, *counters.values(), age)


def _consumers(streams: dict[str, StreamTotals], now: float) -> Iterator[Metric]:
    present = GaugeMetricFamily("go2rtc_stream_consumers", "Sessions that read a stream.", labels=_CONSUMER)
    counters = {
        "connections": _counter("go2rtc_consumer_connections", "Sessions that began to read a stream.", _CONSUMER),
        "bytes": _counter("go2rtc_consumer_transmit_bytes", "Bytes sent to consumers.", _CONSUMER),
        "packets": _counter("go2rtc_consumer_transmit_packets", "Packets handed to consumers.", _CONSUMER),
        "drops": _counter(
            "go2rtc_consumer_dropped_packets", "Packets that consumers were too slow to take.", _CONSUMER
        ),
    }
    age = GaugeMetricFamily(
        "go2rtc_consumer_transmit_age_seconds", "Since the stillest consumer was last seen to get.", labels=_CONSUMER
    )
    for label, stream in streams.items():
        for kind, side in sorted(stream.consumers.items()):
            present.add_metric((label, kind), len(side.seen))
            _add((label, kind), side, counters, age, now)
    yield from (present, *counters.values(), age)


def _add(
    labels: tuple[str, ...], side: Side, counters: dict[str, CounterMetricFamily], age: GaugeMetricFamily, now: float
) -> None:
    for attribute, family in counters.items():
        family.add_metric(labels, getattr(side, attribute))
    seconds = side.age(now)
    if seconds is not None:
        age.add_metric(labels, seconds)


def _counter(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)
