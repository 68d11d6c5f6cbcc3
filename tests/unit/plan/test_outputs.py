"""What a pod gets for its outputs: no more than they need, and nothing at all without them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api.dataplane import DetectorConfig, OutputsConfig
from edgedetector.api.quantities import parse_quantity
from edgedetector.api.wire import from_json

MQTT = {"url": "mqtt://broker"}
WEBHOOK = {"url": "https://hooks.example.org/yard"}


def planned(**outputs: Any) -> list[dict[str, Any]]:
    spec = minimal(cameras=[{"name": "gate", "url": "rtsp://gate/main"}])
    return children(detector("yard", {**spec, "outputs": outputs} if outputs else spec))


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = child(objects, "Deployment", "yard-triton")["spec"]["template"]
    return found


def container(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [one for one in pod(objects)["spec"]["containers"] if one["name"] == name]
    return dict(found)


def secrets(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The Secrets of the pod's volumes, by name of the volume."""
    return {v["name"]: v["secret"] for v in pod(objects)["spec"]["volumes"] if "secret" in v}


@pytest.mark.parametrize(
    "outputs", [{"mqtt": MQTT}, {"mqtt": {**MQTT, "snapshots": True}}, {"events": {"stdout": True}}]
)
def test_an_output_without_secrets_replaces_no_pod(outputs: dict[str, Any]) -> None:
    assert pod(planned(**outputs)) == pod(planned())


def test_another_address_replaces_no_pod() -> None:
    assert pod(planned(webhook=WEBHOOK)) == pod(planned(webhook={"url": "https://elsewhere.example.org/"}))


def test_a_secret_holds_up_no_pod_and_shows_the_pod_only_what_it_needs() -> None:
    found = planned(
        mqtt={**MQTT, "credentialsSecretRef": {"name": "broker"}, "caSecretRef": {"name": "broker"}},
        webhook={**WEBHOOK, "tokenSecretRef": {"name": "hooks"}, "signatureSecretRef": {"name": "sign"}},
        events={"tokenSecretRef": {"name": "hooks"}},
    )
    keys = {secret["secretName"]: [item["key"] for item in secret["items"]] for secret in secrets(found).values()}
    assert keys == {"broker": ["ca.crt", "password", "username"], "hooks": ["token"], "sign": ["key"]}
    assert all(secret["optional"] for secret in secrets(found).values())


def test_only_the_detector_container_sees_the_secrets() -> None:
    found = planned(webhook={**WEBHOOK, "tokenSecretRef": {"name": "hooks"}})
    (volume,) = secrets(found)
    seeing = {
        one["name"]
        for one in (*pod(found)["spec"]["containers"], *pod(found)["spec"]["initContainers"])
        if volume in {mount["name"] for mount in one["volumeMounts"]}
    }
    assert seeing == {"detector"}
    mount = next(m for m in container(found, "detector")["volumeMounts"] if m["name"] == volume)
    assert mount == {"name": volume, "mountPath": "/secrets/hooks", "readOnly": True}


@given(st.integers(1 << 20, 1 << 30))
def test_a_full_spool_beside_a_damaged_one_does_not_fill_its_volume(size: int) -> None:
    """A volume above its limit ends the pod."""
    found = planned(webhook={**WEBHOOK, "spool": {"sizeLimit": size}})
    (volume,) = [v for v in pod(found)["spec"]["volumes"] if v["name"] == "spool"]
    assert parse_quantity(volume["emptyDir"]["sizeLimit"]) >= 2 * 1.25 * size + (16 << 20) - 1


def test_events_have_a_port_only_where_a_token_guards_them() -> None:
    def ports(objects: list[dict[str, Any]]) -> set[str]:
        service = child(objects, "Service", "yard-triton")["spec"]["ports"]
        of_pod = container(objects, "detector")["ports"]
        assert ("events" in {p["name"] for p in service}) == ("events" in {p["name"] for p in of_pod})
        return {port["name"] for port in service}

    assert "events" not in ports(planned(events={"stdout": True}))
    assert "events" in ports(planned(events={"tokenSecretRef": {"name": "viewers"}}))


def told(objects: list[dict[str, Any]]) -> OutputsConfig:
    return from_json(DetectorConfig, child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"]).outputs


def test_the_pod_is_told_where_and_how() -> None:
    assert told(planned()) == OutputsConfig()
    found = told(planned(mqtt=MQTT, webhook={**WEBHOOK, "spool": {"sizeLimit": "1500k"}}))
    assert (found.mqtt.prefix, found.mqtt.discovery, found.mqtt.snapshots) == (
        "edgedetector/site-a/yard", "homeassistant", False,
    )  # fmt: skip
    assert (found.webhook.spool_bytes, found.webhook.timeout_seconds) == (1_500_000, 2.0)
    assert told(planned(mqtt={**MQTT, "discovery": {"enabled": False}})).mqtt.discovery == ""
