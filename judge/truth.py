"""What a configuration really gives: served by a pod in virtual time, with nobody who tunes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgedetector.tuning.window import Configuration
from judge.pod import Pod
from judge.server import Server
from judge.statistics import exact

WARM = 2
"""Seconds that are not counted."""
SECONDS = 16
"""That are: at 100 frames/s 1,600, of which a 99th percentile leaves 16 out."""
PRECISION = 0.005
"""Of a capacity, relatively."""

Cameras = Mapping[str, tuple[int, float]]
"""Of each model, how many cameras are on and the frames a second of each."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    kept: bool
    """The latency bound was kept by the objective's share of all frames, those never served included."""
    latency: float
    """The objective's percentile over the models, the worst one, seconds; infinite if it is not known."""
    utilization: float
    host: float
    served: float = 0.0
    """Images a second that had a result, in time or not."""


def load(
    server: Server, configuration: Configuration, cameras: Cameras, seconds: int = SECONDS, *, patient: bool = True
) -> Load:
    """Serve a steady load and return what came of it.

    Parameters
    ----------
    patient
        To the end, also when the bound cannot be kept any more; otherwise all figures are then infinite.
    """
    pod = Pod(_calm(server), configuration, cameras=lambda model, _: cameras[model])
    pod.run(WARM)
    pod.window(0.0)
    share = server.limits.percentile / 100.0
    detectors = {name: lane.detector for name, lane in pod.lanes.items()}
    most = {name: (1.0 - share) * count * rate * seconds for name, (count, rate) in cameras.items()}
    for detector in detectors.values():
        detector.late, detector.bound = 0, server.limits.latency
    before = sum(detector.results for detector in detectors.values())
    for second in range(WARM, WARM + seconds):
        pod.run(second + 1)
        if not patient and any(detectors[name].late > most[name] for name in detectors):
            return Load(kept=False, latency=math.inf, utilization=math.inf, host=math.inf)
    kept = all(detectors[name].late <= most[name] for name in detectors)
    worst = max(exact(detector.ages, share) for detector in detectors.values())
    engines, host = pod.device.take_busy()
    served = sum(detector.results for detector in detectors.values()) - before
    return Load(kept, worst, engines / seconds, host / seconds, served / seconds)


def _calm(server: Server) -> Server:
    """Return it with neighbours at their mean, so that a figure does not depend on when it is taken."""
    neighbour = server.hardware.neighbour
    if not neighbour:
        return server
    mean = sum(factor for _, factor in neighbour) / len(neighbour)
    return replace(server, hardware=replace(server.hardware, neighbour=((0.0, mean),)))


def scaled(server: Server, factor: float) -> Cameras:
    """Return the cameras of all models for a multiple of their whole demand, at nearly the same rate each."""
    found = {}
    for name, traffic in server.traffic.items():
        wanted = traffic.cameras * traffic.rate * factor
        count = max(1, math.ceil(wanted / traffic.rate))
        found[name] = (count, wanted / count)
    return found


def at(server: Server, *, most: bool) -> Cameras:
    """Return the cameras at the fewest or the most that are ever on."""
    return {name: (traffic.extremes[int(most)], traffic.rate) for name, traffic in server.traffic.items()}


def demand(server: Server) -> float:
    """Return the whole demand of all models, frames a second."""
    return sum(traffic.cameras * traffic.rate for traffic in server.traffic.values())


def capacity(server: Server, configuration: Configuration, *, least: float = 0.0, seconds: int = SECONDS) -> float:
    """Return the most images a second within the latency bound, all models' demand in proportion.

    Found by bisection over loads of cameras. 0 if it is not more than `least` (then nothing more is tried).
    """
    whole = demand(server)

    def keeps(rate: float) -> bool:
        cameras = scaled(server, rate / whole)
        # A short look first: most that fail do so at once.
        return all(load(server, configuration, cameras, span, patient=False).kept for span in (4, seconds))

    top = bound(server, configuration)
    if top <= least * (1.0 + PRECISION):
        return 0.0
    low = max(least * (1.0 + PRECISION), 0.05 * top)
    if not keeps(low):
        return 0.0
    high = top
    while high - low > PRECISION * low:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def bound(server: Server, configuration: Configuration) -> float:
    """Return what no load can exceed, images a second of all models: the slowest of instances, engines and host.

    For one model: with the batch that suits each best. For several: each alone on the device, by its part in the
    demand.
    """
    hardware, whole = server.hardware, demand(server)
    factor = _calm(server).hardware.slowdown(0.0)
    tops = []
    for name, knobs in configuration.items():
        cost, traffic = hardware.costs[name], server.traffic[name]
        part = traffic.cameras * traffic.rate / whole
        best = 0.0
        for size in range(1, max(1, knobs.max_batch_size) + 1):
            engine, host = cost.engine(size) * factor, cost.host + cost.host_image * size
            alone = host + cost.way + cost.way_image * size + engine
            rates = [knobs.instances / alone, hardware.engines / engine]
            rates += [hardware.processors / host] if host else []
            best = max(best, size * min(rates))
        tops.append(best / part)
    return min(tops) * 1.03
