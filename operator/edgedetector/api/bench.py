"""What `kubectl edgedetector bench` and the detector in the pod say to each other: POST /bench, as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgedetector.api.observation import Observation
from edgedetector.api.trace import LONGEST_NAME

PATH: Final = "/bench"
MOST_SECONDS: Final = 120.0
LEAST_SECONDS: Final = 5.0
MOST_FRAMES: Final = 64


@dataclass(frozen=True, slots=True)
class Order:
    """Body of POST /bench."""

    seconds: float = 20.0
    """`LEAST_SECONDS` to `MOST_SECONDS`, after which it ends, whatever becomes of who asked."""
    frames: int = 16
    """Of the load, on their way at once, at most: 1 to `MOST_FRAMES`."""
    latency: float | None = None
    """Seconds that `percentile` may be at most; None: none is stated, and it may be twice what it is at present."""
    percentile: int = 99
    by: str = ""
    """Who asks, for those who find it busy."""


def refusal(order: Order) -> str:
    """Return why an order is not taken; empty: it is."""
    if not LEAST_SECONDS <= order.seconds <= MOST_SECONDS:
        return f"seconds is {order.seconds:g}: {LEAST_SECONDS:g} to {MOST_SECONDS:g}"
    if not 1 <= order.frames <= MOST_FRAMES:
        return f"frames is {order.frames}: 1 to {MOST_FRAMES} can be on their way at once"
    if order.latency is not None and not 0 < order.latency <= MOST_SECONDS:
        return f"latency is {order.latency:g}: at most {MOST_SECONDS:g}, and above 0"
    if not 1 <= order.percentile <= 99:  # noqa: PLR2004 - percent
        return f"percentile is {order.percentile}: 1 to 99"
    if len(order.by) > LONGEST_NAME:
        return f"by has {len(order.by)} characters: at most {LONGEST_NAME}"
    return ""


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch with so many frames of the load on their way; with 0 of them the cameras' own load alone.

    Percentiles are seconds from a request to its answer, by nearest rank: of fewer than 100 requests the 99th is the
    longest. Those of the step without load are of the cameras' requests, to within 9 %. None: there was no request.
    """

    frames: int
    seconds: float
    requests: int
    rate: float
    """Frames a second of the load that were inferred."""
    cameras: float
    """Frames a second of the cameras that were inferred."""
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """How a model was served; as in `dataplane.ModelServing`."""

    instances: int
    max_batch_size: int
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    post_processing: int = 0
    """Instances of its post-processing; 0: it has none."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Answer of POST /bench."""

    began: str
    """When, and when it ended, by the node's clock (RFC 3339)."""
    ended: str
    stopped: str
    """Why it went no further."""
    steps: tuple[Step, ...] = ()
    """The first without load, then ascending; the last one may have been cut short."""
    limit: float | None = None
    """Seconds at which it stops; None: with no objective and no camera's request there is none."""
    percentile: int = 99
    """Of which."""
    by: str = ""
    models: dict[str, Served] = field(default_factory=dict)
    before: Observation | None = None
    after: Observation | None = None
    """The counters at both ends of the last step that lasted; None: there was none."""
