"""NetworkPolicies: everything is denied but what the pods need (docs/network.md lists the flows and why).

Each workload has one policy that selects its pods for both directions, so that a pod of ours is never without one. What
a policy cannot say (paths, keys) the servers refuse themselves.
"""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import Destinations, EdgeDetector
from edgedetector.api.profile import AcceleratorProfile, ExporterSpec
from edgedetector.plan import destinations, outputs, sources
from edgedetector.plan.common import detector_metadata, detector_selector, present, profile_metadata, profile_selector
from edgedetector.plan.destinations import pods_of, rule
from edgedetector.plan.settings import Settings

CAMERA_PORTS: Final = (554, 8554)  # RTSP as assigned, and as most test servers have it
MODEL_PORTS: Final = (443, 8443)
MQTT_PORTS: Final = (1883, 8883)
WEBHOOK_PORTS: Final = (80, 443, 8080, 8443)
# CoreDNS listens on 53, or where it may not open a port below 1024, on one of the others.
DNS_PORTS: Final = (53, 1053, 5353)

_DNS: Final = pods_of("kube-system", {"k8s-app": "kube-dns"})


def triton_policy(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any] | None:
    """Return the policy of the inference pods, absent if policies are off."""
    if not _enabled(detector, settings):
        return None
    replicas = [_pods(detector, names.COMPONENT_TRITON)]
    ingress = [
        # Replicas ask each other where one alone is wanted, too: those that are to go do so until they are gone.
        _from([_operator(settings)], names.PORT_DETECTOR),
        _from(replicas, names.PORT_DETECTOR),
        *_scrapes(settings, names.PORT_DETECTOR, names.PORT_TRITON_METRICS),
        _from([{"podSelector": {"matchLabels": {names.LABEL_TRITON_CLIENT: "true"}}}], names.PORT_TRITON_GRPC),
    ]
    if outputs.served(detector):
        # Of any namespace: who watches cameras is seldom where they are, and the token is what counts.
        watching = {"namespaceSelector": {}, "podSelector": {"matchLabels": {names.LABEL_EVENTS_CLIENT: "true"}}}
        ingress.append(_from([watching], names.PORT_DETECTOR_EVENTS))
    egress = [
        *_name_servers(settings),
        rule([_pods(detector, names.COMPONENT_MEDIA)], [names.PORT_GO2RTC_RTSP]),
        rule(replicas, [names.PORT_DETECTOR]),
        *_exporter(profile, settings),
        *_outputs(detector),
        *_model_servers(detector),
    ]
    return _policy(detector, names.COMPONENT_TRITON, names.triton(detector.name), ingress, egress)


def verification_policy(
    detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings
) -> dict[str, Any] | None:
    """Return the policy of a test of the profile, to which nobody talks; absent if policies are off."""
    if not _enabled(detector, settings):
        return None
    egress = [*_name_servers(settings), *_exporter(profile, settings), *_model_servers(detector)]
    return _policy(detector, names.COMPONENT_VERIFICATION, names.verification(detector.name), [], egress)


def media_policy(detector: EdgeDetector, settings: Settings) -> dict[str, Any] | None:
    """Return the policy of the media server, absent if policies are off."""
    if not _enabled(detector, settings):
        return None
    ingress = [
        _from([_pods(detector, names.COMPONENT_TRITON)], names.PORT_GO2RTC_RTSP),
        _from([_operator(settings)], names.PORT_GO2RTC_API),
        *_scrapes(settings, names.PORT_GO2RTC_API),
    ]
    egress = [*_name_servers(settings), *_cameras(detector)]
    return _policy(detector, names.COMPONENT_MEDIA, names.media(detector.name), ingress, egress)


def exporter_policy(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any] | None:
    """Return the policy of a profile's exporter: Prometheus and detectors may read it, itself it goes nowhere."""
    if not settings.network_policies:
        return None
    # Each detector asks the exporter of its own node how busy the device is.
    detectors = [
        {
            "namespaceSelector": {},
            "podSelector": {
                "matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_COMPONENT: component}
            },
        }
        for component in (names.COMPONENT_TRITON, names.COMPONENT_VERIFICATION)
    ]
    scrapes = [*_scrapes(settings, exporter.port), _from(detectors, exporter.port)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": profile_metadata(profile, settings.operator_namespace),
        "spec": {
            "podSelector": {"matchLabels": profile_selector(profile)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": scrapes,
        },
    }


def _exporter(profile: AcceleratorProfile, settings: Settings) -> list[dict[str, Any]]:
    exporter = profile.spec.exporter
    if exporter is None or not exporter.image:
        return []
    return [rule([pods_of(settings.operator_namespace, profile_selector(profile))], [exporter.port])]


def _enabled(detector: EdgeDetector, settings: Settings) -> bool:
    return settings.network_policies and detector.spec.network_policy.enabled


def _policy(
    detector: EdgeDetector, component: str, name: str, ingress: list[dict[str, Any]], egress: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": detector_metadata(detector, name, component),
        "spec": {
            "podSelector": {"matchLabels": detector_selector(detector, component)},
            "policyTypes": ["Ingress", "Egress"],
            **present(ingress=ingress, egress=egress),
        },
    }


def _cameras(detector: EdgeDetector) -> list[dict[str, Any]]:
    addresses = []
    for camera in detector.spec.cameras:
        addresses.append(camera.url)
        if camera.substream_url or camera.substream_url_secret_ref:
            addresses.append(camera.substream_url)
    return destinations.egress(
        addresses,
        detector.spec.network_policy.cameras,
        namespace=detector.namespace,
        usual=CAMERA_PORTS,
        where="spec.networkPolicy.cameras",
    )


def _model_servers(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return the rules of the init step. A policy knows no containers, so they hold for the whole pod."""
    return destinations.egress(
        sources.urls(detector),
        detector.spec.network_policy.models,
        namespace=detector.namespace,
        usual=MODEL_PORTS,
        where="spec.networkPolicy.models",
    )


def _outputs(detector: EdgeDetector) -> list[dict[str, Any]]:
    wanted = detector.spec.outputs
    found: dict[str, tuple[int, ...]] = {}
    if wanted.mqtt:
        found[wanted.mqtt.url] = MQTT_PORTS
    if wanted.webhook:
        found[wanted.webhook.url] = WEBHOOK_PORTS
    return [
        entry
        for url, ports in found.items()
        for entry in destinations.egress(
            [url], Destinations(), namespace=detector.namespace, usual=ports, where="spec.outputs"
        )
    ]


def _name_servers(settings: Settings) -> list[dict[str, Any]]:
    protocols = ("UDP", "TCP")
    found = [rule([_DNS], DNS_PORTS, protocols)]
    if settings.dns_cidrs:
        found.append(rule([{"ipBlock": {"cidr": cidr}} for cidr in settings.dns_cidrs], [DNS_PORTS[0]], protocols))
    return found


def _operator(settings: Settings) -> dict[str, Any]:
    """Return the operator's pods; of its namespace's others, the exporters, nobody has business with a detector."""
    return pods_of(settings.operator_namespace, {names.LABEL_NAME: names.OPERATOR})


def _scrapes(settings: Settings, *ports: int) -> list[dict[str, Any]]:
    """Return the rule that lets Prometheus in; without a namespace of it none, since a rule without peers means all."""
    namespaces = [pods_of(namespace) for namespace in settings.prometheus_namespaces]
    return [_from(namespaces, *ports)] if namespaces else []


def _pods(detector: EdgeDetector, component: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": detector_selector(detector, component)}}


def _from(peers: list[dict[str, Any]], *ports: int) -> dict[str, Any]:
    return {"from": peers, "ports": [{"protocol": "TCP", "port": port} for port in ports]}
