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
_COUNT: Final = f"""
import contextlib, glob, json, os
served = set()
for table in ("/proc/1/net/tcp", "/proc/1/net/tcp6"):
    for line in list(open(table))[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) in {{{names.PORT_DETECTOR}, {names.PORT_DETECTOR_EVENTS}}}:
            if fields[3] != "0A":
                served.add(f"socket:[{{fields[9]}}]")
descriptors = []
for name in os.listdir("/proc/1/fd"):
    with contextlib.suppress(OSError):
        descriptors.append(os.readlink(f"/proc/1/fd/{{name}}"))
clients = sum(descriptor in served for descriptor in descriptors)
threads = len(os.listdir("/proc/1/task"))
print(json.dumps([len(descriptors) - clients, threads - clients, len(glob.glob("/dev/shm/edgedetector-tensors-*"))]))
"""


@dataclass(frozen=True)
class Held:
    """Counts of one moment, without the connections of those who ask it: Prometheus comes when it likes, and stays."""

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
