"""What the media pod says about itself at GET /state. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamState:
    """One camera's stream. Counters start again when go2rtc dials again."""

    stream: str
    state: str
    """Idle (nobody reads it, so it is not dialled), Connecting (dialled, nothing received of late), Live,
    Pending (not in go2rtc's configuration yet), MissingSecret or Invalid."""
    message: str = ""
    codec: str = ""
    bytes_received: int = 0
    packets_received: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class MediaState:
    """The media pod."""

    generation: int
    """Generation of the media.json that go2rtc's running configuration was made of, -1 before the first."""
    revision: str
    """Name of the configuration that go2rtc runs; empty while it does not answer."""
    ready: bool
    """go2rtc runs the configuration that the ConfigMap and the Secrets ask for."""
    message: str = ""
    restarts: int = 0
    """How often go2rtc was told to start again since the config container started."""
    streams: tuple[StreamState, ...] = ()
