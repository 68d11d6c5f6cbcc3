"""The checks of a detector, in the order in which one depends on another.

Each gives status, reason, message and whether somebody has to act. Those that Ready hangs on are functions of what is
meant to run, so that they judge it also while the present specification cannot be planned; the others need the whole
`View`. Messages say what is and what helps; they hold no figure that changes while nothing happens, since each change
is a write.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions, names
from edgedetector.observe import words
from edgedetector.status import workloads
from edgedetector.status.cameras import BROKEN, CONNECTING, LIVE, SUSPENDED, UNAUTHORIZED
from edgedetector.status.degradation import degraded
from edgedetector.status.outputs import outputs_delivered
from edgedetector.status.scaling import scaling_ready
from edgedetector.status.shared_memory import shared_memory_ready
from edgedetector.status.tuning import tuning_active
from edgedetector.status.unserved import spec_served
from edgedetector.status.view import Running, Verdict, View, blocked, fine, progressing, unknown
from edgedetector.status.workloads import NAMED, count, listed
from edgedetector.triton import errors as triton_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from edgedetector.api.dataplane import DetectorState, ModelServing, ModelState, ServingConfig
    from edgedetector.go2rtc.state import MediaState
    from edgedetector.status.cameras import CameraView

# A media server that was replaced is read again within 2 s and a keyframe interval of some seconds.
RECONNECTION: Final = timedelta(seconds=10)

_NOT_DIALLED: Final = "Pending"  # a state of the media server's stream: go2rtc does not have it


def server_ready(running: Running) -> Verdict:
    """Judge whether the inference pods of the present generation are up."""
    if running.suspended:
        return _suspended()
    workload = running.snapshot.workloads.get(names.triton(running.name))
    verdict = workloads.judge(workload, running.snapshot.of(names.COMPONENT_TRITON), running)
    # A replica more, on its way or with no node to go to, is the autoscaler's affair: the others serve.
    if verdict.reason in _REPLICA_MORE and workload is not None and workload.serves:
        return fine(conditions.REASON_AS_EXPECTED, "the inference pods that the cameras need are up")
    return verdict


_REPLICA_MORE: Final = frozenset(
    {
        conditions.REASON_UNSCHEDULABLE,
        conditions.REASON_ACCELERATOR_TAKEN,
        conditions.REASON_ACCELERATOR_MISSING,
        conditions.REASON_ROLLING_OUT,
    }
)


def media_ready(running: Running) -> Verdict:
    """Judge whether the media server is up and go2rtc runs the present cameras."""
    if running.suspended:
        return _suspended()
    workload = running.snapshot.workloads.get(names.media(running.name))
    verdict = workloads.judge(workload, running.snapshot.of(names.COMPONENT_MEDIA), running)
    return verdict if verdict.status != conditions.TRUE else _go2rtc(running.snapshot.media, running)


def _go2rtc(media: MediaState | None, running: Running) -> Verdict:
    if media is None:
        return unknown("the media server has not answered yet")
    if media.generation != running.generations.get(names.COMPONENT_MEDIA):
        return progressing(conditions.REASON_PROGRESSING, "the media server has not taken the new cameras yet")
    if not media.ready:
        return progressing(conditions.REASON_PROGRESSING, media.message or "the media server is starting")
    found = {stream.stream: stream.state for stream in media.streams}
    lacking = [name for stream, name in running.streams.items() if found.get(stream, _NOT_DIALLED) == _NOT_DIALLED]
    if lacking:
        text = f"go2rtc does not run the streams of {listed(list(dict.fromkeys(lacking)))} yet"
        return progressing(conditions.REASON_PROGRESSING, text)
    return fine(conditions.REASON_AS_EXPECTED, "the media server has the cameras of this generation")


def model_ready(running: Running) -> Verdict:
    """Judge whether every inference pod serves every model with the accepted configuration."""
    if running.suspended:
        return _suspended()
    # Files that are wrong hold a pod before anything in it could answer.
    if held := workloads.held_by(running.snapshot.of(names.COMPONENT_TRITON), conditions.MODEL_FILE_REASONS):
        return blocked(held.reason, held.message, profile=running.profile)
    states = _serving(running)
    if not states or running.accepted is None:
        return unknown("no inference pod has answered yet")
    for model in running.accepted.models:
        for state in states:
            verdict = _model(model, state, running.accepted.id, running.profile, running.passing)
            if verdict.status != conditions.TRUE:
                return verdict
    return fine(conditions.REASON_MODELS_LOADED, listed(_named(running.accepted)) + " loaded")


def _named(accepted: ServingConfig) -> list[str]:
    return [model.name for model in accepted.models if model.platform != names.ENSEMBLE]


def _serving(running: Running) -> tuple[DetectorState, ...]:
    """Return the states that count: while every camera is served, those of the pods that serve one, else all."""
    states = running.snapshot.states
    if running.cameras and all(camera.detecting for camera in running.cameras):
        busy = {camera.replica for camera in running.cameras}
        return tuple(state for pod, state in states.items() if pod in busy or _failed(state))
    return tuple(states.values())


def _failed(state: DetectorState) -> bool:
    return any(model.state == "Failed" for model in state.models)


def _model(model: ModelServing, state: DetectorState, accepted: str, profile: str, passing: Collection[str]) -> Verdict:
    found = next((item for item in state.models if item.name == model.name), None)
    # One that tuning is changing serves all the while, also when what was tried does not load.
    if found is not None and found.serving_id in passing:
        return fine(conditions.REASON_MODELS_LOADED, "")
    if found is not None and found.state == "Failed":
        return _model_failed(found, profile)
    if found is None or found.state != "Ready":
        return progressing(conditions.REASON_MODEL_LOADING, f"model {model.name} is loading")
    if {state.accepted_id, found.serving_id} != {accepted}:
        text = f"model {model.name} is taking its new serving configuration"
        return progressing(conditions.REASON_SERVING_CONFIG_DIFFERS, text)
    # As Triton says, whatever was published.
    if found.instances and found.instances != model.instances:
        text = f"model {model.name} runs in {found.instances} instances and not yet in {model.instances}"
        return progressing(conditions.REASON_SERVING_CONFIG_DIFFERS, text)
    return fine(conditions.REASON_MODELS_LOADED, "")


def _model_failed(found: ModelState, profile: str) -> Verdict:
    said = words.of_program(found.message or "does not load", conditions.REASON_MODEL_LOAD_FAILED)
    reason = found.reason if found.reason in conditions.MODEL_FILE_REASONS else said.reason
    text = said.message.removeprefix(f"load {found.name}: ").removeprefix(f"model {found.name}: ")
    field = triton_errors.field(text) if reason == conditions.REASON_MODEL_LOAD_FAILED else ""
    where = f"{names.model_field(found.name)}.{field}: " if field else ""
    return blocked(reason, f"model {found.name}: {where}{text}", profile=profile)


def streams_ready(running: Running) -> Verdict:
    """Judge whether every camera is live and frames of it are inferred."""
    if running.suspended:
        return _suspended()
    verdict = streams(running.cameras, running.now)
    wanted = running.generations.get(names.COMPONENT_TRITON)
    old = any(state.generation != wanted for state in _serving(running))
    if running.cameras and old and verdict.status == conditions.TRUE:
        return progressing(conditions.REASON_PROGRESSING, "the inference pods are taking the new configuration")
    return verdict


def streams(cameras: Sequence[CameraView], now: datetime) -> Verdict:
    """Judge the cameras alone, whatever is planned for them."""
    if not cameras:
        return fine(conditions.REASON_NO_CAMERAS, "no cameras are configured")
    if all(camera.state == SUSPENDED and not camera.paused for camera in cameras):
        return _suspended()
    if all(camera.state == SUSPENDED for camera in cameras):
        return progressing(conditions.REASON_GIVING_WAY, f"no camera is served: {cameras[0].degraded}")
    broken = [camera for camera in cameras if _needs_somebody(camera, now)]
    if broken:
        return blocked(_camera_reason(broken), _cameras(broken, len(cameras)))
    waiting = [camera for camera in cameras if not (camera.paused or (camera.state == LIVE and camera.detecting))]
    if waiting:
        return progressing(conditions.REASON_STREAMS_CONNECTING, _cameras(waiting, len(cameras)))
    paused = sum(camera.paused for camera in cameras)
    said = f"; {count(paused, 'camera')} suspended under overload" if paused else ""
    return fine(conditions.REASON_STREAMS_LIVE, f"{count(len(cameras) - paused, 'camera')} live and detecting{said}")


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
    return f"{len(some)} of {count(total, 'camera', verb=False)} without detections: {'; '.join(said)}{more}"


def _camera(camera: CameraView) -> str:
    if camera.message:
        return camera.message
    if camera.state == LIVE:
        return "live, no frame inferred yet"
    return "connecting" if camera.state == CONNECTING else camera.reason or camera.state


def tuning(view: View) -> Verdict:
    """Judge tuning, which observes only while every model is served as accepted."""
    verdicts = ((name, check(view.running)) for name, check in GATING if name in SERVED)
    awaited = next(
        (f"{name} ({verdict.reason})" for name, verdict in verdicts if verdict.status != conditions.TRUE), ""
    )
    return tuning_active(view, awaited)


def monitoring_ready(view: View) -> Verdict:
    """Judge whether Prometheus is told what to scrape and when to alert."""
    if not view.detector.spec.monitoring.enabled:
        return fine(conditions.REASON_DISABLED, "monitoring is switched off in the specification")
    missing = sorted({"PrometheusRule", "ServiceMonitor"} - view.snapshot.served)
    if missing:
        kinds = " and ".join(missing) + (" are" if len(missing) > 1 else " is")
        return blocked(conditions.REASON_MONITORING_NOT_INSTALLED, f"{kinds} not served here")
    return fine(conditions.REASON_MONITORING_CONFIGURED, "ServiceMonitor and PrometheusRule exist")


# Ready hangs on these.
GATING: Final[tuple[tuple[str, Callable[[Running], Verdict]], ...]] = (
    (conditions.SERVER_READY, server_ready),
    (conditions.MEDIA_READY, media_ready),
    (conditions.MODEL_READY, model_ready),
    (conditions.STREAMS_READY, streams_ready),
)

# Of these, those without which nothing that is observed means anything.
SERVED: Final = frozenset({conditions.SERVER_READY, conditions.MODEL_READY})

# Detections flow without an autoscaler's metric, without Prometheus and without what is not served yet: these inform
# and gate nothing.
INFORMING: Final[tuple[tuple[str, Callable[[View], Verdict]], ...]] = (
    (conditions.SCALING_READY, scaling_ready),
    (conditions.MONITORING_READY, monitoring_ready),
    (conditions.DEGRADED, degraded),
    (conditions.SHARED_MEMORY_READY, shared_memory_ready),
    (conditions.TUNING_ACTIVE, tuning),
    (conditions.SPEC_SERVED, spec_served),
    (conditions.OUTPUTS_DELIVERED, outputs_delivered),
)


def _suspended() -> Verdict:
    return progressing(conditions.REASON_SUSPENDED, "the detector is suspended")
