"""Our tuner on our pod, under its cameras' own load: `bench.tuner.live_loop`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bench.tuner.live import MODEL, Box
from bench.tuner.live_cases import failures
from bench.tuner.live_loop import Loop
from bench.tuner.rivals.search import Search

LONGEST: Final = 240.0
"""Seconds."""


def search(box: Box, say: Callable[[str], None]) -> Search:
    """Tune until it has converged, and return where it came to."""
    before = failures(box)
    story = Loop(box, say=say).run(LONGEST)
    ended = "converged" if story.converged is not None else f"not converged in {LONGEST:.0f} s"
    knobs = story.final[MODEL]
    chosen = replace(knobs, max_batch_size=max(1, knobs.max_batch_size))
    note = f"{ended}; {story.kept} kept, {story.reverted} taken back, last change at {story.seconds:.0f} s"
    return Search(chosen, story.probes, note=note, lost=failures(box) - before, seconds=story.converged)
