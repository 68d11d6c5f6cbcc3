"""The checks of a detector, in the order in which one depends on another.

Each is a function of the `View` that gives status, reason, message and whether somebody has to act. Messages say what
is and what helps; they hold no figure that changes while nothing happens, since each change is a write.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions, names
from edgedetector.status.cameras import BROKEN, CONNECTING, LIVE, SUSPENDED, UNAUTHORIZED
from edgedetector.status.unserved import spec_served, tuning_active
from edgedetector.status.view import Verdict, View, blocked, fine, progressing, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgedetector.api.dataplane import DetectorState, ModelServing
    from edgedetector.observe.snapshot import PodView, Workload
    from edgedetector.status.cameras import CameraView

# Of many alike things a message names the first few: it stays one line with 1,000 cameras too.
NAMED: Final = 3

# A new pod waits for a device while the old one ends: only one that waits longer has no place to go.
PATIENCE: Final = timedelta(seconds=60)

# A media server that was replaced is read again within 2 s and a keyframe interval of some seconds.
RECONNECTION: Final = timedelta(seconds=10)


def server_ready(view: View) -> Verdict:
    """Judge whether the inference pods of the present generation are up."""
    if view.detector.suspend:
        return _suspended()
    workload = view.snapshot.workloads.get(names.triton(view.detector.name))
    pods = view.snapshot.of(names.COMPONENT_TRITON)
    verdict = _workload(workload, pods, view)
    # A replica more, on its way or with no node to go to, is the autoscaler's affair: the others serve.
    more = verdict.reason in {conditions.REASON_UNSCHEDULABLE, conditions.REASON_ROLLING_OUT}
    if more and workload is not None and workload.serves:
        return fine(conditions.REASON_AS_EXPECTED, "the inference pods that the cameras need are up")
    return verdict


def media_ready(view: View) -> Verdict:
    """Judge whether the media server is up and has the present cameras."""
    if view.detector.suspend:
        return _suspended()
    workload = view.snapshot.workloads.get(names.media(view.detector.name))
    verdict = _workload(workload, view.snapshot.of(names.COMPONENT_MEDIA), view)
    if verdict.status != conditions.TRUE:
        return verdict
    media = view.snapshot.media
    if media is None:
        return unknown("the media server has not answered yet")
    if media.generation != view.detector.generation:
        return progressing(conditions.REASON_PROGRESSING, "the media server has not taken the new cameras yet")
    if not media.ready:
        return progressing(conditions.REASON_PROGRESSING, media.message or "the media server is starting")
    return fine(conditions.REASON_AS_EXPECTED, "the media server has the cameras of this generation")


def model_ready(view: View) -> Verdict:
    """Judge whether every inference pod serves every model with the accepted configuration."""
    if view.detector.suspend:
        return _suspended()
    states = _serving(view)
    if not states:
        return unknown("no inference pod has answered yet")
    for model in view.accepted.models:
        for state in states:
            verdict = _model(model, state, view.accepted.id)
            if verdict.status != conditions.TRUE:
                return verdict
    return fine(conditions.REASON_MODELS_LOADED, _list([model.name for model in view.accepted.models]) + " loaded")


def _serving(view: View) -> tuple[DetectorState, ...]:
    """Return the states that count: while every camera is served, those of the pods that serve one, else all."""
    states = view.snapshot.states
    if view.cameras and all(camera.detecting for camera in view.cameras):
        busy = {camera.replica for camera in view.cameras}
        return tuple(state for pod, state in states.items() if pod in busy or _failed(state))
    return tuple(states.values())


def _failed(state: DetectorState) -> bool:
    return any(model.state == "Failed" for model in state.models)


def _model(model: ModelServing, state: DetectorState, accepted: str) -> Verdict:
    found = next((item for item in state.models if item.name == model.name), None)
    if found is not None and found.state == "Failed":
        return blocked(conditions.REASON_MODEL_LOAD_FAILED, f"model {model.name}: {found.message or 'does not load'}")
    if found is None or found.state != "Ready":
        return progressing(conditions.REASON_MODEL_LOADING, f"model {model.name} is loading")
    on_trial = state.probe_outcome == "Running" and found.serving_id == state.probe_id
    if state.accepted_id != accepted or (found.serving_id != accepted and not on_trial):
        return progressing(
            conditions.REASON_SERVING_CONFIG_DIFFERS, f"model {model.name} is taking its new serving configuration"
        )
    return fine(conditions.REASON_MODELS_LOADED, "")


def streams_ready(view: View) -> Verdict:
    """Judge whether every camera is live and frames of it are inferred."""
    if view.detector.suspend:
        return _suspended()
    verdict = streams(view.cameras, view.now)
    old = any(state.generation != view.detector.generation for state in _serving(view))
    if view.cameras and old and verdict.status == conditions.TRUE:
        return progressing(conditions.REASON_PROGRESSING, "the inference pods are taking the new configuration")
    return verdict


def streams(cameras: Sequence[CameraView], now: datetime) -> Verdict:
    """Judge the cameras alone, whatever is planned for them."""
    if not cameras:
        return fine(conditions.REASON_NO_CAMERAS, "no cameras are configured")
    if all(camera.state == SUSPENDED for camera in cameras):
        return _suspended()
    broken = [camera for camera in cameras if _needs_somebody(camera, now)]
    if broken:
        return blocked(_camera_reason(broken), _cameras(broken, len(cameras)))
    waiting = [camera for camera in cameras if not (camera.state == LIVE and camera.detecting)]
    if waiting:
        return progressing(conditions.REASON_STREAMS_CONNECTING, _cameras(waiting, len(cameras)))
    return fine(conditions.REASON_STREAMS_LIVE, f"{_count(len(cameras), 'camera')} live and detecting")


def _needs_somebody(camera: CameraView, now: datetime) -> bool:
    """Tell whether a camera is broken for longer than a reconnection takes; a password does not mend itself."""
    if camera.state not in BROKEN:
        return False
    lasting = camera.state == UNAUTHORIZED or camera.reason == conditions.REASON_SECRET_MISSING
    return lasting or not camera.changed or now - camera.changed >= RECONNECTION


def _camera_reason(broken: Sequence[CameraView]) -> str:
    if all(camera.state == UNAUTHORIZED for camera in broken):
        return conditions.REASON_CAMERA_UNAUTHORIZED
    if all(camera.reason == conditions.REASON_SECRET_MISSING for camera in broken):
        return conditions.REASON_SECRET_MISSING
    return conditions.REASON_CAMERAS_FAILING


def _cameras(some: Sequence[CameraView], total: int) -> str:
    said = [f"{camera.name}: {_camera(camera)}" for camera in some[:NAMED]]
    more = f"; and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return f"{len(some)} of {_count(total, 'camera', verb=False)} without detections: {'; '.join(said)}{more}"


def _camera(camera: CameraView) -> str:
    if camera.message:
        return camera.message
    if camera.state == LIVE:
        return "live, no frame inferred yet"
    return "connecting" if camera.state == CONNECTING else camera.reason or camera.state


def scaling_ready(view: View) -> Verdict:
    """Judge whether the autoscaler can read its metric and move."""
    scaling = view.detector.spec.scaling
    if view.detector.suspend or scaling.min_replicas == scaling.max_replicas:
        return fine(conditions.REASON_DISABLED, "the number of replicas is fixed")
    held = [pod for pod in view.snapshot.of(names.COMPONENT_TRITON) if _out_of_patience(pod, view.now)]
    if held and held[0].problem:
        return blocked(conditions.REASON_REPLICAS_CAPPED, f"no room for another replica: {held[0].problem.message}")
    if view.snapshot.scaler is None:
        return progressing(conditions.REASON_PROGRESSING, "the autoscaler is being created")
    found = view.snapshot.scaler.conditions
    for name in ("AbleToScale", "ScalingActive"):
        if name in found and found[name].status == conditions.FALSE:
            return blocked(conditions.REASON_METRICS_UNAVAILABLE, found[name].message or found[name].reason)
    if "ScalingActive" not in found:
        return unknown("the autoscaler has not looked at the replicas yet")
    return fine(conditions.REASON_SCALING_ACTIVE, "the autoscaler reads the CPU use of the replicas")


def monitoring_ready(view: View) -> Verdict:
    """Judge whether Prometheus is told what to scrape and when to alert."""
    if not view.detector.spec.monitoring.enabled:
        return fine(conditions.REASON_DISABLED, "monitoring is switched off in the specification")
    missing = sorted({"PrometheusRule", "ServiceMonitor"} - view.snapshot.served)
    if missing:
        text = f"{' and '.join(missing)} are not served here: install the Prometheus Operator or set monitoring.enabled"
        return blocked(
            conditions.REASON_MONITORING_NOT_INSTALLED, f"{text} to false; they are created as soon as they are"
        )
    return fine(conditions.REASON_MONITORING_CONFIGURED, "ServiceMonitor and PrometheusRule exist")


CHECKS: Final[tuple[tuple[str, Callable[[View], Verdict]], ...]] = (
    (conditions.SERVER_READY, server_ready),
    (conditions.MEDIA_READY, media_ready),
    (conditions.MODEL_READY, model_ready),
    (conditions.STREAMS_READY, streams_ready),
    (conditions.SCALING_READY, scaling_ready),
    (conditions.MONITORING_READY, monitoring_ready),
    (conditions.TUNING_ACTIVE, tuning_active),
    (conditions.SPEC_SERVED, spec_served),
)

# Detections flow without an autoscaler's metric, without Prometheus and without what is not served yet: those inform
# and gate nothing.
GATING: Final = (conditions.SERVER_READY, conditions.MEDIA_READY, conditions.MODEL_READY, conditions.STREAMS_READY)


def _suspended() -> Verdict:
    return progressing(conditions.REASON_SUSPENDED, "the detector is suspended")


def _workload(workload: Workload | None, pods: Iterable[PodView], view: View) -> Verdict:
    if workload is None:
        return progressing(conditions.REASON_PROGRESSING, "being created")
    if workload.rolled_out:
        return fine(conditions.REASON_AS_EXPECTED, f"{_count(workload.desired, 'pod')} up")
    if workload.failure:
        return blocked(conditions.REASON_UNAVAILABLE, workload.failure)
    for pod in pods:
        if pod.unschedulable_since:
            return _unschedulable(pod, view)
        if pod.problem is not None and not pod.ready:
            return blocked(pod.problem.reason, pod.problem.message)
    return progressing(conditions.REASON_ROLLING_OUT, "pods are starting")


def _unschedulable(pod: PodView, view: View) -> Verdict:
    words = pod.problem.message if pod.problem else ""
    if not _out_of_patience(pod, view.now):
        return progressing(conditions.REASON_UNSCHEDULABLE, f"waiting for a node: {words}")
    spec, labels = view.profile.spec, dict(view.detector.spec.node_selector)
    wants = []
    if pod.component == names.COMPONENT_TRITON:
        labels = {**spec.node_selector, **labels}
        wants = [f"{spec.resource.count} {spec.resource.name}"] if spec.resource.name else []
    wants += [f"{key}={value}" for key, value in sorted(labels.items())]
    needs = f" that offers {', '.join(wants)}" if wants else ""
    return blocked(conditions.REASON_UNSCHEDULABLE, f"no node has room for a pod{needs}: {words}")


def _out_of_patience(pod: PodView, now: datetime) -> bool:
    return bool(pod.unschedulable_since) and now - datetime.fromisoformat(pod.unschedulable_since) >= PATIENCE


def _count(number: int, noun: str, *, verb: bool = True) -> str:
    noun, is_or_are = (noun, " is") if number == 1 else (f"{noun}s", " are")
    return f"{number} {noun}{is_or_are if verb else ''}"


def _list(items: Sequence[str]) -> str:
    return ", ".join(items[:NAMED]) + (f" and {len(items) - NAMED} more" if len(items) > NAMED else "")
