"""Durations, percentages and Kubernetes quantities as they stand in resources."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

DURATION_PATTERN: Final = r"^[0-9]{1,6}(us|ms|s|m|h)$"
"""A subset of Go's and, but for `us`, of Prometheus' durations: one number, one unit."""
PERCENT_PATTERN: Final = r"^(100|[0-9]{1,2})%$"
QUANTITY_PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"

_MICROSECONDS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_FACTORS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P"), start=1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), start=1)},
}


class Fraction(float):
    """A share between 0 and 1; in resources a percentage, e.g. ``20%``."""

    __slots__ = ()


class Quantity(str):
    """A Kubernetes quantity as text; resources may also give it as an integer."""

    __slots__ = ()


def parse_duration(text: str) -> timedelta:
    """Return the length of e.g. ``1ms``, ``50ms`` or ``10s``.

    Raises
    ------
    ValueError
        If the text does not match `DURATION_PATTERN`.
    """
    if not re.fullmatch(DURATION_PATTERN.strip("^$"), text):
        raise ValueError("not a duration such as 500us, 1ms, 10s, 5m or 1h")
    number = text.rstrip("ushm")
    return timedelta(microseconds=int(number) * _MICROSECONDS[text[len(number) :]])


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as `duration`; whole microseconds."""
    microseconds = duration // timedelta(microseconds=1)
    for unit in ("h", "m", "s", "ms"):
        if microseconds and microseconds % _MICROSECONDS[unit] == 0:
            return f"{microseconds // _MICROSECONDS[unit]}{unit}"
    return f"{microseconds}us" if microseconds else "0s"


def parse_percent(text: str) -> Fraction:
    """Return the share that e.g. ``20%`` names.

    Raises
    ------
    ValueError
        If the text does not match `PERCENT_PATTERN`.
    """
    if not re.fullmatch(PERCENT_PATTERN.strip("^$"), text):
        raise ValueError("not a percentage such as 20%")
    return Fraction(int(text[:-1]) / 100)


def format_bytes(number: Decimal) -> str:
    """Return the shortest quantity with a binary suffix that is exactly this number of bytes, rounded up to whole ones.

    So 1610612736 is ``1536Mi``: as people write it, and as the API server prints it.
    """
    whole = math.ceil(number)
    for suffix in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        count, rest = divmod(whole, int(_FACTORS[suffix]))
        if count and not rest:
            return f"{count}{suffix}"
    return str(whole)


def parse_quantity(text: str) -> Decimal:
    """Return the value of a Kubernetes quantity, e.g. 500000000 for ``500M`` and 0.1 for ``100m``.

    Raises
    ------
    ValueError
        If the text does not match `QUANTITY_PATTERN`.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)([a-zA-Z]{0,2})", text)
    if not match or match.group(2) not in _FACTORS:
        raise ValueError("not a quantity such as 500M, 256Mi, 2 or 100m")
    return Decimal(match.group(1)) * _FACTORS[match.group(2)]
