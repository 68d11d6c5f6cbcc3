"""What pods may expect of the node: names, Services, runtime classes, resources, isolation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import cluster as driver
from harness import Kubectl
from node.localnode import binaries, oci

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
IMAGE = "docker.io/edgedetector/kubectl:test"
RESOURCE = "node.edgedetector.dev/thing"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def kind(*arguments: str) -> str:
    return subprocess.check_output([HERE / "kind", *arguments, "--name", driver.NAME], text=True)


@pytest.fixture(scope="session", autouse=True)
def image(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image with kubectl in it, a client and (as `proxy`) a server, made without an image builder."""
    if driver.existing():
        pytest.skip("these tests are about the node beside them, not about a cluster that exists")
    archive = tmp_path_factory.mktemp("image") / "kubectl.tar"
    oci.write(oci.Image(IMAGE, {"/bin/kubectl": binaries.program("kubectl")}, ("/bin/kubectl",)), archive)
    kind("load", "image-archive", str(archive))


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"restartPolicy": "Never", "containers": list(containers), **spec},
    }


def kubectl_container(name: str, *arguments: str, **fields: Any) -> dict[str, Any]:
    base = {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "securityContext": RESTRICTED}
    return {**base, "args": ["--cache-dir=/nonexistent", *arguments], **fields}


def wait_for(namespace: Kubectl, name: str, phase: str) -> None:
    namespace("wait", f"pod/{name}", f"--for=jsonpath={{.status.phase}}={phase}", "--timeout=120s")


def test_a_pod_reaches_the_api_server_by_its_name(namespace: Kubectl) -> None:
    environment = [{"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc.cluster.local"}]
    namespace.apply(pod("by-name", kubectl_container("call", "version", "--output=json", env=environment)))

    wait_for(namespace, "by-name", "Succeeded")

    assert json.loads(namespace("logs", "by-name"))["serverVersion"]["gitVersion"] == binaries.KUBERNETES


def test_a_pod_reaches_itself_through_its_service(namespace: Kubectl) -> None:
    service = {
        "selector": {"app": "both"},
        "ports": [{"port": 80, "targetPort": 8001}],
        "publishNotReadyAddresses": True,
    }
    # Not the name of the pod, which /etc/hosts knows without any Service.
    call = kubectl_container("call", "--server=http://itself", "get", "--raw=/version")
    serve = kubectl_container("serve", "proxy", "--address=0.0.0.0", "--accept-hosts=.*")
    namespace.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "itself"}, "spec": service})
    namespace.apply(pod("both", serve, call, restartPolicy="OnFailure"))  # the caller may be there before the server

    done = "--for=jsonpath={.status.containerStatuses[?(@.name=='call')].state.terminated.exitCode}=0"
    namespace("wait", "pod/both", done, "--timeout=120s")

    assert json.loads(namespace("logs", "both", "--container=call"))["gitVersion"] == binaries.KUBERNETES


def test_nothing_outside_the_node_is_reachable_and_says_so_at_once(namespace: Kubectl) -> None:
    outside = "--server=http://198.51.100.1"  # an address of the range for documentation
    namespace.apply(pod("outside", kubectl_container("call", outside, "--request-timeout=30s", "get", "--raw=/")))

    wait_for(namespace, "outside", "Failed")

    assert "no route to host" in namespace("logs", "outside")


def test_a_pod_of_the_vendors_runtime_class_with_an_extended_resource_runs(namespace: Kubectl) -> None:
    kind("set-capacity", f"{RESOURCE}=1")
    resources = {"limits": {RESOURCE: "1"}}
    container = kubectl_container("call", "version", "--client", resources=resources)
    namespace.apply(pod("device", container, runtimeClassName="denglin"))
    try:
        wait_for(namespace, "device", "Succeeded")
    finally:
        kind("set-capacity", f"{RESOURCE}=0")
