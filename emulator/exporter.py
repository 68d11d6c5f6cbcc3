"""The device's figures under the vendor exporter's metric names, in Prometheus' text format.

The names follow `DCGM_FI_DEV_*`, as the exporter of the reference deployment does, and the same kind of CSV file that
it reads decides which of them appear. What only an emulation can know is named `emulated_accelerator_*`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.model import DeviceState, Reading
    from emulator.profile import DeviceProfile


@dataclass(frozen=True, slots=True)
class Selection:
    """Which metrics are shown."""

    vendor: frozenset[str] | None = None
    """The vendor's names; None: every one that the emulation can fill."""
    truth: bool = True
    """Also what only an emulation can know."""


EMULATED: Final = "(EMULATED: simulated by software, no such hardware is present) "
# What the vendor's file for the KS20 asks for, in case that no file is there to read.
KS20_METRICS: Final = frozenset({"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"})
# In such a file a field of the type `label`, which stands at every metric; so the exporter that the vendor's descends
# from does it. Whether the vendor's does is not known.
DRIVER: Final = "DCGM_FI_DRIVER_VERSION"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge of the vendor's exporter."""

    name: str
    text: str
    value: float


def requested(path: Path) -> frozenset[str]:
    """Return the metric names that a vendor's CSV file asks for (name, type, help; `#` starts a comment).

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
    return frozenset(row[0].strip() for row in rows)


def vendor_gauges(profile: DeviceProfile, reading: Reading) -> list[Gauge]:
    """Return every gauge that the emulation can fill, in the vendor's units."""
    free = max(0.0, profile.memory.total - reading.memory_used)
    return [
        Gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", round(reading.utilisation * 100)),
        Gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MB).", round(reading.memory_used)),
        Gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MB).", round(free)),
        Gauge("DCGM_FI_DEV_FB_TOTAL", "Framebuffer memory (in MB).", round(profile.memory.total)),
        Gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", round(reading.temperature)),
        Gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", round(reading.power, 1)),
        Gauge("DCGM_FI_DEV_PCIE_LINK_GEN", "PCIe generation in use.", profile.link.generation),
        Gauge("DCGM_FI_DEV_PCIE_LINK_WIDTH", "PCIe lanes in use.", profile.link.lanes),
        Gauge("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "Throttling reasons bitmask (0x40: thermal).",
              0x40 if reading.throttled else 0),
    ]  # fmt: skip


class _Collector:
    """The state at one moment as metric families."""

    def __init__(
        self, profile: DeviceProfile, state: DeviceState, reading: Reading, selection: Selection, host: str
    ) -> None:
        self.profile, self.state, self.reading, self.selection = profile, state, reading, selection
        self.labels = {
            "gpu": "0",
            "UUID": f"EMULATED-{profile.name}",
            "device": "emulated0",
            "modelName": f"Emulated {profile.name}",
            "Hostname": host,
        }
        if selection.vendor is None or DRIVER in selection.vendor:
            self.labels[DRIVER] = profile.driver

    def collect(self) -> Iterator[Metric]:
        for gauge in vendor_gauges(self.profile, self.reading):
            if self.selection.vendor is None or gauge.name in self.selection.vendor:
                yield self._family(GaugeMetricFamily, gauge.name, gauge.text, gauge.value)
        if self.selection.truth:
            yield from self._truth()

    def _truth(self) -> Iterator[Metric]:
        """Yield what only an emulation can know."""
        totals, gauge, counter = self.state.totals, GaugeMetricFamily, CounterMetricFamily
        prefix = "emulated_accelerator"
        yield self._family(gauge, f"{prefix}_instances", "Engine instances that are loaded.", self.reading.instances)
        yield self._family(
            gauge, f"{prefix}_host_utilisation_ratio", "Simulated host CPU, 0 to 1.", self.reading.host_utilisation
        )
        yield self._family(counter, f"{prefix}_executions", "Batches executed.", totals.executions)
        yield self._family(counter, f"{prefix}_images", "Images executed.", totals.images)
        yield self._family(counter, f"{prefix}_link_bytes", "Simulated bytes over the link.", totals.link_bytes)
        yield self._family(counter, f"{prefix}_switches", "Turns from one instance to another.", totals.switches)
        yield self._family(counter, f"{prefix}_refused", "Loads and batches that were refused.", totals.refused)

    def _family(
        self, kind: type[GaugeMetricFamily | CounterMetricFamily], name: str, text: str, value: float
    ) -> GaugeMetricFamily | CounterMetricFamily:
        family = kind(name, EMULATED + text, labels=list(self.labels))
        family.add_metric(list(self.labels.values()), value)
        return family


def exposition(
    profile: DeviceProfile, state: DeviceState, reading: Reading, *, selection: Selection, host: str
) -> bytes:
    """Return the text that Prometheus scrapes."""
    registry = CollectorRegistry()
    registry.register(_Collector(profile, state, reading, selection, host))
    return generate_latest(registry)
