"""Every pod that the operator causes: Pod Security `restricted`, no token, read-only root, resources, shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api import names
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import Quantity, parse_quantity
from edgedetector.plan import detector_children, profile_children, serving_config

SCENARIOS = [*sorted(scenarios.DATA.glob("*.yaml")), *sorted(scenarios.REPOSITORY.glob("manifests/samples/*.yaml"))]
WORKLOADS = {"Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob"}

# What Pod Security `restricted` leaves of volumes and capabilities:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def workloads() -> Iterator[Any]:
    for path in SCENARIOS:
        for obj in children(scenarios.load(path)):
            if obj["kind"] in WORKLOADS:
                yield pytest.param(obj, id=f"{path.stem}-{obj['metadata']['name']}")


def pod_of(obj: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = obj["spec"]["template"]["spec"]
    return spec


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


ALL = list(workloads())


def test_there_is_something_to_look_at() -> None:
    assert len(ALL) == 2 * len(SCENARIOS) > 0


@pytest.mark.parametrize("obj", ALL)
def test_restricted(obj: dict[str, Any]) -> None:
    pod = pod_of(obj)
    for shared in ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"):
        assert shared not in pod
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= VOLUMES, volume["name"]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] != 0
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert set(context) <= {
        *("runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile"),
        "supplementalGroups",
    }
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }, container["name"]
        assert not any("hostPort" in port or "hostIP" in port for port in container.get("ports", []))


@pytest.mark.parametrize("obj", ALL)
def test_no_token_no_service_variables_and_every_container_asks_for_its_share(obj: dict[str, Any]) -> None:
    pod = pod_of(obj)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod
    for container in containers(pod):
        asked = container["resources"]
        assert asked["requests"].keys() >= {"cpu", "memory"}, container["name"]
        for name, limit in asked.get("limits", {}).items():
            assert parse_quantity(asked["requests"].get(name, "0")) <= parse_quantity(limit)


@pytest.mark.parametrize("obj", ALL)
def test_all_containers_of_a_pod_are_one_user_and_share_what_they_write(obj: dict[str, Any]) -> None:
    """Files of shared memory have mode 0600: only the same user can open what the other one made."""
    pod = pod_of(obj)
    assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {names.USER}
    users = {c["name"] for c in containers(pod) if any(m["mountPath"] == "/dev/shm" for m in c["volumeMounts"])}
    if obj["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_TRITON:
        assert users == {names.CONTAINER_TRITON, names.CONTAINER_DETECTOR}
        (volume,) = [v for v in pod["volumes"] if v["name"] == "shm"]
        assert volume["emptyDir"]["medium"] == "Memory"


def test_the_groups_of_a_device_are_the_pods() -> None:
    profile = scenarios.PROFILES["denglin-ks20"]
    groups = replace(profile.spec.pod_security, supplemental_groups=(44, 109))
    media = replace(profile.spec.media, on_accelerator_node=True)
    for placed, expected in ((profile.spec.media, {"yard-triton"}), (media, {"yard-triton", "yard-media"})):
        objects = planned(replace(profile, spec=replace(profile.spec, pod_security=groups, media=placed)))
        pods = {o["metadata"]["name"]: pod_of(o) for o in objects if o["kind"] == "Deployment"}
        having = {name for name, pod in pods.items() if pod["securityContext"].get("supplementalGroups") == [44, 109]}
        assert having == expected


def test_the_exporter_alone_is_outside_restricted_and_takes_no_more_than_its_profile_says() -> None:
    profile = scenarios.PROFILES["denglin-ks20"]
    made = profile_children(profile, scenarios.SETTINGS, scenarios.FACTS)
    (daemon,) = [o for o in made if o["kind"] in WORKLOADS]
    pod = pod_of(daemon)
    assert pod["automountServiceAccountToken"] is False
    assert not any("hostPath" in volume for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "imagePullSecrets" not in pod


def test_the_exporters_image_is_pulled_with_the_installations_secrets() -> None:
    settings = replace(scenarios.SETTINGS, exporter_pull_secrets=("registry", "mirror"))
    made = profile_children(scenarios.PROFILES["denglin-ks20"], settings, scenarios.FACTS)
    (daemon,) = [o for o in made if o["kind"] == "DaemonSet"]
    assert pod_of(daemon)["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def planned(profile: AcceleratorProfile, **more: Any) -> list[dict[str, Any]]:
    wanted = detector("yard", minimal(**more))
    accepted = serving_config(wanted, profile)
    return list(detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, accepted))


def memory(shared: str, **resources: Any) -> dict[str, dict[str, str | None]]:
    """Return request and limit of memory, by container."""
    profile = scenarios.PROFILES["cpu"]
    server = replace(profile.spec.triton, shared_memory=Quantity(shared))
    objects = planned(replace(profile, spec=replace(profile.spec, triton=server)), resources=resources)
    pod = pod_of(child(objects, "Deployment", "yard-triton"))
    (volume,) = [v for v in pod["volumes"] if v["name"] == "shm"]
    assert volume["emptyDir"]["sizeLimit"] == shared
    return {
        c["name"]: {kind: c["resources"].get(kind, {}).get("memory") for kind in ("requests", "limits")}
        for c in pod["containers"]
    }


def test_shared_memory_comes_on_top_of_a_stated_limit() -> None:
    limited = {"limits": {"memory": "2Gi"}}
    found = memory("512Mi", triton=limited, detector={"limits": {"memory": "300M"}})
    assert found["triton"] == {"requests": "512Mi", "limits": "2560Mi"}
    assert parse_quantity(found["detector"]["limits"] or "") == 300_000_000 + 512 * 2**20


def test_a_guaranteed_pod_stays_one() -> None:
    both = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi"}}
    assert memory("1Gi", triton=both)["triton"] == {"requests": "2Gi", "limits": "2Gi"}


def test_nobody_is_limited_who_was_not_asked_to_be() -> None:
    """What a vendor's server needs for a user's model is not known here, and a limit guessed too low ends it."""
    assert memory("1Gi") == {
        "triton": {"requests": "512Mi", "limits": None},
        "detector": {"requests": "256Mi", "limits": None},
    }


def test_the_limit_of_a_profile_counts_shared_memory_too() -> None:
    profile = scenarios.PROFILES["cpu"]
    asked = replace(profile.spec.triton.resources, limits={"memory": Quantity("3Gi")})
    server = replace(profile.spec.triton, resources=asked)
    pod = pod_of(
        child(planned(replace(profile, spec=replace(profile.spec, triton=server))), "Deployment", "yard-triton")
    )
    assert {c["name"]: c["resources"].get("limits", {}).get("memory") for c in pod["containers"]}["triton"] == "4Gi"


def many(number: int, length: int) -> list[dict[str, Any]]:
    def url(kind: str, camera: int) -> str:
        return f"rtsp://cam{camera}.example/{kind}".ljust(length, "x")

    return [{"name": f"c{n}", "url": url("main", n), "substreamUrl": url("sub", n)} for n in range(number)]


def test_more_than_fits_into_a_configmap_is_an_error_that_says_what_helps() -> None:
    with pytest.raises(
        InvalidSpecError, match=r"^spec\.cameras: is more than fits .*another EdgeDetector.*urlSecretRef"
    ):
        children(detector("yard", minimal(cameras=many(1000, 512))))


def test_a_thousand_cameras_with_common_addresses_fit() -> None:
    objects = children(detector("yard", minimal(cameras=many(1000, 80))))
    for obj in (o for o in objects if o["kind"] == "ConfigMap"):
        assert sum(len(value) for value in obj["data"].values()) < 2**20
    policy = child(objects, "NetworkPolicy", "yard-media")
    assert len(str(policy)) < 2**16
