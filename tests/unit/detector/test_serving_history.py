"""Whatever happens to a pod, left alone it serves what is accepted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.detector.servings import BAD, World, serving_config, text

from edgedetector.api.dataplane import Probe
from edgedetector.detector.applying import RETRY
from edgedetector.detector.repository import Repository


class AnyHistory(RuleBasedStateMachine):
    """Configs, probes, restarts of either container, in any order; left alone, the pod ends up where it must."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.world = World(self.root)
        self.accepted = serving_config("start")
        self.world.accept(self.accepted)
        self.probes = 0

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @rule(instances=st.integers(1, 4), backend=st.sampled_from(["python", "python", BAD]))
    def accept(self, instances: int, backend: str) -> None:
        self.accepted = serving_config(f"{backend}-{instances}", instances=instances, backend=backend)
        self.world.accept(self.accepted)

    @rule(instances=st.integers(1, 4), backend=st.sampled_from(["python", BAD]), pod=st.sampled_from(["me", "other"]))
    def probe(self, instances: int, backend: str, pod: str) -> None:
        self.probes += 1
        config = serving_config(f"probe-{self.probes}", instances=instances, backend=backend)
        self.world.probe(Probe(f"p{self.probes}", pod, 10.0, 0, config))

    @rule()
    def withdraw(self) -> None:
        self.world.probe(None)

    @rule(count=st.integers(1, 3))
    def work(self, count: int) -> None:
        self.world.rounds(count)

    @rule()
    def triton_restarts(self) -> None:
        self.world.triton.restart()

    @rule(live=st.booleans())
    def triton_hides(self, *, live: bool) -> None:
        self.world.triton.live = live

    @rule(slow=st.booleans())
    def triton_is_slow(self, *, slow: bool) -> None:
        self.world.triton.slow = slow

    @rule()
    def the_detector_restarts(self) -> None:
        self.world.start()

    @rule()
    def left_alone_the_accepted_config_serves(self) -> None:
        self.world.triton.live, self.world.triton.slow = True, False
        self.world.rounds(12 + int(RETRY))
        if BAD not in text(self.accepted):
            assert self.world.served() == text(self.accepted) == self.world.on_disk()
            (state,) = self.world.serving.states
            assert (state.state, state.serving_id) == ("Ready", self.accepted.id)
            loads = self.world.triton.loads
            self.world.rounds(5)
            assert self.world.triton.loads == loads, "at rest nothing is loaded"
            return
        assert self.world.serving.states[0].state == "Failed"
        good = Repository(self.world.paths).good("people")
        assert self.world.served() == (good[1] if good else "")


AnyHistory.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


TestAnyHistory = AnyHistory.TestCase
