"""Simulated servers from a seed: ten families in turn, the same server for the same seed.

Seeds say nothing of each other. The held-out ones come of another family of seeds and are first run when the tuner is
finished.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgedetector.tuning.situation import Engine, Goal, Limits
from edgedetector.tuning.window import Configuration, Knobs
from judge import truth
from judge.device import MIB, Cost, Hardware
from judge.server import Server
from judge.traffic import Traffic

FAMILIES: Final = (
    "linear",  # a straight line: batches share the fixed cost, instances hide the way
    "cliff",  # batches pay up to a size, then the working set spills
    "profiles",  # an engine with optimisation profiles: sizes between them are wasted
    "contention",  # instances slow each other down
    "memory",  # few instances fit, and old and new beside each other only if they are lean
    "neighbour",  # somebody else uses the device now and then
    "bursts",  # for seconds, more cameras
    "day",  # day and night within an hour
    "moving",  # traffic moves whenever a probe begins
    "several",  # two models on one device
)
LIES: Final = (
    "serves-less",  # says that it serves what it was told, and does so with one instance
    "serves-more",  # says so, and lets everything wait 5 ms in the queue
    "repeats",  # its windows repeat the first one after a change for ever
    "silent",  # there are no windows any more after a change
    "forgets",  # the tuner's record is lost now and then
    "outdated",  # it is an old one now and then
    "away",  # the operator is away for 90 s after each probe has begun
)
HELD_OUT: Final = 100
OPEN: Final = 200
LIARS: Final = 70


def server(seed: int, *, held_out: bool = False, lie: str = "") -> Server:
    """Return the server of a seed, from 0."""
    family = FAMILIES[seed % len(FAMILIES)]
    kind = "held-out " if held_out else "lying " if lie else ""
    name = f"{kind}{family} {seed}" + (f" {lie}" if lie else "")
    draw = random.Random(f"simulated server {name}")  # noqa: S311 - to be repeated, not secret
    found = _draw(name, seed, family, draw)
    return replace(found, lie=lie)


def open_servers(count: int = OPEN, first: int = 0) -> list[Server]:
    """Return the servers that may be tuned for."""
    return [server(seed) for seed in range(first, first + count)]


def held_out_servers(count: int = HELD_OUT) -> list[Server]:
    """Return those that may not."""
    return [server(seed, held_out=True) for seed in range(count)]


def liars(count: int = LIARS) -> list[Server]:
    """Return servers on which only safety counts."""
    return [server(seed, lie=LIES[seed // len(FAMILIES) % len(LIES)]) for seed in range(count)]


def _draw(name: str, seed: int, family: str, draw: random.Random) -> Server:
    names = ("first", "second") if family == "several" else ("first",)
    engines, costs = {}, {}
    for model in names:
        engines[model], costs[model] = _model(family, draw)
    hardware = Hardware(
        costs,
        engines=draw.choice((1, 1, 1, 2, 3)) if family in {"linear", "several", "day"} else 1,
        processors=draw.choice((4, 8)),
        noise=draw.uniform(0.01, 0.05),
        memory=draw.choice((4096, 8192, 16384)) * MIB,
        neighbour=_neighbour(draw) if family == "neighbour" else (),
    )
    limits = Limits(
        latency=round(draw.uniform(4.0, 9.0) * max(_alone(cost) for cost in costs.values()) + 0.01, 3),
        percentile=draw.choice((95, 99, 99)),
        max_instances=3 if len(names) > 1 else draw.choice((4, 4, 6)),
    )
    goal = draw.choices((Goal.THROUGHPUT, Goal.LATENCY, Goal.EFFICIENCY), (70, 15, 15))[0]
    made = Server(
        name=name,
        seed=seed,
        family=family,
        hardware=hardware,
        engines=engines,
        traffic={},
        start={model: _start(engines[model], draw) for model in names},
        limits=limits,
        goal=goal,
        prepare=draw.uniform(0.0005, 0.002),
        way=draw.uniform(0.0003, 0.001),
        in_place=draw.random() < 0.5,
        exporter=draw.random() > 0.05,
        memory_shown=draw.random() > 0.25,
        memory_stated=draw.random() < 0.85,
    )
    made = replace(made, coexisting=draw.random() < 0.5)
    if goal is Goal.EFFICIENCY:
        made = replace(made, exporter=True)
    if family == "memory":
        made = _walled(made, draw)
    return _with_traffic(replace(made, coexisting=made.coexisting and _fits_twice(made)), draw)


def _fits_twice(made: Server) -> bool:
    """Return whether the start fits beside itself: it is not said to be verified where it is not so."""
    again = {name: replace(knobs, max_queue_delay_microseconds=-1) for name, knobs in made.start.items()}
    return made.memory_to_change(made.start, again, in_place=False) <= made.hardware.memory


def _alone(cost: Cost) -> float:
    return cost.way + cost.way_image + cost.host + cost.host_image + cost.engine(1)


def _model(family: str, draw: random.Random) -> tuple[Engine, Cost]:
    largest = draw.choice((8, 16, 32))
    base, image = draw.uniform(0.5, 5.0) * 1e-3, draw.uniform(1.5, 5.0) * 1e-3
    cost = Cost(
        base,
        image,
        way=draw.uniform(0.2, 2.0) * 1e-3,
        way_image=draw.uniform(0.1, 1.5) * 1e-3,
        host=draw.uniform(0.05, 0.3) * 1e-3,
        host_image=draw.uniform(0.3, 2.0) * 1e-3,
        contention=draw.uniform(0.0, 0.04),
        engine_bytes=draw.uniform(150, 450) * MIB,
        image_bytes=draw.uniform(4, 14) * MIB,
    )
    engine = Engine(largest)
    if family == "cliff":
        cost = replace(
            cost, base=draw.uniform(3, 8) * 1e-3, cliff=draw.choice((3, 4, 6)), cliff_factor=draw.uniform(1.6, 2.6)
        )
    elif family == "profiles":
        sizes = draw.choice(((1, 4, 16), (2, 8, 32), (1, 6, 24), (4, 8)))
        cost = replace(cost, base=draw.uniform(2, 6) * 1e-3, image=draw.uniform(1, 2.5) * 1e-3, sizes=sizes)
        engine = Engine(sizes[-1], sizes)
    elif family == "contention":
        cost = replace(cost, contention=draw.uniform(0.15, 0.6))
    return engine, cost


def _start(engine: Engine, draw: random.Random) -> Knobs:
    largest = engine.largest_batch
    kind = draw.choices(("alone", "plain", "profile", "sample", "forgotten"), (30, 30, 15, 20, 5))[0]
    if kind == "alone":
        return Knobs(1, 1)
    if kind == "profile" and engine.preferred:
        return Knobs(1, largest, engine.preferred)
    if kind == "sample":
        return Knobs(1, largest, (2, 4, 8) if not engine.preferred and largest >= 8 else (), 1000)
    if kind == "forgotten":
        return Knobs(1, largest, (), 100_000)
    return Knobs(draw.choice((1, 1, 2)), largest)


def _walled(made: Server, draw: random.Random) -> Server:
    """Leave memory for the start and a change to something leaner, and not for much more."""
    start = made.memory(made.start)
    lean = made.memory_to_change(made.start, {name: Knobs(1, 1) for name in made.start}, in_place=False)
    total = max(start, lean) * draw.uniform(1.05, 1.6)
    return replace(made, hardware=replace(made.hardware, memory=total), memory_stated=True)


def _neighbour(draw: random.Random) -> tuple[tuple[float, float], ...]:
    found, now = [(0.0, 1.0)], 0.0
    while now < 4 * 3600.0:
        now += draw.uniform(30.0, 180.0)
        found.append((now, draw.choice((1.0, 1.0, draw.uniform(1.1, 1.5)))))
    return tuple(found)


def _with_traffic(made: Server, draw: random.Random) -> Server:
    """Give it cameras for a part of what its start can serve; now and then for more than that."""
    rate = draw.choice((2.0, 5.0, 5.0, 10.0, 15.0))
    parts = [draw.uniform(0.3, 1.0) for _ in made.engines]
    levels, period, moving = _levels(made.family, draw)
    weighed = {
        model: Traffic(100, rate * part / sum(parts), draw.uniform(0.05, 0.3))
        for (model, part) in zip(made.engines, parts, strict=True)
    }
    top = truth.bound(replace(made, traffic=weighed), _without_delay(made.start))
    # What is overloaded has no latency to speak of: there only throughput can be wanted. How instances hamper each
    # other shows only where they are used.
    overloaded = made.goal is Goal.THROUGHPUT and (made.family == "contention" or draw.random() < 0.5)
    use = draw.uniform(0.95, 1.6) if overloaded else draw.uniform(0.3, 0.85)
    highest, jitter = max(share for _, share in levels), draw.uniform(0.05, 0.3)
    while True:
        wanted = {
            model: top * use * part / sum(parts) / highest / (1.0 + moving)
            for model, part in zip(made.engines, parts, strict=True)
        }
        traffic = {
            model: Traffic(max(1, round(images / rate)), rate, jitter, levels, period, moving)
            for model, images in wanted.items()
        }
        found = replace(made, traffic=traffic)
        if overloaded or use < 0.1 or _keeps(found):
            return found
        use *= 0.85


def _keeps(made: Server) -> bool:
    """Return whether the start keeps the objective, but for a delay that somebody forgot."""
    return truth.load(made, _without_delay(made.start), truth.at(made, most=True), 6, patient=False).kept


def _without_delay(start: Configuration) -> Configuration:
    return {name: replace(knobs, max_queue_delay_microseconds=0) for name, knobs in start.items()}


def _levels(family: str, draw: random.Random) -> tuple[Sequence[tuple[float, float]], float, float]:
    if family == "bursts":
        now, found = 0.0, [(0.0, 0.7)]
        while now < 900.0:
            now += draw.uniform(20.0, 120.0)
            found += [(now, 1.0), (now + draw.uniform(3.0, 12.0), 0.7)]
            now = found[-1][0]
        return found, now + 60.0, 0.0
    if family == "day":
        return ((0.0, 0.5), (700.0, 0.75), (1100.0, 1.0), (2000.0, 0.75), (2400.0, 0.5)), 3000.0, 0.0
    if family == "moving":
        return ((0.0, 1.0),), 3600.0, draw.uniform(0.1, 0.35)
    return ((0.0, 1.0),), 3600.0, 0.0
