"""Provoked cases: a healthy box in which one thing (or two) is made wrong, with what a cure gives by simulation.

A label is the class that was provoked, and a case counts only if curing just that makes the box better by `GAIN`; with
two causes the label is the one whose cure alone gives back more. So no threshold of the diagnosis is in a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from random import Random
from typing import Any, Final

from bench.tuner.diagnosis.box import Box, changed, windows
from emulator import seeds, simulate
from emulator.device import CALIBRATION
from emulator.profile import ELEMENT_BYTES, DeviceProfile, load, override

from edgedetector.api import names
from edgedetector.tuning.findings import Bottleneck
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.window import Knobs, Window

GAIN: Final = 1.3
"""A provoked cause must cost this much at least, as a factor on rate or median latency, or it is none."""
MARGIN: Final = 0.08
"""Of two causes, the larger must give back this much more of the time than the other one, or neither is the larger."""
IDLE: Final = 2.5
"""Factor on the demand: a box idles if it would keep up with so many times as much."""
USUAL: Final = 1.15
"""Factor on the demand: nothing limits a box that would keep up with so much."""
KINDS: Final = ("linear", "batching", "cliff", "profiles", "switching", "memory", "parallel")
"""Seeded devices that are starved by nothing of themselves. Contention between instances is left out: it shows only
after other numbers of instances were tried."""
HELD_OUT: Final = 10_000
"""Seeds of cases from here on, by so many at once, are families with devices of their own: 10,000 was first run when
thresholds were frozen for the first time, 20,000 after what was learned of it."""


def devices(first: int, last: int) -> tuple[int, ...]:
    """Return the seeds of devices of `KINDS`; 0 stands for the KS20 with the vendor's patched scheduler."""
    return (0, *(seed for seed in range(first, last) if seeds.KINDS[(seed - 1) % len(seeds.KINDS)] in KINDS))


FAMILIES: Final = (devices(1, 60), devices(60, 120), devices(120, 180))
INPUT, OUTPUT = 3 * 640 * 640, 84 * 8400
CAUSES: Final = (
    Bottleneck.LINK, Bottleneck.TRANSPORT, Bottleneck.SCHEDULING, Bottleneck.MODEL_COMPUTE,
    Bottleneck.POST_PROCESSING, Bottleneck.HOST_CPU, Bottleneck.STREAMING,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Provoked:
    """A box made wrong, and how each thing is mended."""

    box: Box
    cures: dict[Bottleneck, dict[str, Any]]
    how: str


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled one."""

    label: Bottleneck
    name: str
    windows: tuple[Window, ...]
    situation: Situation
    known: Known
    second: Bottleneck | None = None
    gains: tuple[float, ...] = ()


@cache
def tuned(seed: int, precision: str) -> tuple[DeviceProfile, Knobs, float]:
    """Return a device without a host of its own, its best knobs and its rate with them."""
    base = load(CALIBRATION)["ks20"] if seed == 0 else seeds.device(seed)
    profile = override(base, {"host.time_per_image": 0.0, **({"scheduler.patched": True} if seed == 0 else {})})
    outcomes = simulate.sweep(profile, precision=precision, instances=3, seconds=0.5, latency=60.0)
    count, batch = simulate.best(outcomes)
    return profile, Knobs(instances=count, max_batch_size=batch), outcomes[count, batch].images_per_second


def healthy(random: Random, case: int, *, load: float) -> Box:
    """Return a box that keeps up, asked for `load` of what its device can do."""
    seed = random.choice(FAMILIES[min(case // HELD_OUT, len(FAMILIES) - 1)])
    precision = random.choice(["fp16", "fp32"])
    profile, knobs, capacity = tuned(seed, precision)
    processors = random.choice([4, 6, 8])
    demand = max(5.0, 5.0 * round(capacity * load / 5.0))
    # What a frame costs, so that the node is busy a third of its time when the device has all that it can do.
    box = Box(profile, knobs, demand, precision, processors=processors, others=random.uniform(0.02, 0.10),
              copies_told=random.random() < 0.4, in_flight=random.choice([24, 32, 48]))  # fmt: skip
    per_frame = random.uniform(0.25, 0.40) * processors * 1e3 / capacity
    return scaled(box, per_frame)


def scaled(box: Box, milliseconds: float) -> Box:
    """Return the box whose frames take so much processor time each, in the usual parts (our own bench)."""
    parts = {"read": 0.05, "decode": 0.205, "prepare": 0.17, "request": 0.13, "boxes": 0.09, "track": 0.08}
    scale = milliseconds / (sum(parts.values()) + parts["read"] + parts["decode"])  # two frames decoded, one inferred
    return changed(box, **{f"work.{name}": part * scale for name, part in parts.items()})


def capacity(box: Box) -> float:
    """Return what the device does in a second with the box's knobs, whatever its host."""
    outcome = simulate.closed_loop(
        box.profile, instances=box.knobs.instances, batch=max(1, box.knobs.max_batch_size),
        precision=box.precision, seconds=1.0,
    )  # fmt: skip
    return outcome.images_per_second


# --- one thing made wrong; each returns the changed box and what mends it


def narrow_link(box: Box, random: Random) -> Provoked:
    lanes = random.choice([1, 1, 1, 2])
    knobs = random.choice(
        [box.knobs, Knobs(), Knobs(), replace(box.knobs, max_batch_size=max(2, box.knobs.max_batch_size))]
    )
    worse = changed(box, **{"device.link.generation": 3, "device.link.lanes": lanes}, knobs=knobs)
    cure = {"device.link.generation": box.profile.link.generation, "device.link.lanes": box.profile.link.lanes}
    # With knobs that are not the best ones there are two causes, of which the link must be the larger.
    cures: dict[Bottleneck, dict[str, Any]] = {Bottleneck.LINK: cure, Bottleneck.SCHEDULING: {"knobs": box.knobs}}
    return Provoked(worse, cures, f"x{lanes}, {knobs.instances} x {knobs.max_batch_size}")


def messages(box: Box, random: Random) -> Provoked:
    travel = random.uniform(12.0, 45.0)  # 25 to 42 ms in the reference
    kind = random.choice(["Grpc", "Grpc", "Http"])
    worse = changed(box, travel=travel, transport=kind, in_flight=random.choice([4, 8, 16]),
                    **{"work.request": box.work.request * random.uniform(1.5, 2.5)})  # fmt: skip
    cure = {"travel": box.travel, "transport": box.transport, "work.request": box.work.request}
    return Provoked(worse, {Bottleneck.TRANSPORT: cure}, f"{kind} {travel:.0f} ms")


def forgotten_delay(box: Box, random: Random) -> Provoked:
    delay = random.choice([30_000, 50_000, 100_000, 100_000, 200_000])
    knobs = replace(box.knobs, max_queue_delay_microseconds=delay, max_batch_size=max(4, box.knobs.max_batch_size))
    worse = changed(box, knobs=knobs, in_flight=48)
    return Provoked(worse, {Bottleneck.SCHEDULING: {"knobs": box.knobs}}, f"delay {delay // 1000} ms")


def one_instance(box: Box, random: Random) -> Provoked:
    knobs = random.choice([Knobs(), replace(box.knobs, instances=1), Knobs(1, 2), replace(box.knobs, max_batch_size=1)])
    worse = changed(box, knobs=knobs)
    return Provoked(worse, {Bottleneck.SCHEDULING: {"knobs": box.knobs}}, f"{knobs.instances} x {knobs.max_batch_size}")


def capped(box: Box, random: Random) -> Provoked:
    cap = random.choice([1, 2])
    knobs = replace(box.knobs, preferred_batch_sizes=(cap,))
    return Provoked(changed(box, knobs=knobs), {Bottleneck.SCHEDULING: {"knobs": box.knobs}}, f"preferred [{cap}]")


def heavy_model(box: Box, random: Random) -> Provoked:
    factor = random.uniform(1.6, 3.0)
    fields = [f"device.compute.{box.precision}.{part}" for part in ("base", "per_image")]
    cost = box.profile.compute[box.precision]
    values = [cost.base, cost.per_image]
    worse = changed(box, **dict(zip(fields, [value * factor for value in values], strict=True)))
    return Provoked(worse, {Bottleneck.MODEL_COMPUTE: dict(zip(fields, values, strict=True))}, f"model x {factor:.1f}")


def many_objects(box: Box, random: Random) -> Provoked:
    limit = box.processors * 1e3 / box.demand
    boxes, track = limit * random.uniform(0.7, 1.5), limit * random.uniform(0.05, 0.3)
    worse = changed(box, **{"work.boxes": boxes, "work.track": track})
    cure = {"work.boxes": box.work.boxes, "work.track": box.work.track}
    return Provoked(worse, {Bottleneck.POST_PROCESSING: cure}, f"boxes {boxes:.0f} ms")


def slow_step(box: Box, random: Random) -> Provoked:
    count = random.choice([1, 1, 2])
    step = count * 1e3 / box.demand * random.uniform(1.4, 2.2)
    worse = changed(box, step=step, step_instances=count, processors=max(box.processors, 6))
    return Provoked(worse, {Bottleneck.POST_PROCESSING: {"step": step / 4}}, f"step {step:.0f} ms x {count}")


def small_host(box: Box, random: Random) -> Provoked:
    if random.random() < 0.5:
        others = random.uniform(0.75, 0.9)
        return Provoked(
            changed(box, others=others), {Bottleneck.HOST_CPU: {"others": box.others}}, f"others {others:.0%}"
        )
    per_frame = box.processors * 1e3 / box.demand * random.uniform(1.2, 2.0)
    slow = scaled(box, per_frame)
    cure = {
        f"work.{name}": getattr(box.work, name) for name in ("read", "decode", "prepare", "request", "boxes", "track")
    }
    return Provoked(slow, {Bottleneck.HOST_CPU: cure}, f"{per_frame:.0f} ms a frame")


def dear_streams(box: Box, random: Random) -> Provoked:
    stream = random.choice([15.0, 25.0, 30.0])
    cost = box.processors * 1e3 / (box.demand / box.target * stream) * random.uniform(0.9, 1.8)
    worse = changed(box, stream=stream, **{"work.decode": cost * 0.85, "work.read": cost * 0.15})
    cure = {"stream": box.stream, "work.decode": box.work.decode, "work.read": box.work.read}
    return Provoked(worse, {Bottleneck.STREAMING: cure}, f"decode {cost:.1f} ms x {stream:.0f}/s")


def lost_streams(box: Box, random: Random) -> Provoked:
    delivered = random.uniform(0.1, 0.3)
    worse = changed(box, delivered=delivered)
    return Provoked(worse, {Bottleneck.STREAMING: {"delivered": 1.0}}, f"delivered {delivered:.0%}")


PROVOCATIONS: Final = {
    Bottleneck.LINK: (narrow_link,),
    Bottleneck.TRANSPORT: (messages,),
    Bottleneck.SCHEDULING: (forgotten_delay, one_instance, capped),
    Bottleneck.MODEL_COMPUTE: (heavy_model,),
    Bottleneck.POST_PROCESSING: (many_objects, slow_step),
    Bottleneck.HOST_CPU: (small_host,),
    Bottleneck.STREAMING: (dear_streams, lost_streams),
}
LIGHT: Final = {messages: (0.2, 0.8), forgotten_delay: (0.1, 0.45), lost_streams: (0.4, 0.8)}
"""Loads, as a share of what the tuned device can do, at which a cause shows that is no matter of throughput."""
FULL: Final = (0.85, 1.15)


def gain(before: list[Window], after: list[Window], *, of_time: bool | None = None) -> float:
    """Return how much better a box is, as a factor on the served rate or, where that is no matter, on the median time.

    None: on the time if the rate gains little and no frames are lost.
    """
    rates = [mean([window.models["people"].rate for window in side]) for side in (before, after)]
    by_rate = rates[1] / rates[0] if rates[0] else 1.0
    lost = mean([window.models["people"].skipped for window in before])
    if of_time is None:
        of_time = by_rate < 1.1 and lost < 0.05
    medians = [mean([window.models["people"].median or 0.0 for window in side]) for side in (before, after)]
    return medians[0] / medians[1] if of_time and medians[1] else by_rate


def mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def single(label: Bottleneck, seed: int) -> Case | None:
    """Return a case of one cause, or none if what was drawn does not hurt."""
    random = Random(f"provoked {label} {seed}")
    provoke = random.choice(PROVOCATIONS[label])
    box = healthy(random, seed, load=random.uniform(*LIGHT.get(provoke, FULL)))
    provoked = provoke(box, random)
    before = windows(provoked.box, seed)
    of_time = None if provoke in LIGHT else False
    gains = {
        of: gain(before, windows(changed(provoked.box, **cure), seed), of_time=of_time)
        for of, cure in provoked.cures.items()
    }
    better, rest = gains.pop(label), max(gains.values(), default=1.0)
    if better < GAIN or 1 / max(1.0, rest) - 1 / better < MARGIN:
        return None
    return case(
        label, provoked.box, before, random, f"{box.profile.name} {provoked.how}", gains=(better, *gains.values())
    )


def at_ease(label: Bottleneck, seed: int) -> Case | None:
    """Return a case in which nothing is wrong: with far more capacity than demand, or with a usual load."""
    random = Random(f"provoked {label} {seed}")
    box = healthy(
        random, seed, load=random.uniform(0.05, 0.2) if label is Bottleneck.IDLE else random.uniform(0.45, 0.65)
    )
    seen = windows(box, seed)
    if not keeps_up(seen) or not keeps_up(windows(changed(box, demand=box.demand * USUAL), seed)):
        return None
    if keeps_up(windows(changed(box, demand=box.demand * IDLE), seed)) is not (label is Bottleneck.IDLE):
        return None
    found = case(label, box, seen, random, box.profile.name)
    slowest = max(window.models["people"].latency or 0.0 for window in seen)
    limits = replace(found.situation.limits, latency=max(found.situation.limits.latency, 1.5 * slowest))
    return replace(found, situation=replace(found.situation, limits=limits))


def keeps_up(seen: list[Window]) -> bool:
    return all(window.models["people"].rate > 0.97 * window.models["people"].offered for window in seen)


def mixed(seed: int) -> Case | None:
    """Return a case of two causes of which one is the larger; none if neither is, or one does not hurt at all."""
    random = Random(f"mixed {seed}")
    pairs = list(combinations(CAUSES, 2))
    one, other = random.choice(pairs)
    provoke = [random.choice(PROVOCATIONS[label]) for label in (one, other)]
    box = healthy(random, seed, load=random.uniform(*FULL))
    cures: dict[Bottleneck, dict[str, Any]] = {}
    worse, how = box, []
    for function in provoke:
        provoked = function(worse, random)
        worse = provoked.box
        cures |= provoked.cures
        how.append(provoked.how)
    before = windows(worse, seed)
    all_cured = {name: value for cure in cures.values() for name, value in cure.items()}
    mended = windows(changed(worse, **all_cured), seed)
    of_time = gain(before, mended, of_time=False) < 1.1
    both = gain(before, mended, of_time=of_time)
    gains = {
        label: gain(before, windows(changed(worse, **cure), seed), of_time=of_time) for label, cure in cures.items()
    }
    larger, smaller = sorted(gains, key=lambda label: gains[label], reverse=True)[:2]
    back = [1 - 1 / max(1.0, gains[label]) for label in (larger, smaller)]
    # The second must matter too: with both cured the box is clearly better than with the larger one alone.
    if gains[larger] < GAIN or back[0] - back[1] < MARGIN or both < 1.08 * gains[larger]:
        return None
    return case(larger, worse, before, random, f"{box.profile.name} {' + '.join(how)}", second=smaller,
                gains=(gains[larger], gains[smaller]))  # fmt: skip


def case(
    label: Bottleneck, box: Box, seen: list[Window], random: Random, name: str, *,
    second: Bottleneck | None = None, gains: tuple[float, ...] = (),
) -> Case:  # fmt: skip
    """Return the case with what an operator would know of it."""
    size = ELEMENT_BYTES[box.precision]
    people = KnownModel(
        data_type=box.precision.upper(), input_bytes=INPUT * size, output_bytes=OUTPUT * size, raw=not box.step
    )
    models = {"people": people}
    if box.step:
        models[names.post_processing("people")] = KnownModel(boxes_of="people", instances=box.step_instances)
    known = Known(models=models, no_substream=0)
    # A third of the cards have an exporter that tells the link's width (NVIDIA's does, the KS20's does not).
    if random.random() < 1 / 3:
        seen = [replace(window, pcie_width=float(box.profile.link.lanes)) for window in seen]
    largest = {"people": Engine(largest_batch=box.profile.max_batch, region=float((INPUT + OUTPUT) * size))}
    situation = Situation(
        start={"people": box.knobs}, engines=largest, limits=Limits(latency=random.choice([0.05, 0.1, 0.2]))
    )
    return Case(label, name, tuple(seen), situation, known, second, gains)


def cases(label: Bottleneck, count: int, first: int = 0) -> Iterator[Case]:
    """Yield `count` cases of a class, from the seeds at `first` on."""
    make = at_ease if label in {Bottleneck.IDLE, Bottleneck.NONE} else single
    seed = first
    while count:
        seed += 1
        if (found := make(label, seed)) is not None:
            count -= 1
            yield found


def mixed_cases(count: int, first: int = 0) -> Iterator[Case]:
    """Yield `count` cases with two causes, from the seeds at `first` on."""
    seed = first
    while count:
        seed += 1
        if (found := mixed(seed)) is not None:
            count -= 1
            yield found
