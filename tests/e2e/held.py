"""What a detector's process holds that does not go by itself, counted in its pod."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from edgedetector.api import names
from harness import Kubectl

SLOTS: Final = 2
"""Regions of a model of one instance; see detector.batching."""
DESCRIPTORS: Final = 2
"""Of a region: its lock's and its mapping's."""
_COUNT: Final = """
import glob, json, os
print(json.dumps([len(os.listdir("/proc/1/fd")), len(os.listdir("/proc/1/task")),
                  len(glob.glob("/dev/shm/edgedetector-tensors-*"))]))
"""


@dataclass(frozen=True)
class Held:
    """Counts of one moment."""

    descriptors: int
    threads: int
    regions: int
    """Files of shared memory, a killed process's included."""

    @classmethod
    def by(cls, kubectl: Kubectl, pod: str) -> Held:
        """Count."""
        said = kubectl("exec", pod, "-c", names.CONTAINER_DETECTOR, "--", "python", "-c", _COUNT)
        return cls(*json.loads(said.strip().splitlines()[-1]))

    def exceeds(self, before: Held) -> bool:
        """Whether anything is more than it was; slots for requests are made when they are first needed."""
        new = max(0, self.regions - before.regions)
        return (
            self.regions > max(before.regions, SLOTS)
            or self.descriptors > before.descriptors + new * DESCRIPTORS
            or self.threads > before.threads
        )
