"""A box as stations that frames pass (device, link, processors, instances), and how loaded each is. Pure.

Every threshold of the diagnosis stands here, with where it is from; "the reference" are the published deployments, "the
table" the one of signals, both in docs/tuning-diagnosis.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgedetector.tuning.known import Known
from edgedetector.tuning.signals import Signals
from edgedetector.tuning.situation import Situation

SHOWN: Final = 0.005
"""Share below which "0 %" would be said."""
FULL: Final = 0.90
"""Instances' busy share from which they have no room (the table: "util > 0.9")."""
IDLE_INSTANCE: Final = 0.70
"""Below it a wait in Triton's queue is not for a free instance: an M/D/1 queue waits about one execution there."""
LOST: Final = 0.05
"""Share of the offered frames that are superseded: above it the box does not keep up. A few are normal, since the
newest frame wins; 1 % is the goal of the reference's acceptance."""
DEVICE_BUSY: Final = 0.70
"""Utilisation from which the device itself can be the limit. The reference's ceiling is 80 %; its monitor showed 60 %
where hardly more was possible, since it does not count turning to another instance."""
COPY_BOUND: Final = 0.50
"""Share of input and output in an execution (the table: "input+output > infer")."""
TURNAROUND: Final = 0.002
"""Seconds between two executions of an instance that no link explains: launch, synchronisation, Triton itself. The
calibrated device needs 1.2 ms, seeded ones 0.8 to 2.0."""
NARROW: Final = 1.8e9
"""Bytes a second. PCIe x1 of generation 3 carries about 1 GB/s, x2 about 2, the reference's x4 about 4:
below it the link is narrower than x4, by what headers and staging take of x2."""
NARROW_SINGLY: Final = 0.75e9
"""The same where several instances overlap and execute frame by frame: then launches and turning from one instance to
another, which a batch shares, leave the device idle too. The KS20 with four instances moves 0.9 GB/s so."""
SLOWEST_LINK: Final = 0.1e9
"""Bytes a second. Less than any PCIe link: x1 of generation 1 has 0.25 GB/s. What is slower is not the link."""
ROOMY: Final = 0.80
"""Factor on the time an image that fuller batches of the present configuration have, below which they have room."""
STREAM_STAGES: Final = ("read", "decode", "motion")
"""What the detector does with every frame of a stream, whether it is inferred or not."""
BOX_STAGES: Final = ("boxes", "track")
"""What grows with the objects in a frame."""
TWO: Final = 2.0
"""Mean batch from which an execution is not mostly what each one costs."""
FEW_LANES: Final = 2.0
"""No accelerator card has so few; how many it has nobody says."""
WIDER: Final = 4.0
"""What x4 carries of x1 (the reference: about 4 against about 1 GB/s)."""
FASTER_ENGINE: Final = 1.5
"""What FP16 gives of FP32, or INT8 of FP16: 1.2 in the reference, 1.3 to 1.8 on seeded devices."""
UNTRIED_FIXED: Final = 2.0
"""Fixed part of an execution, in images' times, that is assumed where one batch size alone was seen: that of the
batching-friendly device (emulator's calibration; the KS20 has 0.44), since trying costs nothing."""
MOST_STEPS: Final = 4
"""Times by which the batch may grow in one estimate: a straight line is not to be drawn out further."""
QUEUE_PART: Final = 0.30
"""Share of a frame's time, or of an execution's, from which a wait counts as a cause. In the reference the forgotten
delay was 40 % of a frame's."""
LEAST_WAIT: Final = 0.005
"""Seconds: below it no wait is worth naming. Ten per cent of the default objective of 50 ms."""
POST_PART: Final = 0.40
"""Share of the detector's CPU from which boxes are what takes it. 17 % with few objects (our own bench,
docs/results/dataplane.md), and they surge above 50 objects a frame (the reference)."""
STREAM_PART: Final = 0.60
"""Share of the detector's CPU, were all offered frames inferred, from which reading and decoding is what takes it. With
H.264 sub-streams of twice the inferred rate it is 53 % already (our own bench, docs/results/dataplane.md)."""
REQUEST_PART: Final = 0.35
"""Share of the detector's CPU from which serialisation is what takes it; 10 to 15 % is usual (the reference)."""
ONE_CORE: Final = 0.90
"""Cores of one stage from which a thread that is alone in it has no room."""
BEHIND: Final = 2.0
"""Factor of a request's time in the detector over that in Triton from which it is held up after its execution or on
its way (the reference: more than 50 ms against 25)."""
SLOW_BY_EXECUTION: Final = 0.50
"""Share of a frame's time that its execution takes, from which it is the execution that makes it slow."""
MOSTLY: Final = 0.70
"""Share of an exchange that a request is in Triton, from which it is Triton that holds it up. Chosen."""
MOST_NEEDED: Final = 4.0
"""Times the present rate to which figures are drawn out, where cameras get less than they should. Chosen."""
MOVED: Final = 0.75
"""Factor on what another instance gives where the link shows: on x1 the KS20 gains 1.2 by a second one, where its waits
alone would promise 1.6."""
DECODED: Final = 0.90
"""Share of the wanted frames that come to be inferred, from which reading and decoding keep up."""
SECOND: Final = 0.30
"""Factor on the share of a cause that is there, but behind another one that it does not add to. Chosen."""
HALF: Final = 0.50
"""Share of the node's work below which the detector's own stages do not say what the work is."""
REACHED: Final = 0.95
"""What a station reaches at most in practice: the reference's host stood at 95 %."""


@dataclass(frozen=True, slots=True)
class Case:
    """Figures with what is known, and what they say at a glance."""

    signals: Signals
    situation: Situation
    known: Known

    @property
    def need(self) -> float:
        """Factor from the present rate to the demand, where the degradation ladder keeps it down."""
        demand, rate = self.signals.demand, self.signals.rate
        return min(MOST_NEEDED, max(1.0, demand / rate)) if self.signals.degraded > 0 and rate > 0 else 1.0

    @property
    def at_present(self) -> str:
        """A clause that says so where figures are of fewer frames than are wanted; empty: they are not."""
        if self.need == 1.0:
            return ""
        return f", with {self.signals.rate:.0f} of the {self.signals.demand:.0f} frames a second that are wanted"

    @property
    def busy(self) -> float:
        """Of the busiest model's instances, at the demand."""
        return min(1.0, (self.signals.busiest.busy or 0.0) * self.need)

    @property
    def full(self) -> bool:
        """Instances have no room, and neither have their batches: these grow before requests wait for long."""
        return self.busy >= FULL and not self.behind and self.relief > ROOMY

    @property
    def behind(self) -> bool:
        """Requests are held up elsewhere than in front of instances: by a step behind them, or on their way."""
        model = self.signals.busiest
        if not model.exchange or not model.request:
            return False
        waits = model.queue >= QUEUE_PART * (model.execution or 0.0)
        # Frames are lost, and yet batches are not filled, and much of what is on its way is not in Triton.
        unfilled = model.lost > LOST and model.batch < HALF * model.cap and model.request < MOSTLY * model.exchange
        return (model.exchange > BEHIND * model.request and not waits) or unfilled

    @property
    def in_front(self) -> bool:
        """Frames are decoded and then lost in front of full instances: it is not decoding that is too slow."""
        signals = self.signals
        return self.full and signals.busiest.lost > LOST and signals.offered >= DECODED * signals.demand

    @property
    def fed(self) -> bool:
        """The detector's own work fills the node, and yet its frames wait for instances: these limit, not that work."""
        return self.in_front and self.own is not None and self.own >= HALF

    @property
    def relief(self) -> float:
        """Factor on the device's time an image when batches fill up to what is allowed already, at most 1.

        Where frames are lost in front of instances, batches are as full as the client makes them.
        """
        model = self.signals.busiest
        if model.curve is None or (model.lost > LOST and not self.behind):
            return 1.0
        filled = min(float(model.cap), MOST_STEPS * model.batch)
        before = model.curve.an_image(model.batch)
        return min(1.0, model.curve.an_image(max(filled, model.batch)) / before) if before > 0 else 1.0

    @property
    def device(self) -> float | None:
        """Utilisation that the demand could do with: of batches that are not full yet, more fits in."""
        busy = self.signals.utilization
        return None if busy is None else min(1.0, busy * self.relief * self.need)

    @property
    def starved(self) -> bool:
        """Frames are lost before or in the queue, or cameras already get less than they should."""
        return any(model.lost > LOST for model in self.signals.models) or self.signals.degraded > 0

    @property
    def slow(self) -> bool:
        """The latency objective is not kept."""
        return any((model.latency or 0.0) > self.situation.limits.latency for model in self.signals.models)

    @property
    def host(self) -> float | None:
        """Load of the processors that the demand could do with, above 1 if they cannot; decoding is done anyway."""
        busy = self.signals.host
        return None if busy is None else busy + self._growing(busy) * (self.need - 1.0)

    def _growing(self, host: float) -> float:
        """Return the part of the processors' load that grows with the inferred frames, as far as that is known."""
        return host * (1.0 - (self.own or 0.0) * self.signals.stage(*STREAM_STAGES))

    @property
    def host_full(self) -> bool:
        """The node's processors are above what is to stay free."""
        return (self.host or 0.0) >= self.situation.limits.host

    @property
    def device_full(self) -> bool:
        """The accelerator is above what is to stay free."""
        return (self.device or 0.0) >= self.situation.limits.accelerator

    @property
    def loaded(self) -> bool:
        """It is throughput that is short."""
        return self.full or self.starved or self.host_full or self.device_full

    @property
    def single(self) -> bool:
        """One instance alone: nothing overlaps."""
        return sum(max(1, model.knobs.instances) for model in self.signals.models) == 1

    @property
    def lanes_missing(self) -> bool:
        """The exporter shows fewer lanes than a card has."""
        return self.signals.pcie_width is not None and self.signals.pcie_width <= FEW_LANES

    @property
    def copies(self) -> float:
        """Share of executions that input and output take, by the models' rates."""
        rate = self.signals.rate
        return sum(model.copies * model.rate for model in self.signals.models) / rate if rate > 0 else 0.0

    def link_load(self) -> float:
        """Share of the executing time that the link is estimated to take; 0: no sign of it."""
        signals = self.signals
        slow = self.bandwidth()
        if slow is not None:
            return self.waiting if self.single else 1.0
        if self.copies >= COPY_BOUND:
            return self.copies
        return self.waiting if self.lanes_missing and signals.utilization is not None else 0.0

    @property
    def waiting(self) -> float:
        """Share of the executing time in which the device does not compute; 0: not known."""
        active, busy = self.signals.active, self.signals.utilization
        return max(0.0, 1.0 - busy / active) if busy is not None and active > 0 else 0.0

    def bandwidth(self) -> float | None:
        """Return the bytes a second that would explain why the device waits, if they are those of a narrow link.

        With one instance the wait itself is the link's time, less the turnaround; with several, which overlap, the
        link never rests and the rate is its own.
        """
        signals = self.signals
        if signals.utilization is None or signals.utilization >= DEVICE_BUSY or not signals.bytes:
            return None
        # A full node delays what Triton does for an execution, too.
        if self.host_full and (self.single or not self.in_front):
            return None
        if self.single:
            wait = self.waiting * signals.active / signals.rate - TURNAROUND / signals.busiest.batch
            speed, most = signals.bytes / wait if wait > 0 else float("inf"), NARROW
        else:
            speed, most = signals.bytes * signals.rate / max(signals.active, FULL), self._narrow_overlapped
            if not self.full:
                return None
        return speed if SLOWEST_LINK <= speed <= most else None

    @property
    def _narrow_overlapped(self) -> float:
        return NARROW if self.signals.busiest.batch >= TWO and not self.host_full else NARROW_SINGLY

    @property
    def own(self) -> float | None:
        """The detector's share of what the node's processors do; None: not known."""
        cores, all_cores = self.signals.cores, (self.signals.host or 0.0) * (self.signals.processors or 0)
        return min(1.0, cores / all_cores) if cores and all_cores > 0 else None

    @property
    def host_load(self) -> float:
        """Load of the processors by all that may grow with the inferred frames, of what decoding leaves; 0 to 1."""
        host, offered = self.signals.host or 0.0, self.signals.offered
        growing = self._growing(host)
        load = min(1.0, growing * self.need / max(1.0 - (host - growing), 1e-3))
        return min(load, self.signals.rate / offered) if self.fed and offered > 0 else load

    def others(self, *without: str) -> float:
        """Return the load of the fullest station besides those named (device, host, link), 0 to 1."""
        loads = {
            "device": (self.device or 0.0) / REACHED,
            "host": self.host_load,
            "link": self.link_load(),
        }
        return min(1.0, max([load for name, load in loads.items() if name not in without], default=0.0))


def share(gain: float) -> float:
    """Return the part of the time that a gain (a factor on the rate) gives back, 0 to 1."""
    return max(0.0, 1.0 - 1.0 / gain) if gain > 0 else 0.0


def percent(value: float) -> str:
    """Return a share rounded to 5 %, so that a message does not change at every look."""
    return f"{5 * round(20 * value)} %"


def milliseconds(seconds: float) -> str:
    """Return a duration to two digits."""
    return f"{float(f'{seconds * 1e3:.2g}'):g} ms"
