"""The loop that stands in for perf_analyzer where that cannot run, and the feeder, on a real Triton."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.dataplane import site, throughput
from bench.dataplane.feeder import Feeder, pictures
from bench.media_topology import video

from edgedetector.detector.batching import Capacity

pytestmark = pytest.mark.tritonserver

BATCH = 4


def test_loop_and_feeder_send_full_batches_that_triton_counts(tmp_path: Path) -> None:
    served = throughput.INSTANT
    video.main(tmp_path / "loop.h264")
    served.write(tmp_path / "models")
    with site.triton(tmp_path, tmp_path / "models") as triton, site.client(triton) as client:
        client.load(served.name)
        assert throughput.Loop(triton.grpc, served, BATCH).run(0.2) > 0.0
        after_loop = client.statistics(served.name)
        assert after_loop.inference_count == BATCH * after_loop.execution_count >= BATCH * throughput.REQUESTS
        frames = pictures(tmp_path / "loop.h264")
        with Feeder(client, served, Capacity(BATCH, 2), frames, 4 * BATCH) as feeder:
            fed = feeder.run(0.2)
        found = client.statistics(served.name)
    assert (fed.errors, set(fed.fates)) == (set(), {"served"})
    assert len(fed.ages) == fed.fates["served"] == found.inference_count - after_loop.inference_count
    assert found.execution_count - after_loop.execution_count < len(fed.ages), "frames that wait go together"
