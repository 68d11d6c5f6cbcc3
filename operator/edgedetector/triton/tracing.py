"""What Triton writes of traced requests (file of trace mode `triton`), and what it says of one request. Pure.

Its times are of the machine's monotonic clock, as `time.monotonic_ns` is, so those of a client on the same machine can
be put beside them. Seen of 23.07 and 24.10.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgedetector.api import trace

Nanoseconds = int
Exchange = tuple[Nanoseconds, Nanoseconds]
"""Call and answer in the client."""

_GOT: Final = "GRPC_WAITREAD_END"
_ANSWERS: Final = "GRPC_SEND_START"
_START: Final = "REQUEST_START"
_RESPONSE: Final = "INFER_RESPONSE_COMPLETE"
_QUEUED: Final = "QUEUE_START"
_TAKEN: Final = "COMPUTE_START"
_COPIED: Final = "COMPUTE_INPUT_END"
_COMPUTED: Final = "COMPUTE_OUTPUT_START"
_DONE: Final = "COMPUTE_END"


class UnreadableTraceError(ValueError):
    """A text that is no trace of Triton's, or half of one."""


@dataclass(slots=True)
class Span:
    """A request, or a step of an ensemble's."""

    id: int
    model: str = ""
    request: str = ""
    """Id that the client gave; empty: none."""
    parent: int | None = None
    times: dict[str, Nanoseconds] = field(default_factory=dict)


def spans(text: str) -> tuple[Span, ...]:
    """Return what a trace file holds.

    Raises
    ------
    UnreadableTraceError
        If it is not all there yet, or none.
    """
    try:
        found: dict[int, Span] = {}
        for entry in json.loads(text):
            _add(found.setdefault(entry["id"], Span(entry["id"])), entry)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableTraceError(f"no trace: {type(error).__name__}") from None
    return tuple(found.values())


def _add(span: Span, entry: Mapping[str, Any]) -> None:
    span.model = str(entry.get("model_name", span.model))
    span.request = str(entry.get("request_id", span.request))
    span.parent = entry.get("parent_id", span.parent)
    for time in entry.get("timestamps") or ():
        span.times[time["name"]] = int(time["ns"])


@dataclass(frozen=True, slots=True)
class Sorted:
    """Requests by what can be said of them."""

    requests: tuple[trace.Traced, ...]
    foreign: int
    incomplete: int


def requests(found: Iterable[Span], exchanges: Mapping[str, Exchange], prefix: str) -> Sorted:
    """Return what became of traced requests.

    Parameters
    ----------
    exchanges
        By the request's id: those of this client that were answered.
    prefix
        Of the ids of all requests of this client.
    """
    steps: dict[int, list[Span]] = {}
    roots: list[Span] = []
    for span in found:
        (roots if span.parent is None else steps.setdefault(span.parent, [])).append(span)
    told, foreign, incomplete = [], 0, 0
    for root in roots:
        exchange = exchanges.get(root.request)
        seconds = parts(root, steps.get(root.id, ()), exchange) if exchange else None
        if seconds is not None:
            told.append(trace.Traced(root.model, seconds))
        elif root.request.startswith(prefix):
            incomplete += 1
        else:
            foreign += 1
    return Sorted(tuple(told), foreign, incomplete)


def parts(root: Span, steps: Iterable[Span], exchange: Exchange) -> dict[str, float] | None:
    """Return the seconds of each part of a request (`trace.PARTS`), None if not all of it was traced.

    Parameters
    ----------
    steps
        Of an ensemble; without any the request's own times count.
    """
    worked = [_worked(span) for span in (tuple(steps) or (root,))]
    times = root.times
    if not all(worked) or not times.keys() >= {_GOT, _ANSWERS, _START, _RESPONSE}:
        return None
    called, answered = exchange
    known = {
        trace.NETWORK: times[_GOT] - called + answered - times[_ANSWERS],
        trace.SERIALISATION: times[_START] - times[_GOT] + times[_ANSWERS] - times[_RESPONSE],
        **{name: sum(one[name] for one in worked) for name in _WORK},
    }
    known = {name: max(0, value) for name, value in known.items()}
    rest = max(0, answered - called - sum(known.values()))
    return {name: value / 1e9 for name, value in {**known, trace.REST: rest}.items()}


_WORK: Final = (trace.QUEUE, trace.INPUT_COPY, trace.COMPUTE, trace.OUTPUT_COPY)


def _worked(span: Span) -> dict[str, Nanoseconds]:
    """Return what a model did for a request, empty if that is not known.

    A batch's copying ends with its last request: one that has its answer before does not wait for the others.
    """
    times = span.times
    if not times.keys() >= {_QUEUED, _TAKEN, _COPIED, _COMPUTED, _DONE}:
        return {}
    done = min(times[_DONE], times.get(_RESPONSE, times[_DONE]))
    return {
        trace.QUEUE: times[_TAKEN] - times[_QUEUED],
        trace.INPUT_COPY: times[_COPIED] - times[_TAKEN],
        trace.COMPUTE: times[_COMPUTED] - times[_COPIED],
        trace.OUTPUT_COPY: max(0, done - times[_COMPUTED]),
    }
