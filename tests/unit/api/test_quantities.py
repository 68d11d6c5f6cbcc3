"""Durations, percentages and quantities."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api import quantities
from edgedetector.api.quantities import format_bytes, format_duration, parse_duration, parse_percent, parse_quantity


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0ms", timedelta(0)),
        ("500us", timedelta(microseconds=500)),
        ("1ms", timedelta(milliseconds=1)),
        ("10s", timedelta(seconds=10)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@given(st.from_regex(quantities.DURATION_PATTERN, fullmatch=True))
def test_a_duration_keeps_its_length_when_it_is_written_again(text: str) -> None:
    again = format_duration(parse_duration(text))
    assert parse_duration(again) == parse_duration(text)
    assert len(again) <= len(text.lstrip("0")) or parse_duration(text) == timedelta(0)


@given(st.text(max_size=8))
def test_a_text_is_a_duration_exactly_if_it_fits_the_pattern(text: str) -> None:
    if re.fullmatch(r"[0-9]{1,6}(us|ms|s|m|h)", text):
        parse_duration(text)
    else:
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


@pytest.mark.parametrize("text", ["", "1", "ms", "-1ms", "1.5s", "1m30s", "1 ms", "1ms\n", "1234567s", "٣s"])
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "share"), [("0%", 0.0), ("20%", 0.2), ("100%", 1.0)])
def test_percentages(text: str, share: float) -> None:
    assert parse_percent(text) == share


@pytest.mark.parametrize("text", ["20", "101%", "-1%", "2.5%", "%", "20%\n"])
def test_texts_that_are_no_percentages(text: str) -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", Decimal(2)),
        ("100m", Decimal("0.1")),
        ("0.5", Decimal("0.5")),
        ("500M", Decimal(500_000_000)),
        ("256Mi", Decimal(268_435_456)),
        ("1k", Decimal(1000)),
    ],
)
def test_kubernetes_quantities(text: str, value: Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "1mi", "1KI", "-1", "1e3", "ten", "1 Gi", "1.2345"])
def test_texts_that_are_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1610612736", "1536Mi"),
        ("3221225472", "3Gi"),
        ("1000", "1000"),
        ("0", "0"),
        ("1024.5", "1025"),
        ("1024", "1Ki"),
    ],
)
def test_bytes_are_written_with_the_largest_suffix_that_is_exact(number: str, text: str) -> None:
    assert format_bytes(Decimal(number)) == text


@given(st.integers(0, 10**12 - 1))
def test_written_bytes_are_read_as_they_were(number: int) -> None:
    assert parse_quantity(format_bytes(Decimal(number))) == number
