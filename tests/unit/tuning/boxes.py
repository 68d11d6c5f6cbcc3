"""Boxes whose limit is to be named: the emulated KS20, and one full box that a test changes."""

from dataclasses import fields, replace

from bench.tuner.diagnosis.box import Box, Work, windows
from emulator.device import CALIBRATION
from emulator.profile import load, override

from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.situation import Engine, Situation
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, Window

KS20 = load(CALIBRATION)["ks20"]


X1 = override(KS20, {"link.generation": 3, "link.lanes": 1})


PATCHED = override(KS20, {"scheduler.patched": True})


ELEMENTS = 3 * 640 * 640 + 84 * 8400


SITUATION = Situation(start={"people": Knobs()}, engines={"people": Engine(largest_batch=32, region=4.0 * ELEMENTS)})


def ks20(profile, knobs, *, demand=175.0, precision="fp32"):
    """What the windows of the emulated KS20 show under cameras, its host the emulated one."""
    light = Work(read=0.03, decode=0.15, prepare=0.15, request=0.1, boxes=0.1, track=0.05)
    box = Box(profile, knobs, demand, precision, processors=8, others=0.02, work=light, emulated_host=True)
    return windows(box, seed=1)


def window(*, knobs=None, **changes):
    """A full box that shows nothing else: each test changes what it is about."""
    of_model = {field.name for field in fields(ModelWindow)}
    people = ModelWindow(
        knobs=knobs or Knobs(2, 8), demand=100.0, offered=100.0, rate=70.0, skipped=0.3, busy=0.97, queue=0.06,
        batches={8: BatchTime(300, 0.22)}, request=0.28, exchange=0.281, latency=0.4, median=0.3, samples=700,
    )  # fmt: skip
    models = {"people": replace(people, **{name: value for name, value in changes.items() if name in of_model})}
    rest = {name: value for name, value in changes.items() if name not in of_model}
    return replace(
        Window("a", 0.0, 30.0, models, utilization=0.4, host=0.3, stages={"decode": 0.3}, transport="SharedMemory"),
        **rest,
    )


def visit(knobs, *, rate, busy=0.98, batches=None):
    return Visit({"people": ModelVisit(knobs, batches or {}, rate=rate, busy=busy)}, seconds=30.0, ended=0.0)
