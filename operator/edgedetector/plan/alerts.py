"""Alerts of a detector on what can be seen at a moment: each has a page in docs/runbooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan import figures
from edgedetector.plan.exporter import LABEL_NODE
from edgedetector.plan.figures import LABEL_EDGEDETECTOR

HIGH_CPU_SHARE: Final = 0.85  # of a node's processors, in the reference deployment's rules
BUSY_SHARE: Final = 0.8  # ceiling of device utilisation in the reference deployment's rules
HOT_CELSIUS: Final = 85  # passively cooled edge cards throttle around 90 degrees Celsius
WAITING_BATCHES: Final = 2  # Triton takes up to two batches an instance ahead: more than those really wait
RESTARTS: Final = 3  # of go2rtc in 15 minutes: a change of cameras makes one, and one more may be on its way

_CAMERA: Final = f"by (namespace, {LABEL_EDGEDETECTOR}, camera)"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule; `lasting` is for how long the expression must hold."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str

    def manifest(self, detector: EdgeDetector, runbooks: str) -> dict[str, Any]:
        """Return the rule as it stands in a PrometheusRule; its page lies below `runbooks`."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            "labels": {
                "severity": self.severity,
                "edgedetector_namespace": detector.namespace,
                LABEL_EDGEDETECTOR: detector.name,
            },
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{self.name}.md",
            },
        }


def alerts(detector: EdgeDetector, profile: AcceleratorProfile) -> list[Alert]:
    """Return all of them, from the node over the device and the models to the cameras and outputs."""
    return [
        _host(detector),
        *_device(detector, profile),
        *_models(detector),
        *(_cameras(detector) if detector.spec.cameras else ()),
        *(_outputs(detector) if detector.spec.outputs.mqtt or detector.spec.outputs.webhook else ()),
    ]


def _host(detector: EdgeDetector) -> Alert:
    """Return the alert on the processors of the nodes on which this detector runs; silent without node-exporter.

    The reference deployment's rule averages over all modes, of which there are eight, and can hardly fire. Where the
    scrape sets no label with the node's name, the host's own name stands in for it.
    """
    idle = 'rate(node_cpu_seconds_total{mode="idle",node%s""}[5m])'
    told = f"1 - avg by (instance, node) ({idle % '!='})"
    hosts = 'max by (instance, node) (label_replace(node_uname_info, "node", "$1", "nodename", "(.+)"))'
    looked_up = f"(1 - avg by (instance) ({idle % '='})) * on (instance) group_left (node) {hosts}"
    return Alert(
        "EdgeDetectorHighCPU",
        f"(({told} or {looked_up}) and on (node) {figures.nodes(detector)}) > {HIGH_CPU_SHARE}",
        "5m",
        "warning",
        "The processors of {{ $labels.node }} are busier than 85 %",
        "They are {{ $value | humanizePercentage }} busy, so that frames are decoded late: use sub-streams, lower frame"
        " rates, or move other work away.",
    )


def _device(detector: EdgeDetector, profile: AcceleratorProfile) -> list[Alert]:
    """Return the alerts on the device's own figures, for the nodes on which this detector runs."""
    exporter = profile.spec.exporter
    if exporter is None:
        return []
    metrics = {mapping.name: mapping for mapping in exporter.metrics}
    found = []
    if "utilization" in metrics:
        busy = figures.here(detector, figures.figure(profile, exporter, metrics["utilization"]))
        told = f"count by ({LABEL_NODE}) ({figures.series(profile, exporter, metrics['utilization'])})"
        found += [
            Alert(
                "EdgeDetectorDeviceBusy",
                f"{busy} > {BUSY_SHARE}",
                "10m",
                "warning",
                "The accelerator on {{ $labels.node }} is busier than 80 %",
                "Utilisation is {{ $value | humanizePercentage }}. Frames will be skipped when demand rises: lower"
                " frame rates, use sub-streams, or compile the model for a smaller number format.",
            ),
            Alert(
                "EdgeDetectorExporterSilent",
                f"{figures.nodes(detector)} unless on ({LABEL_NODE}) {told}",
                "10m",
                "warning",
                "The exporter of the accelerator on {{ $labels.node }} says nothing",
                "Neither a busy nor a hot accelerator would be noticed, and tuning does not know what it uses.",
            ),
        ]
    if "temperature" in metrics:
        hot = figures.here(detector, figures.figure(profile, exporter, metrics["temperature"]))
        found.append(
            Alert(
                "EdgeDetectorDeviceHot",
                f"{hot} > {HOT_CELSIUS}",
                "5m",
                "critical",
                "The accelerator on {{ $labels.node }} is hot",
                "It has {{ $value | humanize }} degrees Celsius and may slow down or switch itself off: look at its"
                " cooling.",
            )
        )
    return found


def _models(detector: EdgeDetector) -> list[Alert]:
    ours = figures.selector(detector)
    serving = detector.spec.serving
    largest = max((model.max_batch_size for model in detector.spec.models), default=0) or 1
    waiting = WAITING_BATCHES * serving.instances * largest
    return [
        Alert(
            "EdgeDetectorQueueGrowing",
            # Microseconds that requests spent in the queue, per second: by Little's law the mean length of the queue.
            f"sum by (namespace, {LABEL_EDGEDETECTOR}, model)"
            f" (rate(nv_inference_queue_duration_us{{{ours}}}[5m])) / 1e6 > {waiting}",
            "5m",
            "warning",
            "Requests queue for model {{ $labels.model }}",
            "On average {{ $value | humanize }} requests wait. Demand is above what the accelerator serves.",
        ),
        Alert(
            "EdgeDetectorModelNotLoaded",
            f"min by (namespace, {LABEL_EDGEDETECTOR}, pod, model)"
            f' (edgedetector_model_state{{{ours},state="Ready"}}) == 0',
            "5m",
            "critical",
            "Model {{ $labels.model }} is not loaded in {{ $labels.pod }}",
            "The condition ModelReady of the EdgeDetector has Triton's own words.",
        ),
        Alert(
            "EdgeDetectorDown",
            f'absent(up{{{ours},endpoint="detector"}} == 1)',
            "2m",
            "critical",
            "No detector pod answers",
            "Nothing is detected. The conditions ServerReady and ModelReady of the EdgeDetector say why.",
        ),
    ]


def _cameras(detector: EdgeDetector) -> list[Alert]:
    ours = figures.selector(detector)
    return [
        Alert(
            "EdgeDetectorCameraSilent",
            f'sum {_CAMERA} (rate(edgedetector_camera_frames_total{{{ours},result="read"}}[2m])) == 0'
            # A camera that gives way under overload is not read, and Degraded tells of it.
            f' unless sum {_CAMERA} (edgedetector_camera_state{{{ours},state="Suspended"}}) > 0',
            "2m",
            "warning",
            "Camera {{ $labels.camera }} sends no frames",
            "Its state and the reason are in the status of the EdgeDetector.",
        ),
        Alert(
            "EdgeDetectorDegraded",
            f"max {_CAMERA} (edgedetector_camera_degradation_rungs{{{ours}}}) > 0",
            "15m",
            "info",
            "Camera {{ $labels.camera }} gives way under overload",
            "It is {{ $value | humanize }} steps down the ladder, as the specification allows. The condition Degraded"
            " says what presses.",
        ),
        Alert(
            "EdgeDetectorDecoderFallback",
            f"max {_CAMERA} (edgedetector_camera_decoder_fallback{{{ours}}}) > 0",
            "15m",
            "info",
            "Camera {{ $labels.camera }} is decoded in software",
            "The profile asks for a hardware decoder. Detection goes on and takes more of the processors.",
        ),
        Alert(
            "EdgeDetectorMediaRestarting",
            f"sum by (namespace, {LABEL_EDGEDETECTOR}) (increase(go2rtc_restarts_total{{{ours}}}[15m])) > {RESTARTS}",
            "1m",
            "warning",
            "The media server keeps restarting",
            "go2rtc began anew {{ $value | humanize }} times in 15 minutes; each time all cameras are without frames"
            " for a moment.",
        ),
    ]


def _outputs(detector: EdgeDetector) -> list[Alert]:
    lost = f'edgedetector_output_reports_total{{{figures.selector(detector)},result=~"dropped|refused|failed"}}'
    return [
        Alert(
            "EdgeDetectorOutputLosing",
            f"sum by (namespace, {LABEL_EDGEDETECTOR}, sink) (increase({lost}[10m])) > 0",
            "5m",
            "warning",
            "Reports to {{ $labels.sink }} are lost",
            "{{ $value | humanize }} of them in ten minutes. Detection goes on; the condition OutputsDelivered has the"
            " receiver's own words.",
        )
    ]
