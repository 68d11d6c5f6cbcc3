"""The operator's own figures, for Prometheus."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds: a pass without changes takes some 20 ms, one that makes all children some 200.
_PASS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures of one process, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=True))
    passes: Counter = field(init=False)
    errors: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    applies: Counter = field(init=False)
    requests: Counter = field(init=False)
    queued: Gauge = field(init=False)
    last_success: Gauge = field(init=False)
    kopf_restarts: Counter = field(init=False)
    tuning_decisions: Counter = field(init=False)
    tuning_probes: Gauge = field(init=False)
    tuning_gain: Gauge = field(init=False)
    tuning_capacity: Gauge = field(init=False)
    _configurations: dict[tuple[str, str], str] = field(default_factory=dict)
    """The configuration whose capacity is shown, by namespace and name of the detector."""

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        head, registry = "edgedetector_operator", self.registry
        put("passes", Counter(f"{head}_reconciles", "Finished passes", ["subject", "result"], registry=registry))
        put("errors", Counter(f"{head}_errors", "Errors by phase of a pass", ["phase", "reason"], registry=registry))
        put(
            "seconds",
            Histogram(f"{head}_reconcile_seconds", "Length of a pass", ["subject"], buckets=_PASS, registry=registry),
        )
        put("applies", Counter(f"{head}_applies", "Writes by what they did", ["kind", "result"], registry=registry))
        put(
            "requests",
            Counter(f"{head}_api_requests", "Requests to the API server", ["verb", "kind", "code"], registry=registry),
        )
        put("queued", Gauge(f"{head}_queued_keys", "Keys in the queue, those of a later resync too", registry=registry))
        put(
            "last_success",
            Gauge(f"{head}_last_success_timestamp_seconds", "End of the last pass without error", registry=registry),
        )
        put(
            "kopf_restarts",
            Counter(f"{head}_kopf_restarts", "Times that Kopf ended and was begun anew", registry=registry),
        )
        tuning = "edgedetector_tuning"
        put("tuning_decisions", Counter(f"{tuning}_decisions", "Decisions of tuning", ["kind"], registry=registry))
        put("tuning_probes", Gauge(f"{tuning}_probes", "Configurations on trial now", registry=registry))
        put(
            "tuning_gain",
            Gauge(
                f"{tuning}_gain_ratio",
                "Capacity over the first that was measured",
                ["namespace", "detector"],
                registry=registry,
            ),
        )

        put(
            "tuning_capacity",
            Gauge(
                f"{tuning}_capacity_frames_per_second",
                "Frames a second that one replica was measured to serve, by a digest of what it serves with",
                ["namespace", "detector", "configuration"],
                registry=registry,
            ),
        )

    def tuning_measured(self, namespace: str, detector: str, configuration: str, frames: float | None) -> None:
        """Show the capacity of one replica, of one configuration at a time; None: it is not known, or gone."""
        key, shown = (namespace, detector), hashlib.blake2b(configuration.encode(), digest_size=4).hexdigest()
        before = self._configurations.pop(key, shown)
        if frames is not None:
            self.tuning_capacity.labels(*key, shown).set(frames)
            self._configurations[key] = shown
        if frames is None or before != shown:
            with contextlib.suppress(KeyError):
                self.tuning_capacity.remove(*key, before)

    def tuning_gained(self, namespace: str, detector: str, ratio: float | None) -> None:
        """Show the gain of a detector; None: there is none, or it is gone."""
        if ratio is not None:
            self.tuning_gain.labels(namespace, detector).set(ratio)
            return
        with contextlib.suppress(KeyError):
            self.tuning_gain.remove(namespace, detector)
