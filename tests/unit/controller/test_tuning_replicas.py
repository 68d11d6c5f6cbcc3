"""When the autoscaler may act while a detector is tuned."""

from __future__ import annotations

from tests.unit.controller.climbed import LONG
from tests.unit.controller.test_detectors import KEY
from tests.unit.controller.tuned import World

from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.record import State


async def test_the_autoscaler_may_add_replicas_only_once_tuning_has_converged() -> None:
    world = World()
    await world.run(5)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 1
    await world.run(LONG)
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 2


async def test_while_cameras_give_way_the_autoscaler_takes_no_replica_away() -> None:
    world = World(pods=2)
    await world.run(LONG)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    world.cluster.objects["Deployment", "yard-triton"]["spec"]["replicas"] = 2  # as the autoscaler does
    world.pods[1].gives_up = "half of the frames"
    await world.run(40)
    assert world.cluster.objects[scaler]["spec"]["minReplicas"] == 2
    before = len(world.cluster.writes)
    await world.run(120)
    assert "yard-triton" not in world.cluster.writes[before:]
    world.pods[1].gives_up = ""
    await world.run(40)
    assert world.cluster.objects[scaler]["spec"]["minReplicas"] == 1


async def test_a_detector_that_never_converges_is_not_held_for_ever() -> None:
    def never(state: State, *_: object) -> tuple[State, Decision]:
        return state, Decision(Kind.WAIT)

    world = World(step=never)
    await world.run(5)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 1
    world.seconds += 1800
    assert await world.reconciler.reconcile(KEY) is not None
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 2
