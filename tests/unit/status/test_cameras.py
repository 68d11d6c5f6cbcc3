"""One state for each camera, out of what the replica and the media server say of it."""

from __future__ import annotations

import pytest
from tests.unit.status.views import camera, healthy, media, seen, state

from edgedetector.api import names
from edgedetector.api.conditions import REASON_SECRET_MISSING
from edgedetector.api.dataplane import CameraState
from edgedetector.go2rtc.state import StreamState
from edgedetector.status.cameras import CameraView

BUSY = "suspended because the host CPU was 97 % busy"
FAILING = camera("gate", state="Failing", reason="StreamFailed", message="No route to host", detecting=False)
PAUSED = camera("gate", state="Suspended", reason="Overloaded", message=BUSY, degraded=BUSY, detecting=False)
STOPPED = camera("gate", state="Suspended", reason="Suspended", message="spec.suspend is true", detecting=False)


def gate(said: CameraState, lacking: str, reads: str) -> CameraView:
    """Return the view of a camera with a sub-stream, of which one stream lacks its Secret."""
    both = {"name": "gate", "url": "rtsp://a/1", "substreamUrl": "rtsp://a/2", "detectionStream": reads}
    view = healthy(cameras=[both])
    streams = (StreamState(names.stream(lacking), "MissingSecret", "Secret cam does not exist"),)
    states = {"yard-triton-1": state(view.accepted.id, said)}
    (found,) = seen(view, states=states, media=media(streams=streams)).cameras
    return found


@pytest.mark.parametrize(
    ("lacking", "reads", "reason"),
    [
        ("gate/sub", "Substream", REASON_SECRET_MISSING),
        ("gate", "Substream", REASON_SECRET_MISSING),
        ("gate", "Main", REASON_SECRET_MISSING),
        ("gate/sub", "Main", "StreamFailed"),
    ],
)
def test_a_missing_secret_explains_a_camera_that_reads_its_stream(lacking: str, reads: str, reason: str) -> None:
    assert gate(FAILING, lacking, reads).reason == reason


def test_a_camera_that_the_ladder_suspended_stays_so_whatever_its_streams_lack() -> None:
    found = gate(PAUSED, "gate", "Substream")
    assert (found.state, found.degraded, found.paused) == ("Suspended", BUSY, True)


def test_a_suspension_that_is_not_the_ladders_does_not_hide_a_missing_secret() -> None:
    assert gate(STOPPED, "gate", "Main").reason == REASON_SECRET_MISSING
