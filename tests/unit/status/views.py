"""A detector in which all is well, from which a test takes one thing away."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from edgedetector import plan, profiles
from edgedetector.api import names
from edgedetector.api.dataplane import CameraState, DetectorState, ModelState
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.go2rtc.state import MediaState, StreamState
from edgedetector.observe.snapshot import PodView, Scaler, ScalerCondition, Snapshot, Workload
from edgedetector.status.cameras import CameraView, merge
from edgedetector.status.view import View

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = "2026-11-22T10:00:00Z"
JUST_NOW = "2026-11-22T11:59:58Z"


def resource(**spec: Any) -> dict[str, Any]:
    """An EdgeDetector with two cameras, as the API server has it."""
    tensor = {"name": "x", "dims": [4], "dataType": "FP32"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "EdgeDetector",
        "metadata": {"name": "yard", "namespace": "site", "uid": "1", "generation": 3},
        "spec": {
            "acceleratorProfile": "cpu",
            "models": [
                {
                    "name": "people",
                    "source": {"configMap": {"name": "model"}},
                    "maxBatchSize": 4,
                    "inputs": [tensor],
                    "outputs": [tensor],
                }
            ],
            "cameras": [{"name": "gate", "url": "rtsp://a/1"}, {"name": "dock", "url": "rtsp://a/2"}],
            "scaling": {"minReplicas": 1, "maxReplicas": 2},
            **spec,
        },
    }


def profile(name: str = "cpu") -> AcceleratorProfile:
    """A shipped profile."""
    return AcceleratorProfile.parse(next(obj for obj in profiles.load() if obj["metadata"]["name"] == name))


def pod(component: str, name: str = "", **changes: Any) -> PodView:
    """A pod that runs and is ready."""
    name = name or f"yard-{component}-1"
    return dataclasses.replace(PodView(name, f"uid-{name}", component, "node", "10.0.0.1", ready=True), **changes)


def workload(component: str, **changes: Any) -> Workload:
    """A Deployment that is rolled out with one replica."""
    return dataclasses.replace(Workload(f"yard-{component}", True, 1, 1, 1, 1), **changes)


def camera(name: str, **changes: Any) -> CameraState:
    """A camera that is live and detecting."""
    return dataclasses.replace(CameraState(name, "Live", "FramesArriving", "", LONG_AGO, detecting=True), **changes)


def state(accepted: str, *cameras: CameraState, **changes: Any) -> DetectorState:
    """What a pod says that serves the accepted configuration."""
    models = (ModelState("people", "Ready", serving_id=accepted, instances=1),)
    said = DetectorState(3, accepted, models=models, cameras=cameras or (camera("gate"), camera("dock")), transport="")
    return dataclasses.replace(said, **changes)


def media(**changes: Any) -> MediaState:
    """A media server that runs what it should."""
    streams = tuple(StreamState(names.stream(name), "Live") for name in ("gate", "dock"))
    return dataclasses.replace(MediaState(3, "r", ready=True, streams=streams), **changes)


def healthy(**spec: Any) -> View:
    """A view in which detections flow."""
    detector = EdgeDetector.parse(resource(**spec))
    accepted = plan.serving_config(detector, profile())
    able = ScalerCondition("True", "ValidMetricFound", "")
    snapshot = Snapshot(
        workloads={names.triton("yard"): workload("triton"), names.media("yard"): workload("media")},
        scaler=Scaler({"AbleToScale": able, "ScalingActive": able}),
        pods=(pod("triton"), pod("media")),
        states={"yard-triton-1": state(accepted.id)},
        media=media(),
        served=frozenset({"ServiceMonitor", "PrometheusRule"}),
    )
    cameras = _merged(detector, snapshot)
    return View(detector, profile(), accepted, snapshot, NOW, cameras)


def seen(view: View, **changes: Any) -> View:
    """The view with another snapshot, its cameras merged anew."""
    snapshot = dataclasses.replace(view.snapshot, **changes)
    return dataclasses.replace(view, snapshot=snapshot, cameras=_merged(view.detector, snapshot))


def _merged(detector: EdgeDetector, snapshot: Snapshot) -> tuple[CameraView, ...]:
    spec = detector.spec
    return merge(spec.camera_names, snapshot, spec.main_stream_cameras, suspended=detector.suspend)


def said(view: View, *states: DetectorState) -> View:
    """The view with other answers of the inference pods."""
    return seen(view, states={f"yard-triton-{n}": answer for n, answer in enumerate(states, start=1)})
