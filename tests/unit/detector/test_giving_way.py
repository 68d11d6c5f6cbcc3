"""What presses on a replica is measured, and its cameras are told what to give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgedetector.api.dataplane import Accelerator, Degradation, FrameRate
from edgedetector.detector.asked import Asked, Sample
from edgedetector.detector.gauges import Device, Gauges
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.overload import Overload, quantile, settings, skipped
from edgedetector.detector.rates import Room

WANTED = Degradation(steps=("ReduceFrameRate", "KeyframesOnly", "PauseCameras", "SomethingNewer"))


@dataclass
class Node(Gauges):
    """A node that is as busy as the test says."""

    cpu: float | None = 0.1
    queue: float | None = None
    figures: Device = field(default_factory=Device)

    def host_cpu(self) -> float | None:
        return self.cpu

    def queue_share(self) -> float | None:
        return self.queue

    def device(self, _accelerator: Accelerator, _now: float) -> Device:
        return self.figures


@dataclass
class Cam:
    name: str
    priority: int = 0
    frame_rate: FrameRate = field(default_factory=lambda: FrameRate(1.0, 5.0, 5.0))
    load: tuple[int, int] = (0, 0)
    has_substream: bool = False
    narrows: bool = False
    variants: frozenset[str] = frozenset()
    found: tuple[Sample, ...] = ()
    asked: list[Asked] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=list)

    def samples(self, since: float) -> Sequence[Sample]:
        return tuple(sample for sample in self.found if sample.at >= since)

    def ask(self, asked: Asked, room: Room, _now: float) -> None:
        self.asked.append(asked)
        self.rooms.append(room)


class World:
    def __init__(self, *cameras: Cam) -> None:
        self.cameras = cameras
        self.node, self.metrics, self.ready, self.now = Node(), Metrics(), True, 100.0
        self.overload = Overload(self.node, self.metrics, lambda: self.ready)

    def run(self, seconds: int, wanted: Degradation = WANTED) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.overload.round(self.cameras, wanted, self.now)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def test_a_busy_node_takes_from_the_lowest_priority_first_and_gives_back() -> None:
    low, high = Cam("yard"), Cam("gate", priority=9)
    world = World(low, high)
    world.run(5)
    assert {*low.asked, *high.asked} == {Asked()}
    world.node.cpu = 0.97
    world.run(8)
    assert low.asked[-1].ceiling is not None
    assert low.asked[-1].ceiling < 5.0
    assert low.asked[-1].sentence.endswith("because the host CPU was 96 % busy")
    assert high.asked[-1] == Asked()
    assert (world.metric("edgedetector_pressure_ratio", signal="HostCpu") or 0.0) > 1.0
    assert world.metric("edgedetector_degradation_moves_total", direction="down", signal="HostCpu")
    world.run(200)
    assert not low.asked[-1].suspended, "a busy processor alone suspends nobody"
    world.node.cpu = 0.1
    world.run(600)
    assert low.asked[-1] == Asked()
    assert world.metric("edgedetector_degradation_moves_total", direction="up", signal="")


def test_frames_that_come_too_late_suspend_in_the_end_but_not_the_protected() -> None:
    low, high = Cam("yard"), Cam("gate", priority=100)
    world = World(low, high)
    for _ in range(300):
        low.load, high.load = (low.load[0] + 5, low.load[1] + 4), (high.load[0] + 5, high.load[1])
        world.run(1)
    assert low.asked[-1].suspended
    assert low.asked[-1].sentence.startswith("suspended because")
    assert not high.asked[-1].suspended


def test_a_busy_accelerator_is_named_and_heat_may_suspend() -> None:
    low = Cam("yard")
    world = World(low)
    world.node.figures = Device(utilization=0.97)
    world.run(8)
    assert low.asked[-1].sentence.endswith("because the accelerator was 97 % busy")
    world.run(200)
    assert not low.asked[-1].suspended
    world.node.figures = Device(utilization=0.2, temperature=99.0)
    world.run(60)
    assert low.asked[-1].suspended
    assert "99 °C hot" in low.asked[-1].sentence


def test_while_a_model_is_loaded_late_frames_say_nothing_of_load() -> None:
    low = Cam("yard")
    world = World(low)
    world.ready = False
    for _ in range(20):
        low.load = (low.load[0] + 5, low.load[1] + 5)
        low.found = (Sample(world.now, world.now, 9.0, 0),)
        world.run(1)
    assert {*low.asked} == {Asked()}


def test_while_a_bench_runs_a_full_box_is_no_reason_and_harm_is() -> None:
    low, measured = Cam("yard"), True
    world = World(low)
    world.overload = Overload(world.node, world.metrics, lambda: True, measured=lambda: measured)
    measured = False
    world.run(5)
    measured = True
    world.node.cpu, world.node.queue, world.node.figures = 0.99, 0.99, Device(utilization=0.99)
    world.run(60)
    assert {*low.asked} == {Asked()}
    for _ in range(8):
        low.load = (low.load[0] + 5, low.load[1] + 4)
        world.run(1)
    assert low.asked[-1].ceiling is not None
    assert "of the frames were skipped" in low.asked[-1].sentence


def test_a_box_that_was_full_before_a_bench_gets_nothing_back_for_it() -> None:
    low, measured = Cam("yard"), False
    world = World(low)
    world.overload = Overload(world.node, world.metrics, lambda: True, measured=lambda: measured)
    world.node.cpu = 0.97
    world.run(8)
    given = low.asked[-1].rungs
    measured = True
    world.node.cpu = 0.1
    world.run(60)
    assert 0 < given <= low.asked[-1].rungs


def test_what_was_sent_before_a_move_is_no_reason_for_another() -> None:
    low = Cam("yard")
    world = World(low)
    for _ in range(20):
        # Results of one second ago's frames, which were sent before the first move until there is one.
        moved = low.asked and low.asked[-1].rungs
        low.found = (Sample(world.now, 100.0 if moved else world.now, 9.0, 0),)
        world.run(1)
    assert low.asked[-1].rungs == max(asked.rungs for asked in low.asked) == low.asked[5].rungs > 0
    low.found = (Sample(world.now, world.now, 0.5, 0),)
    world.run(1)
    for _ in range(6):
        low.found = (Sample(world.now, world.now, 9.0, 0),)
        world.run(1)
    assert low.asked[-1].rungs > low.asked[5].rungs, "what was sent since is one"


def test_switched_off_nothing_gives_way_and_nothing_rises() -> None:
    low = Cam("yard")
    world = World(low)
    world.node.cpu = 0.99
    world.run(20, replace(WANTED, enabled=False))
    assert {*low.asked} == {Asked()}
    assert {*low.rooms} == {Room.HOLD}


def test_it_measures_once_a_second_however_often_it_is_called() -> None:
    low = Cam("yard")
    world = World(low)
    for _ in range(10):
        world.now += 0.25
        world.overload.round(world.cameras, WANTED, world.now)
    assert len(low.asked) == 3


def test_a_step_of_a_newer_operator_is_passed_over() -> None:
    assert len(settings(WANTED).steps) == 3


def test_shares_are_of_what_was_offered_in_between() -> None:
    assert skipped({"a": (10, 5)}, {"a": (20, 6), "b": (100, 100)}) == 0.1
    assert skipped({"a": (10, 5)}, {"a": (10, 5)}) is None
    assert quantile([float(value) for value in range(1, 101)], 0.99) == 99.0
    assert quantile([3.0], 0.99) == 3.0


SMALLER = Degradation(steps=("UseSubstream",))


def test_the_step_takes_the_substream_and_the_variants_that_triton_serves_and_gives_them_back() -> None:
    main = Cam("main", has_substream=True, narrows=True)
    model = Cam("model", variants=frozenset({"small", "missing"}))
    plain = Cam("plain", variants=frozenset({"missing"}))
    world = World(main, model, plain)
    world.overload = Overload(world.node, world.metrics, lambda: True, serves=lambda name: name == "small")
    world.node.cpu = 0.97
    world.run(8, SMALLER)
    assert (main.asked[-1].substream, main.asked[-1].variants) == (True, frozenset())
    assert model.asked[-1].variants == {"small"}
    assert model.asked[-1].sentence == "the smaller input, at most 5 frames/s because the host CPU was 97 % busy"
    assert plain.asked[-1] == Asked()
    world.node.cpu = 0.1
    world.run(60, SMALLER)
    assert {main.asked[-1], model.asked[-1], plain.asked[-1]} == {Asked()}


def test_a_variant_that_triton_no_longer_serves_gives_the_place_back_at_once() -> None:
    served = {"small"}
    cam = Cam("yard", variants=frozenset({"small"}))
    world = World(cam)
    world.overload = Overload(world.node, world.metrics, lambda: True, serves=served.__contains__)
    world.node.cpu = 0.97
    world.run(8, SMALLER)
    assert cam.asked[-1].variants == {"small"}
    served.clear()
    world.run(1, SMALLER)
    assert cam.asked[-1] == Asked()


def test_a_variant_that_is_not_served_for_a_moment_takes_the_place_again_without_another_move() -> None:
    served = {"small"}
    cam = Cam("yard", variants=frozenset({"small"}))
    world = World(cam)
    world.overload = Overload(world.node, world.metrics, lambda: True, serves=served.__contains__)
    world.node.cpu = 0.97
    world.run(8, SMALLER)
    taken = cam.asked[-1]
    world.node.cpu = 0.8  # Between the limit and the mark for room: nothing moves.
    world.run(10, SMALLER)
    served.clear()
    world.run(1, SMALLER)
    assert cam.asked[-1] == Asked()
    served.add("small")
    world.run(1, SMALLER)
    assert cam.asked[-1] == taken
    assert world.metric("edgedetector_degradation_moves_total", direction="down", signal="HostCpu") == 1


def test_a_substream_that_fails_for_a_while_is_read_again_without_another_move() -> None:
    cam = Cam("yard", has_substream=True, narrows=True)
    world = World(cam)
    world.node.cpu = 0.97
    world.run(8, SMALLER)
    taken = cam.asked[-1]
    world.node.cpu = 0.8
    world.run(10, SMALLER)
    cam.narrows = False
    world.run(1, SMALLER)
    assert cam.asked[-1] == Asked()
    cam.narrows = True
    world.run(1, SMALLER)
    assert cam.asked[-1] == taken


def test_a_smaller_input_that_cannot_be_used_is_not_said_to_be_and_the_next_step_follows_at_once() -> None:
    cam = Cam("yard", variants=frozenset({"small"}))
    world = World(cam)
    world.overload = Overload(world.node, world.metrics, lambda: True, serves=lambda _: False)
    world.node.cpu = 0.97
    world.run(5, replace(SMALLER, steps=("UseSubstream", "KeyframesOnly")))
    assert cam.asked[-1].keyframes_only
    assert "smaller" not in cam.asked[-1].sentence
    assert not cam.asked[-1].substream
