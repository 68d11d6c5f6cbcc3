"""What `trace` tells of requests: where their time went, as a document and as one picture. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.text import Text

from edgedetector.api import names
from edgedetector.api.trace import PARTS, Trace, Traced

Json = dict[str, Any]

WIDTH: Final = 48
"""Characters of the picture: all of a request."""
_SAID: Final = dict(
    zip(PARTS, ("network", "serialisation", "queue", "input copy", "compute", "output copy", "rest"), strict=True)
)
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_FULL: Final = "█"


def described(found: Trace, pod: str) -> Json:
    """Return what a trace says, as the fields of a document.

    Of each model the median and the share of each part: shares are of the sum over all requests, and together 1.
    """
    asked = sorted({one.model for one in found.requests})
    return {
        "pod": pod,
        "began": found.began,
        "ended": found.ended,
        "wanted": found.wanted,
        "traced": len(found.requests),
        "foreign": found.foreign,
        "incomplete": found.incomplete,
        "verbose": found.verbose,
        "by": found.by,
        "cut": found.cut,
        "models": [_model(name, [one for one in found.requests if one.model == name]) for name in asked],
    }


def _model(name: str, requests: Sequence[Traced]) -> Json:
    total = sum(one.total for one in requests)
    parts = [
        {
            "part": part,
            "p50": _rounded(percentile((one.seconds.get(part, 0.0) for one in requests), 50)),
            "share": round(sum(one.seconds.get(part, 0.0) for one in requests) / total, 4) if total > 0 else 0.0,
        }
        for part in PARTS
    ]
    return {
        "name": name.removesuffix(names.PIPELINE),
        "requests": len(requests),
        "p50": _rounded(percentile((one.total for one in requests), 50)),
        "p99": _rounded(percentile((one.total for one in requests), 99)),
        "parts": parts,
    }


def percentile(values: Iterable[float], percent: int) -> float:
    """Return a percentile by nearest rank.

    Raises
    ------
    ValueError
        If there are no values.
    """
    found = sorted(values)
    if not found:
        raise ValueError("no values")
    return found[max(0, math.ceil(percent * len(found) / 100) - 1)]


def _rounded(seconds: float) -> float:
    return round(seconds, 6)


def picture(found: Json) -> list[Any]:
    """Return what `trace` shows: of each model its parts one behind the other, from the call to the answer."""
    lines: list[Any] = [f"{found['namespace']}/{found['name']}  pod {found['pod']}, {_counted(found)}"]
    for model in found["models"]:
        lines += ["", _head(model), *_bars(model["parts"])]
    if not found["models"]:
        lines += ["", "nothing to show: are its cameras live? see `kubectl edgedetector status`"]
    if found["verbose"]:
        log = f"kubectl -n {found['namespace']} logs {found['pod']} -c {names.CONTAINER_TRITON}"
        lines += ["", "Triton's verbose log of it, which `kubectl edgedetector report` packs, too:",
                  f"  {log} --since-time={found['began']}"]  # fmt: skip
    return lines


def _counted(found: Json) -> str:
    told = [f"{found['traced']} of {found['wanted']} requests traced"]
    told += [f"{found['foreign']} of other clients"] if found["foreign"] else []
    told += [f"{found['incomplete']} without all of their times"] if found["incomplete"] else []
    return ", ".join(told) + (f"; {found['cut']}" if found["cut"] else "")


def _head(model: Json) -> Text:
    count = f"{model['requests']} request" + ("s" if model["requests"] != 1 else "")
    return Text.assemble(
        (model["name"], "bold"), f"  {count}, p50 {_milliseconds(model['p50'])}, p99 {_milliseconds(model['p99'])}"
    )


def _bars(parts: Sequence[Json]) -> list[Any]:
    largest = max(parts, key=lambda part: part["share"])["part"]
    lines: list[Any] = [f"  {'':<13}  {'p50':>9}  share"]
    before = 0.0
    for one in parts:
        bar = _bar(before, one["share"])
        text = f"  {_SAID[one['part']]:<13}  {_milliseconds(one['p50']):>9}  {one['share']:>5.0%}  "
        lines.append(Text.assemble(text, (bar, "bold cyan" if one["part"] == largest else "cyan")))
        before += one["share"]
    return lines


def _bar(before: float, share: float) -> str:
    """Return a bar that begins where those before it end; the smallest part still shows."""
    start = min(round(before * WIDTH), WIDTH - 1)
    full, eighths = divmod(round(share * WIDTH * 8), 8)
    bar = _FULL * full + (_EIGHTHS[eighths] if eighths else "")
    return " " * start + (bar or (_EIGHTHS[1] if share > 0 else ""))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - digits that count
