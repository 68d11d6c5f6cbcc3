"""The real cluster, the operator installed from its chart, and the demo on it, for the end-to-end tests.

Session scope throughout: a cluster and an installation cost minutes, and the tests work in namespaces of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster as driver
import demo as demo_driver
from flows import Recorder
from harness import Kubectl
from promises import promises

IMAGES = (*demo_driver.IMAGES, "emulated-triton", "emulated-exporter", "mosquitto")


def pytest_configure(config: pytest.Config) -> None:
    """Give pytest-kind our node's executable where the command line names none."""
    config.addinivalue_line("markers", "last: judges the whole run, so that it comes after all others")
    options = config.option
    options.kind_bin = options.kind_bin or str(driver.kind_executable())
    options.kubeconfig = options.kubeconfig or str(driver.kubeconfig())
    if options.cluster_name == "pytest-kind":
        options.cluster_name = driver.NAME
    Path(options.kubeconfig).parent.mkdir(parents=True, exist_ok=True)  # pytest-kind touches the file first
    promises.strict = options.on_time
    options.keep_cluster = True  # `make down` ends it; a failed run leaves it to be looked at


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what took how long of what is promised in seconds."""
    if promises.noted:
        terminalreporter.section("promised in seconds")
        terminalreporter.write_line("\n".join(map(str, promises.noted)))


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what judges the whole run behind all others."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def recorder(cluster: None) -> Iterator[Recorder | None]:
    """Every connection on the node from now on. Session, since all tests' connections are to be judged.

    None for a cluster that is not ours.
    """
    if driver.existing():
        yield None
        return
    found = Recorder([str(driver.kind_executable()), "exec", "--name", driver.NAME, "--"])
    yield found
    found.close()


@pytest.fixture(scope="session")
def operator(images: dict[str, str], recorder: Recorder | None) -> Kubectl:
    """The operator, installed from the chart; kubectl in its namespace."""
    emulator = {
        "denglin/tritonserver:23.07-py3": images["emulated-triton"],
        "denglin/dcgm-exporter:ks20-latest": images["emulated-exporter"],
    }
    replacements = "imageReplacements=" + json.dumps(driver.replacements(images) | emulator)
    # What is still there of an earlier run gets the present images, too.
    driver.install(images, replacements, 'workloads.upgradePolicy="Immediate"')
    return Kubectl(driver.SYSTEM_NAMESPACE)


@pytest.fixture(scope="session")
def demo(operator: Kubectl) -> Kubectl:
    """The demo with its detections flowing; kubectl in its namespace."""
    demo_driver.apply_demo()
    # Hundreds of tests beside it keep the node busier than any box should be, and it would rightly give way.
    # What is tuned has tests of its own.
    calm = json.dumps({"spec": {"degradation": {"enabled": False}, "tuning": {"mode": "Off"}}})
    driver.kubectl("--namespace", driver.DEMO_NAMESPACE, "patch", "edgedetector", "yard", "--type=merge", "-p", calm)
    demo_driver.wait_ready()
    return Kubectl(driver.DEMO_NAMESPACE)


@pytest.fixture
def namespace(cluster: None, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """An empty namespace that enforces Pod Security `restricted`."""
    name = request.node.name.replace("_", "-").split("[")[0][-50:].strip("-")
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(name)))
    yield Kubectl(name)
    driver.kubectl("delete", "namespace", name, "--wait=false")
