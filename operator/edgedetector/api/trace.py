"""What `kubectl edgedetector trace` and the detector in the pod say to each other: POST and GET /trace, as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PATH: Final = "/trace"
MOST_REQUESTS: Final = 1000
MOST_SECONDS: Final = 120.0
LONGEST: Final = 1000
"""Bytes of an order."""
LONGEST_NAME: Final = 100
"""Characters of who asks."""

NETWORK: Final = "network"
SERIALISATION: Final = "serialisation"
QUEUE: Final = "queue"
INPUT_COPY: Final = "inputCopy"
COMPUTE: Final = "compute"
OUTPUT_COPY: Final = "outputCopy"
REST: Final = "rest"
PARTS: Final = (NETWORK, SERIALISATION, QUEUE, INPUT_COPY, COMPUTE, OUTPUT_COPY, REST)
"""Of a request, from the call in the detector to the answer there; together they are all of it.

network: the client's library, gRPC on both sides and the way between. serialisation: Triton makes a request of the
message and a message of its answer. queue, inputCopy, compute, outputCopy: as Triton traces them, of an ensemble the
sum over its steps; a request takes part in all of its batch. rest: what is in none of these."""


@dataclass(frozen=True, slots=True)
class Order:
    """Body of POST /trace."""

    requests: int
    """1 to `MOST_REQUESTS`."""
    seconds: float = 30.0
    """After which it ends with as many as there were; above 0, at most `MOST_SECONDS`."""
    verbose: bool = False
    """Whether Triton writes its verbose log meanwhile."""
    by: str = ""
    """Who asks, for those who find it busy."""


def refusal(order: Order) -> str:
    """Return why an order is not taken; empty: it is."""
    if not 1 <= order.requests <= MOST_REQUESTS:
        return f"requests is {order.requests}: 1 to {MOST_REQUESTS} can be traced at once"
    if not 0 < order.seconds <= MOST_SECONDS:
        return f"seconds is {order.seconds:g}: at most {MOST_SECONDS:.0f}, and above 0"
    if len(order.by) > LONGEST_NAME:
        return f"by has {len(order.by)} characters: at most {LONGEST_NAME}"
    return ""


@dataclass(frozen=True, slots=True)
class Traced:
    """One request."""

    model: str
    """As Triton is asked; an ensemble has `names.PIPELINE` at its end."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By part (`PARTS`)."""

    @property
    def total(self) -> float:
        """Seconds from the call to the answer."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Trace:
    """Answer of POST /trace, and of GET /trace: the last one, until the detector ends."""

    began: str
    """When, and when it ended, by the node's clock (RFC 3339)."""
    ended: str
    wanted: int
    requests: tuple[Traced, ...] = ()
    foreign: int = 0
    """Requests that other clients of Triton sent meanwhile, and that count in `wanted`."""
    incomplete: int = 0
    """Requests of ours without all of their parts, e.g. since they failed."""
    verbose: bool = False
    by: str = ""
    cut: str = ""
    """Why it ended with fewer than were wanted; empty: it did not."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer with another status than 200."""

    message: str
