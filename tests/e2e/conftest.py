"""The real cluster, the operator installed from its chart, and the demo on it, for the end-to-end tests.

Session scope throughout: a cluster and an installation cost minutes, and the tests work in namespaces of their own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "hack"))

import cluster as driver
import demo as demo_driver

T = TypeVar("T")

IMAGES = (*demo_driver.IMAGES, "emulated-triton", "emulated-exporter")


def pytest_configure(config: pytest.Config) -> None:
    """Give pytest-kind our node's executable where the command line names none."""
    options = config.option
    options.kind_bin = options.kind_bin or str(driver.kind_executable())
    options.kubeconfig = options.kubeconfig or str(driver.kubeconfig())
    if options.cluster_name == "pytest-kind":
        options.cluster_name = driver.NAME
    options.keep_cluster = True  # `make down` ends it; a failed run leaves it to be looked at


def poll(what: str, look: Callable[[], T], good: Callable[[T], bool], seconds: float = 60.0) -> T:
    """Look until it is good; after `seconds` fail with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s; last seen: {seen!r}")
        time.sleep(0.5)


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace."""

    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return driver.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, check=check)

    def get(self, *arguments: str) -> Any:
        """Objects as parsed JSON; None if there is no such object."""
        text = self("get", *arguments, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, *arguments: str) -> list[Any]:
        """The items of a list."""
        return list(json.loads(self("get", *arguments, "-o", "json"))["items"])

    def apply(self, *objects: Any) -> None:
        """Server-side apply."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "-f", "-", stdin=json.dumps(listing))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> None:
    """A running cluster: pytest-kind's, or the one that KUBECONFIG names and EDGEDETECTOR_CONTEXTS allows."""
    if driver.existing():
        driver.check_context()
    else:
        request.getfixturevalue("kind_cluster")


@pytest.fixture(scope="session")
def images(cluster: None) -> dict[str, str]:
    """Images of the present tree, on the node: target of the Dockerfile -> name."""
    return driver.load_images(*IMAGES)


@pytest.fixture(scope="session")
def operator(images: dict[str, str]) -> Kubectl:
    """The operator, installed from the chart; kubectl in its namespace."""
    emulator = {
        "denglin/tritonserver:23.07-py3": images["emulated-triton"],
        "denglin/dcgm-exporter:ks20-latest": images["emulated-exporter"],
    }
    driver.install(images, "imageReplacements=" + json.dumps(driver.replacements(images) | emulator))
    return Kubectl(driver.SYSTEM_NAMESPACE)


@pytest.fixture(scope="session")
def demo(operator: Kubectl) -> Kubectl:
    """The demo with its detections flowing; kubectl in its namespace."""
    demo_driver.apply_demo()
    demo_driver.wait_ready()
    return Kubectl(driver.DEMO_NAMESPACE)


@pytest.fixture
def namespace(cluster: None, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """An empty namespace that enforces Pod Security `restricted`."""
    name = request.node.name.replace("_", "-").split("[")[0][-50:].strip("-")
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(name)))
    yield Kubectl(name)
    driver.kubectl("delete", "namespace", name, "--wait=false")
