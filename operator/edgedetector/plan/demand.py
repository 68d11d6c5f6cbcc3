"""What an autoscaler may go by, recorded by pod and by detector: each says what is *offered*, not what is left of it.

While cameras give way the processors, the accelerator and the queues do less. An autoscaler that reads them as they are
sees no want of a replica, though the want of one is why cameras give way. So each figure counts what they give up:

* Demand: frames a second that the specification wants, over what one replica was measured to serve. Of that the lowest
  within a day counts, with what is served now: what instances take from each other shows under full load alone, and a
  replica that was just added would make itself look superfluous.
* Accelerator utilization: as it would be were the frames inferred that cameras give up.
* Queue time: while cameras give way at least its target times what is offered over what is not given up.

The figures by detector are sums over its pods, so that a target for one replica says how many it takes.
"""

from __future__ import annotations

import math
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector, ScalingFigure
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import parse_quantity
from edgedetector.plan import figures
from edgedetector.plan.exporter import LABEL_NODE
from edgedetector.plan.figures import LABEL_EDGEDETECTOR
from edgedetector.plan.scaling import autoscaled, target

EVERY: Final = 15  # seconds between two recordings: an autoscaler looks as often
RANGE: Final = 60  # seconds over which rates are taken, at the default scrape interval of 10 seconds
MEMORY: Final = "1d"
"""For how long the lowest capacity counts: a day has each hour's load, and a neighbour on the device goes within it."""
ABSENCE: Final = "10m"
"""For how long a capacity holds that nobody tells: the operator starts anew, on another node once its own is lost."""
MOST: Final = 0.1
"""Of what is offered, the share that counts as met at least: ten times the replicas are as many as are asked for."""

CAPACITY: Final = "edgedetector:capacity:frames_per_second"
UNMET: Final = "pod:edgedetector_unmet:ratio"
RECORDED: Final[dict[ScalingFigure, str]] = {
    "Demand": "edgedetector:demand:ratio",
    "QueueTime": "edgedetector:queue_time:seconds",
    "AcceleratorUtilization": "edgedetector:accelerator_utilization:ratio",
}
"""By detector; by pod the same with `BY_POD` in place of `BY_DETECTOR`."""
BY_DETECTOR: Final = "edgedetector:"
BY_POD: Final = "pod:edgedetector_"

_POD: Final = "by (namespace, pod)"


def by_pod(name: ScalingFigure) -> str:
    """Return the name under which a figure is recorded for each pod."""
    return RECORDED[name].replace(BY_DETECTOR, BY_POD)


def group(detector: EdgeDetector, profile: AcceleratorProfile) -> dict[str, Any] | None:
    """Return the rule group of a detector's figures; absent without an autoscaler."""
    if not autoscaled(detector):
        return None
    rules = [
        _recorded(detector, CAPACITY, _capacity(detector)),
        _recorded(detector, RECORDED["Demand"], f"{offered(detector):g} / {_ours(detector, CAPACITY)}"),
        _recorded(detector, by_pod("Demand"), _shared(detector)),
        _recorded(detector, UNMET, _unmet(detector)),
        *_of_pods(detector, "QueueTime", _queue(detector)),
    ]
    if (busy := _utilization(detector, profile)) is not None:
        rules += _of_pods(detector, "AcceleratorUtilization", busy)
    name = f"edgedetector.{detector.namespace}.{detector.name}.scaling"
    return {"name": name, "interval": f"{EVERY}s", "rules": rules}


def offered(detector: EdgeDetector) -> float:
    """Return the frames a second that models are meant to infer, a frame once for each of its camera's models.

    Of the specification, so that neither a camera that is lost nor one that gives way makes it less.
    """
    usual = len(detector.spec.usual_models)
    return sum(camera.frame_rate.target * (len(camera.models) or usual) for camera in detector.spec.cameras)


def _over(detector: EdgeDetector) -> str:
    """Return the range of a rate: four scrapes at least."""
    return f"[{max(RANGE, math.ceil(4 * detector.spec.monitoring.scrape_interval.total_seconds()))}s]"


def _recorded(detector: EdgeDetector, name: str, expression: str) -> dict[str, Any]:
    labels = {"namespace": detector.namespace, LABEL_EDGEDETECTOR: detector.name}
    return {"record": name, "expr": expression, "labels": labels}


def _of_pods(detector: EdgeDetector, name: ScalingFigure, expression: str) -> list[dict[str, Any]]:
    """Return the rules for each pod, and for all together."""
    each = by_pod(name)
    return [
        _recorded(detector, each, expression),
        _recorded(detector, RECORDED[name], f"sum({_ours(detector, each)})"),
    ]


def _ours(detector: EdgeDetector, series: str) -> str:
    return f"{series}{{{figures.selector(detector)}}}"


def _capacity(detector: EdgeDetector) -> str:
    """Return the lowest capacity of a replica with what is served now: the operator tells it by configuration."""
    told = (
        f'edgedetector_tuning_capacity_frames_per_second{{namespace="{detector.namespace}",detector="{detector.name}"}}'
    )
    # While it tells one, no former one counts: that would ask for a replica just as tuning has made it needless.
    served = f"({told} or (last_over_time({told}[{ABSENCE}]) unless on (namespace, detector) {told}))"
    return f"min(min_over_time({told}[{MEMORY}]) and on (configuration) {served}) > 0"


def _shared(detector: EdgeDetector) -> str:
    """Return the demand by pod: the detector's, shared out as the cameras are."""
    rates = _ours(detector, "edgedetector_camera_offered_frame_rate")
    whole = f"max by (namespace) ({_ours(detector, RECORDED['Demand'])})"
    each = f"{whole} / on (namespace) (sum by (namespace) ({rates}) > 0)"
    return f"sum {_POD} ({rates}) * on (namespace) group_left () ({each})"


def _unmet(detector: EdgeDetector) -> str:
    """Return the share of a pod's offered frames that cameras give up: of those that give way, what finds no room.

    What does not move needs none, and what a lost camera does not send would not get it from another replica.
    """
    camera = "by (namespace, pod, camera)"
    frames = f'edgedetector_camera_frames_left_out_total{{{figures.selector(detector)},reason=~"ladder|late"}}'
    left_out = f"sum {camera} (rate({frames}{_over(detector)}))"
    giving = f"sum {camera} ({_ours(detector, 'edgedetector_camera_degradation_rungs')}) > 0"
    given_up = f"sum {_POD} ({left_out} and ({giving}))"
    offers = f"sum {_POD} ({_ours(detector, 'edgedetector_camera_offered_frame_rate')})"
    return f"({given_up} or 0 * {offers}) / ({offers} > 0)"


def _met(detector: EdgeDetector) -> str:
    """Return the share of a pod's offered frames that cameras do not give up, at least `MOST`."""
    return f"clamp_min(1 - {_ours(detector, UNMET)}, {MOST:g})"


def _queue(detector: EdgeDetector) -> str:
    """Return the time in the queue by pod, of the model whose requests wait longest."""
    # An ensemble's own queue is none: its models have theirs.
    models = f'{figures.selector(detector)},model!~".*[{names.PIPELINE[0]}]{names.PIPELINE[1:]}"'
    waited = f"sum by (namespace, pod, model) (rate(nv_inference_queue_duration_us{{{models}}}{_over(detector)}))"
    requests = f"sum by (namespace, pod, model) (rate(nv_inference_request_success{{{models}}}{_over(detector)}))"
    # Nobody waits where nobody asks. Without a figure no replica would ever be taken away.
    nobody = f"0 * sum {_POD} ({requests})"
    told = f"(max {_POD} ({waited} / ({requests} > 0)) / 1e6 or on (namespace, pod) {nobody})"
    wanted = float(parse_quantity(target(detector.spec.scaling, "QueueTime")))
    least = f"{wanted:g} / ({_met(detector)} < 1)"
    return f"({told} > on (namespace, pod) ({least})) or on (namespace, pod) ({least}) or on (namespace, pod) ({told})"


def _utilization(detector: EdgeDetector, profile: AcceleratorProfile) -> str | None:
    """Return how busy a pod's accelerator would be with all that is offered; None: no exporter tells how busy it is."""
    exporter = profile.spec.exporter
    mapping = next((one for one in exporter.metrics if one.name == "utilization"), None) if exporter else None
    if exporter is None or mapping is None:
        return None
    busy = f"avg_over_time(({figures.figure(profile, exporter, mapping)})[{RANGE}s:{EVERY}s])"
    pods = f'count by (namespace, pod, {LABEL_NODE}) (up{{{figures.selector(detector)},endpoint="detector"}} == 1)'
    # Times 1, since there is one series a pod; it brings the pod's name to the node's figure.
    placed = f"sum {_POD} ({pods} * on ({LABEL_NODE}) group_left () {busy})"
    return f"{placed} / on (namespace, pod) ({_met(detector)} or on (namespace, pod) ({placed} * 0 + 1))"
