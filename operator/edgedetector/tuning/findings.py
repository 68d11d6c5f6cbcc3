"""What limits a box, as the diagnosis says it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Bottleneck(StrEnum):
    """Classes of the published deployments, and what is said when none of them holds."""

    LINK = "Link"
    """Between host and accelerator: PCIe width, bytes a frame."""
    TRANSPORT = "Transport"
    """Between detector and Triton: gRPC or HTTP instead of shared memory."""
    SCHEDULING = "Scheduling"
    """How Triton is told to use the device: instances, batches, queue delay. The tuner's own."""
    MODEL_COMPUTE = "ModelCompute"
    """The device computes and has no room."""
    POST_PROCESSING = "PostProcessing"
    """Boxes and their suppression on the processors."""
    HOST_CPU = "HostCpu"
    """The node's processors, while the device has room."""
    STREAMING = "Streaming"
    """Reading and decoding, before inference."""
    IDLE = "Idle"
    """Far more capacity than demand."""
    NONE = "None"
    """Nothing limits at the present demand."""
    UNKNOWN = "Unknown"
    """Something does, or may do, and the figures do not tell what."""


class Confidence(StrEnum):
    """How far a finding is to be trusted."""

    MEASURED = "Measured"
    """Its own figures say it, and they say nothing else."""
    LIKELY = "Likely"
    """It follows from figures that other causes could have too, which were looked for and not found."""
    POSSIBLE = "Possible"
    """A figure that would decide it is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause. Clauses have neither a capital at their beginning nor a full stop at their end."""

    bottleneck: Bottleneck
    share: float
    """Of the time a frame (of its latency, where that is what suffers), what the cure is expected to give back,
    0 to 1; of `Idle` and `None`, the share of the capacity that is free."""
    evidence: str
    """What was measured, with figures."""
    remedy: str
    """What helps, also where it is not the tuner's to do."""
    curable: bool
    """Whether the tuner can do it."""
    confidence: Confidence
    model: str = ""
    """Where it is one model's."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, the bottleneck first; never empty."""

    findings: tuple[Finding, ...]
    limit: str
    """A short word for `status.capacity.limit`, e.g. accelerator, cpu, link."""
    message: str
    """One sentence for people. Its figures are rounded; it may still change at rest, unlike a condition's message."""
    unknown: tuple[str, ...] = ()
    """What would have been needed and was not there, and why, a clause each."""

    @property
    def bottleneck(self) -> Finding:
        """The first."""
        return self.findings[0]
