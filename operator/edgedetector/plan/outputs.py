"""Where detections go: what the detector container is told, and what it needs of its pod.

Secrets are mounted and never read by the operator. Each is a volume of its own, optional: one that is missing holds up
that output and no pod. Of a Secret the pod sees the keys that it needs. Without outputs the pod has none of this.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import EventsConfig, MqttConfig, OutputsConfig, WebhookConfig
from edgedetector.api.edgedetector import EdgeDetector, MqttOutput, WebhookOutput
from edgedetector.api.pods import LocalObject
from edgedetector.api.quantities import format_bytes, parse_quantity
from edgedetector.plan.common import volume_name

_SPOOL: Final = {"name": "spool", "mountPath": names.DIR_SPOOL}
_SPOOL_SPARE: Final = 16 << 20
"""Bytes for the database's log. The kubelet evicts a pod whose volume is above its limit, so that it is never reached:
the database is at most a quarter larger than its events (a test holds it to that), and a damaged one may lie beside it.
"""


def config(detector: EdgeDetector) -> OutputsConfig:
    """Return what the detector container is told."""
    outputs = detector.spec.outputs
    return OutputsConfig(
        mqtt=_mqtt(outputs.mqtt, detector) if outputs.mqtt else MqttConfig(),
        webhook=_webhook(outputs.webhook) if outputs.webhook else WebhookConfig(),
        events=EventsConfig(stdout=outputs.events.stdout, token_secret=_named(outputs.events.token_secret_ref)),
    )


def served(detector: EdgeDetector) -> bool:
    """Tell whether events and pictures are served to others than the pod itself."""
    return detector.spec.outputs.events.token_secret_ref is not None


def mounts(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return the mounts of the detector container."""
    secrets = [
        {"name": _volume(name), "mountPath": f"{names.DIR_SECRETS}/{name}", "readOnly": True}
        for name in _secrets(detector)
    ]
    return [*secrets, *([_SPOOL] if detector.spec.outputs.webhook else [])]


def volumes(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return the volumes of `mounts`."""
    found: list[dict[str, Any]] = [
        {
            "name": _volume(name),
            "secret": {
                "secretName": name,
                "items": [{"key": key, "path": key} for key in sorted(keys)],
                "optional": True,
                "defaultMode": 0o440,
            },
        }
        for name, keys in _secrets(detector).items()
    ]
    webhook = detector.spec.outputs.webhook
    if webhook:
        limit = format_bytes(Decimal(5 * _bytes(webhook) // 2 + _SPOOL_SPARE))
        found.append({"name": _SPOOL["name"], "emptyDir": {"sizeLimit": limit}})
    return found


def _mqtt(output: MqttOutput, detector: EdgeDetector) -> MqttConfig:
    return MqttConfig(
        url=output.url,
        prefix=f"{output.topic_prefix}/{detector.namespace}/{detector.name}",
        discovery=output.discovery.prefix if output.discovery.enabled else "",
        qos=output.qos,
        snapshots=output.snapshots,
        credentials_secret=_named(output.credentials_secret_ref),
        ca_secret=_named(output.ca_secret_ref),
    )


def _webhook(output: WebhookOutput) -> WebhookConfig:
    return WebhookConfig(
        url=output.url,
        timeout_seconds=output.timeout.total_seconds(),
        token_secret=_named(output.token_secret_ref),
        signature_secret=_named(output.signature_secret_ref),
        spool_bytes=_bytes(output),
    )


def _bytes(output: WebhookOutput) -> int:
    return int(parse_quantity(output.spool.size_limit))


def _secrets(detector: EdgeDetector) -> dict[str, frozenset[str]]:
    """Return the keys that are needed, by Secret, in an order that does not change."""
    outputs = detector.spec.outputs
    wanted: list[tuple[LocalObject | None, frozenset[str]]] = [
        (outputs.events.token_secret_ref, frozenset({names.KEY_TOKEN}))
    ]
    if outputs.mqtt:
        wanted.append((outputs.mqtt.credentials_secret_ref, frozenset({names.KEY_USERNAME, names.KEY_PASSWORD})))
        wanted.append((outputs.mqtt.ca_secret_ref, frozenset({names.FILE_AUTHORITY})))
    if outputs.webhook:
        wanted.append((outputs.webhook.token_secret_ref, frozenset({names.KEY_TOKEN})))
        wanted.append((outputs.webhook.signature_secret_ref, frozenset({names.KEY_SIGNATURE})))
    found: dict[str, frozenset[str]] = {}
    for reference, keys in wanted:
        if reference:
            found[reference.name] = found.get(reference.name, frozenset()) | keys
    return dict(sorted(found.items()))


def _named(reference: LocalObject | None) -> str:
    return reference.name if reference else ""


def _volume(secret: str) -> str:
    return volume_name("output", secret)
