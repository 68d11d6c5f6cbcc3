"""Sessions that end and begin anew leave nothing behind: real FFmpeg, real sockets, real Triton."""

from __future__ import annotations

import pytest
from bench.dataplane import reconnects

pytestmark = pytest.mark.tritonserver


@pytest.mark.parametrize("sessions", [40, pytest.param(1000, marks=pytest.mark.soak)])
def test_reconnects_leave_no_descriptor_thread_or_region(sessions: int) -> None:
    with reconnects.ground() as (client, url):
        found = reconnects.measure(client, url, sessions)
    assert found.ends == {"StreamEnded": sessions // 2, "left": sessions // 2}
    assert found.served == sessions, "a frame of each session went through Triton"
    assert found.before.regions >= 1, "and through shared memory"
    assert found.after.descriptors <= found.before.descriptors
    assert found.after.threads <= found.before.threads
    assert found.after.regions <= found.before.regions
