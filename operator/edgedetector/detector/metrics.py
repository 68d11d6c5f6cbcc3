"""What the detector tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Sample

from edgedetector.api import buckets
from edgedetector.api.dataplane import CameraState, ModelState
from edgedetector.detector.cpu import STAGES, Spent
from edgedetector.detector.lifecycle import State
from edgedetector.detector.reading import Reading

_MODEL_STATES: Final = ("Loading", "Ready", "Failed")


class Metrics:
    """All series of the process, in a registry of their own."""

    def __init__(self) -> None:
        self._models_shown: tuple[tuple[str, str], ...] = ()
        self._decoding_shown: dict[str, tuple[str, str, str]] = {}
        self._serving_shown: tuple[str, str, str] | None = None
        self._spent: dict[str, tuple[Counter, Counter]] = {}
        self._counted: dict[str, dict[str, Counter]] = {}
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.frames = Counter(
            "edgedetector_camera_frames",
            "Frames by what became of them: read = inferred + skipped + failed + in flight.",
            ["camera", "result"],
            registry=registry,
        )
        self.left_out = Counter(
            "edgedetector_camera_frames_left_out",
            "Frames that were left out, by why: ladder (of the target rate, what degradation takes), motion (nothing"
            " moved), late (a newer one came first, or it could not be sent in time).",
            ["camera", "reason"],
            registry=registry,
        )
        self.detections = Counter(
            "edgedetector_camera_detections", "Objects found.", ["camera", "model", "label"], registry=registry
        )
        self.age = Histogram(
            "edgedetector_camera_frame_age_seconds",
            "From a frame's decoding to its result.",
            ["camera"],
            buckets=buckets.LATENCY,
            registry=registry,
        )
        self.inference = Histogram(
            "edgedetector_camera_inference_seconds",
            "From request to answer of Triton, transport included.",
            ["camera"],
            buckets=buckets.LATENCY,
            registry=registry,
        )
        self.state = Gauge(
            "edgedetector_camera_state", "1 for the present state.", ["camera", "state"], registry=registry
        )
        self.opened = Counter(
            "edgedetector_camera_opens", "Attempts to open the stream.", ["camera"], registry=registry
        )
        self.target = Gauge(
            "edgedetector_camera_target_frame_rate",
            "Frames a second that are asked for.",
            ["camera"],
            registry=registry,
        )
        self.offered = Gauge(
            "edgedetector_camera_offered_frame_rate",
            "Frames a second that the specification wants, whatever the degradation ladder takes.",
            ["camera"],
            registry=registry,
        )
        self.decoder = Gauge(
            "edgedetector_camera_decoder_info",
            "1 for what decodes the stream: software, or hardware or a decoder by name.",
            ["camera", "codec", "decoder"],
            registry=registry,
        )
        self.fallback = Gauge(
            "edgedetector_camera_decoder_fallback",
            "1 if the stream is decoded in software though the profile asks for hardware.",
            ["camera"],
            registry=registry,
        )
        self.stages = Counter(
            "edgedetector_stage_seconds",
            f"Wall time by stage: {', '.join(STAGES)}.",
            ["stage"],
            registry=registry,
        )
        self.cpu = Counter(
            "edgedetector_stage_cpu_seconds",
            "CPU time by stage, of the threads that work in it; far below the wall time they wait.",
            ["stage"],
            registry=registry,
        )
        self.dropped = Counter(
            "edgedetector_model_dropped_boxes",
            "Rows of a model's output that were no boxes, by reason.",
            ["model", "reason"],
            registry=registry,
        )
        self.rungs = Gauge(
            "edgedetector_camera_degradation_rungs",
            "Rungs of the degradation ladder that the camera is down; 0: it gives up nothing.",
            ["camera"],
            registry=registry,
        )
        self.moves = Counter(
            "edgedetector_degradation_moves",
            "Moves of the degradation ladder, by direction and what pressed.",
            ["direction", "signal"],
            registry=registry,
        )
        self.pressure = Gauge(
            "edgedetector_pressure_ratio",
            "What presses on the box, over its limit: above 1 something gives way.",
            ["signal"],
            registry=registry,
        )
        self.reports = Counter(
            "edgedetector_output_reports",
            "Reports by output and what became of them: queued = sent + dropped + refused + failed + waiting; retried:"
            " attempts.",
            ["sink", "result"],
            registry=registry,
        )
        self.models = Gauge(
            "edgedetector_model_state", "1 for the present state.", ["model", "state"], registry=registry
        )
        self.serving = Gauge(
            "edgedetector_serving_config_info",
            "Serving config in force.",
            ["accepted", "probe", "outcome"],
            registry=registry,
        )

    def add_output(self, sink: str) -> None:
        """Let an output's counters begin at 0, so that their first increase is not lost."""
        for result in ("queued", "sent", "dropped", "refused", "failed", "retried"):
            self.reports.labels(sink, result)

    def reported(self, sink: str, result: str, number: int) -> None:
        """Count what became of reports; see `outputs.Count`."""
        self.reports.labels(sink, result).inc(number)

    def add_camera(self, camera: str, rate: float) -> None:
        """Let a camera's counters begin at 0, so that their first increase is not lost."""
        for result in ("read", "skipped", "inferred", "failed"):
            self.frames.labels(camera, result)
        for reason in ("ladder", "motion", "late"):
            self.left_out.labels(camera, reason)
        self.target.labels(camera).set(rate)
        self.offered.labels(camera).set(rate)
        self.rungs.labels(camera).set(0)

    def decoding(self, camera: str, reading: Reading) -> None:
        """Show what decodes a camera's stream."""
        if self._decoding_shown.get(camera) == (reading.codec, reading.decoder, reading.fallback):
            return
        self._decoding_shown[camera] = reading.codec, reading.decoder, reading.fallback
        self.decoder.remove_by_labels({"camera": camera})
        self.decoder.labels(camera, reading.codec, reading.decoder).set(1)
        self.fallback.labels(camera).set(bool(reading.fallback))

    def spent(self, stage: str, spent: Spent) -> None:
        """Count what a piece of work took."""
        known = self._spent.get(stage)
        if known is None:
            # Looking a series up takes longer than counting, and this is called some ten times a frame.
            known = self._spent[stage] = self.stages.labels(stage), self.cpu.labels(stage)
        wall, cpu = known
        wall.inc(spent.wall)
        cpu.inc(spent.cpu)

    def count(self, camera: str, result: str, number: int = 1) -> None:
        """Count what became of frames."""
        series = self._counted.setdefault(camera, {})
        known = series.get(result)
        if known is None:
            # Kept, since looking a series up takes longer than counting.
            known = series[result] = self.frames.labels(camera, result)
        known.inc(number)

    def remove_camera(self, camera: str) -> None:
        """Drop the series of a camera that was removed."""
        self._decoding_shown.pop(camera, None)
        self._counted.pop(camera, None)
        per_camera = (self.frames, self.detections, self.age, self.inference, self.state, self.opened, self.target)
        for metric in (*per_camera, self.left_out, self.offered, self.rungs):
            metric.remove_by_labels({"camera": camera})
        for gauge in (self.decoder, self.fallback):
            gauge.remove_by_labels({"camera": camera})

    def show(self, cameras: Iterable[CameraState], models: Iterable[ModelState], serving: tuple[str, str, str]) -> None:
        """Set the gauges of states; `serving` is accepted id, probe id and outcome."""
        for camera in cameras:
            for state in State:
                self.state.labels(camera.name, state).set(camera.state == state)
        shown = tuple((model.name, model.state) for model in models)
        if shown != self._models_shown:
            self._models_shown = shown
            self.models.clear()
            for model, now in shown:
                for name in _MODEL_STATES:
                    self.models.labels(model, name).set(now == name)
        if serving != self._serving_shown:
            self._serving_shown = serving
            self.serving.clear()
            self.serving.labels(*serving).set(1)

    def stage_seconds(self) -> dict[str, float]:
        """Return the CPU seconds by stage."""
        return {sample.labels["stage"]: sample.value for sample in _samples(self.cpu)}

    def ladder(self) -> tuple[int, int]:
        """Return the moves of the ladder so far, and the rungs that all cameras together are down."""
        moves, rungs = (int(sum(one.value for one in _samples(metric))) for metric in (self.moves, self.rungs))
        return moves, rungs

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)


def _samples(metric: Counter | Gauge) -> list[Sample]:
    return [sample for family in metric.collect() for sample in family.samples]
