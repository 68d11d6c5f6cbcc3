"""What Prometheus is told: ServiceMonitor and PrometheusRule of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile, MetricMapping
from edgedetector.api.quantities import format_duration
from edgedetector.plan.common import COMPONENT_MONITORING, detector_metadata
from edgedetector.plan.exporter import LABEL_ACCELERATOR_PROFILE, LABEL_NODE

LABEL_EDGEDETECTOR: Final = "edgedetector"
# A page an alert, from the root of this repository: where that is published, nothing here knows.
RUNBOOKS: Final = "docs/runbooks"

HIGH_CPU_SHARE: Final = 0.85  # of a node's processors, in the reference deployment's rules
BUSY_SHARE: Final = 0.8  # ceiling of device utilisation in the reference deployment's rules
HOT_CELSIUS: Final = 85  # passively cooled edge cards throttle around 90 degrees Celsius
WAITING_BATCHES: Final = 2  # Triton takes up to two batches an instance ahead: more than those really wait


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule; `lasting` is for how long the expression must hold."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str

    def manifest(self, detector: EdgeDetector) -> dict[str, Any]:
        """Return the rule as it stands in a PrometheusRule."""
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
                "runbook_url": f"{RUNBOOKS}/{self.name}.md",
            },
        }


def service_monitor(detector: EdgeDetector) -> dict[str, Any] | None:
    """Return ServiceMonitor NAME for Triton, detector and media server; absent if monitoring is off."""
    monitoring = detector.spec.monitoring
    if not monitoring.enabled:
        return None
    components = [names.COMPONENT_TRITON, names.COMPONENT_MEDIA]
    interval = format_duration(monitoring.scrape_interval)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": _metadata(detector),
        "spec": {
            "selector": {
                "matchLabels": {names.LABEL_DETECTOR: detector.name},
                "matchExpressions": [{"key": names.LABEL_COMPONENT, "operator": "In", "values": components}],
            },
            "endpoints": [
                {
                    "port": port,
                    "path": "/metrics",
                    "interval": interval,
                    "relabelings": [
                        {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": LABEL_NODE},
                        {"targetLabel": LABEL_EDGEDETECTOR, "replacement": detector.name},
                    ],
                }
                for port in ("metrics", "detector", "api")
            ],
        },
    }


def prometheus_rule(detector: EdgeDetector, profile: AcceleratorProfile) -> dict[str, Any] | None:
    """Return PrometheusRule NAME; absent if monitoring is off, or while the detector is suspended on purpose."""
    if not detector.spec.monitoring.enabled or detector.suspend:
        return None
    alerts = [_host_alert(detector), *_device_alerts(detector, profile), *_detector_alerts(detector)]
    rules = [alert.manifest(detector) for alert in alerts]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(detector),
        "spec": {"groups": [{"name": f"edgedetector.{detector.namespace}.{detector.name}", "rules": rules}]},
    }


def _host_alert(detector: EdgeDetector) -> Alert:
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
        f"(({told} or {looked_up}) and on (node) {_nodes(detector)}) > {HIGH_CPU_SHARE}",
        "5m",
        "warning",
        "The processors of {{ $labels.node }} are busier than 85 %",
        "They are {{ $value | humanizePercentage }} busy, so that frames are decoded late: use sub-streams, lower frame"
        " rates, or move other work away.",
    )


def _device_alerts(detector: EdgeDetector, profile: AcceleratorProfile) -> list[Alert]:
    """Return the alerts on the device's own figures, for the nodes on which this detector runs."""
    exporter = profile.spec.exporter
    metrics = {mapping.name: mapping for mapping in exporter.metrics} if exporter else {}
    alerts = []
    if "utilization" in metrics:
        alerts.append(
            Alert(
                "EdgeDetectorDeviceBusy",
                f"{_device(metrics['utilization'], detector, profile)} > {BUSY_SHARE}",
                "10m",
                "warning",
                "The accelerator on {{ $labels.node }} is busier than 80 %",
                "Utilisation is {{ $value | humanizePercentage }}. Frames will be skipped when demand rises: lower"
                " frame rates, use sub-streams, or compile the model for a smaller number format.",
            )
        )
    if "temperature" in metrics:
        alerts.append(
            Alert(
                "EdgeDetectorDeviceHot",
                f"{_device(metrics['temperature'], detector, profile)} > {HOT_CELSIUS}",
                "5m",
                "critical",
                "The accelerator on {{ $labels.node }} is hot",
                "It has {{ $value | humanize }} degrees Celsius and may slow down or switch itself off: look at its"
                " cooling.",
            )
        )
    return alerts


def _detector_alerts(detector: EdgeDetector) -> list[Alert]:
    here = f'namespace="{detector.namespace}",{LABEL_EDGEDETECTOR}="{detector.name}"'
    serving = detector.spec.serving
    largest = max((model.max_batch_size for model in detector.spec.models), default=0) or 1
    waiting = WAITING_BATCHES * serving.instances * largest
    alerts = [
        Alert(
            "EdgeDetectorQueueGrowing",
            # Microseconds that requests spent in the queue, per second: by Little's law the mean length of the queue.
            f"sum by (namespace, {LABEL_EDGEDETECTOR}, model)"
            f" (rate(nv_inference_queue_duration_us{{{here}}}[5m])) / 1e6 > {waiting}",
            "5m",
            "warning",
            "Requests queue for model {{ $labels.model }}",
            "On average {{ $value | humanize }} requests wait. Demand is above what the accelerator serves.",
        ),
        Alert(
            "EdgeDetectorModelNotLoaded",
            f"min by (namespace, {LABEL_EDGEDETECTOR}, pod, model)"
            f' (edgedetector_model_state{{{here},state="Ready"}}) == 0',
            "5m",
            "critical",
            "Model {{ $labels.model }} is not loaded in {{ $labels.pod }}",
            "The condition ModelReady of the EdgeDetector has Triton's own words.",
        ),
        Alert(
            "EdgeDetectorDown",
            f'absent(up{{{here},endpoint="detector"}} == 1)',
            "2m",
            "critical",
            "No detector pod answers",
            "Nothing is detected. The conditions ServerReady and ModelReady of the EdgeDetector say why.",
        ),
    ]
    if detector.spec.cameras:
        silent = Alert(
            "EdgeDetectorCameraSilent",
            f"sum by (namespace, {LABEL_EDGEDETECTOR}, camera)"
            f' (rate(edgedetector_camera_frames_total{{{here},result="read"}}[2m])) == 0'
            # A camera that gives way under overload is not read, and Degraded tells of it.
            f" unless sum by (namespace, {LABEL_EDGEDETECTOR}, camera)"
            f' (edgedetector_camera_state{{{here},state="Suspended"}}) > 0',
            "2m",
            "warning",
            "Camera {{ $labels.camera }} sends no frames",
            "Its state and the reason are in the status of the EdgeDetector.",
        )
        alerts.append(silent)
    return alerts


def _device(mapping: MetricMapping, detector: EdgeDetector, profile: AcceleratorProfile) -> str:
    exporter = profile.spec.exporter
    series = f'{mapping.metric}{{{LABEL_ACCELERATOR_PROFILE}="{profile.name}"}}'
    if exporter is not None and exporter.existing is not None:
        # Somebody else's scrape, which knows nothing of our labels; the vendor's own label has the node.
        theirs = f'{mapping.metric}{{namespace="{exporter.existing.namespace}"}}'
        series = f'label_replace({theirs}, "{LABEL_NODE}", "$1", "Hostname", "(.+)")'
    figure = f"max by ({LABEL_NODE}) ({series}) * {mapping.factor:g}"
    return f"({figure} and on ({LABEL_NODE}) {_nodes(detector)})"


def _nodes(detector: EdgeDetector) -> str:
    """Return the expression whose series are the nodes on which this detector runs."""
    here = f'namespace="{detector.namespace}",{LABEL_EDGEDETECTOR}="{detector.name}",endpoint="detector"'
    return f"count by ({LABEL_NODE}) (up{{{here}}})"


def _metadata(detector: EdgeDetector) -> dict[str, Any]:
    metadata = detector_metadata(detector, detector.name, COMPONENT_MONITORING)
    # Ours last: a label of the user must not hide a child from pruning.
    metadata["labels"] = {**detector.spec.monitoring.labels, **metadata["labels"]}
    return metadata
