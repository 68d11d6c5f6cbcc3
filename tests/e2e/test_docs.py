"""What the pages say to type is typed, line by line, in a shell on the cluster, and does what it should.

Corrected are, as the pages ask their reader to, addresses of cameras in the samples and names in capitals; and what
pods request, since the node has two cores and other tests. A line that is not run has its reason in `NOT_RUN`, and
another test to which it is left, where there is one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.docs.blocks import lines, pages

import cluster as driver
import sites
import test_denglin_ks20 as ks20
from harness import Kubectl, poll
from stages import ROOT

NAMESPACE = "docs"
NAMESPACES = {
    "docs/cli.md": driver.DEMO_NAMESPACE,
    "docs/view.md": driver.DEMO_NAMESPACE,
    "docs/quick-start.zh.md": "docs-zh",
    "docs/ks20.md": "docs-ks20",
    "docs/verification.md": "docs-ks20",
}
"""Where a page's lines are run: what they name is there, or comes to be there by the lines before."""
NAMES = {"NAMESPACE": NAMESPACE, "NAME": "gate", "PROFILE": "cpu"}
"""What stands for what a reader would put in; `gate` is the detector of the quick start."""
NOT_RUN = {
    r"^apt-get |^make demo": "a machine has that before these tests begin",
    r"^make test|^make down": "these tests are part of it",
    r"^make release": "tests/unit/releasing",
    r"^skopeo |REGISTRY": "there is no registry",
    r"^helm (install|upgrade)|^kubectl apply .*manifests/base": "would replace the operator under test: test_chart.py",
    r"^kubectl (apply|wait) .*(overlays|crd/|argo|flux)": "test_argo_cd.py and tests/unit/gitops",
    r"^kubectl apply .*manifests/prometheus": "would be a second Prometheus beside the first: tests/bare",
    r"^helm uninstall|^kubectl (delete|wait --for=delete)": "would take away what other tests need: test_chart.py",
    r"krew": "krew comes from its own releases",
    r"^pip |^go2rtc-exporter ": "tests/unit/go2rtc",
    r"^eval ": "the fixture `environment` does, for all of them",
    r"^kubectl get --raw .*external": "needs an adapter of metrics",
    r"^kubectl edgedetector verify-profile": "there is no such card: test_verification.py",
    r"--previous": "nothing was started again here",
    r"edgedetector-exporter-PROFILE": "the profile of the quick start has no exporter",
    r"^curl ": "asks what the line before forwards, which is ended here",
}
STAYS = re.compile(r"^kubectl (edgedetector (view|top)\b|port-forward)")
"""Lines that run until they are ended; what they print first shows that they do."""
ANSWERS = re.compile(r"^kubectl edgedetector (diagnose|status)\b")
"""Their exit code 1 is an answer: something was found. 2 would say that they could not look."""
FOUND = 1
SECONDS = 420.0


def typed() -> Iterator[tuple[str, str]]:
    """Yield page and line, in the order in which they are read; the quick start comes first."""
    found = {str(page.relative_to(ROOT)): page for page in pages()}
    for name in sorted(found, key=lambda name: (not name.startswith("docs/quick-start"), name)):
        yield from ((name, line) for line in lines(found[name]))


def reason(line: str) -> str:
    """Return why a line is not run, or nothing."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), "")


def filled(line: str) -> str:
    """Return a line with names in place of those in capitals."""
    node = driver.kubectl("get", "nodes", "-o", "name").strip().removeprefix("node/")
    for name, value in {**NAMES, "NODE": node}.items():
        line = re.sub(rf"\b{name}\b(?!:)", value, line)  # NODE: with a colon is the title of a column
    return line


RUN = [(page, line) for page, line in typed() if not reason(line)]


def corrected(obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a sample as its reader corrects it."""
    if obj["kind"] != "EdgeDetector":
        return obj
    there = f"rtsp://camera.{driver.DEMO_NAMESPACE}:8554/vtest"
    little = {"requests": {"cpu": "30m", "memory": "64Mi"}}
    cameras = [
        {name: there if name.lower().endswith("url") else value for name, value in camera.items()}
        for camera in obj["spec"]["cameras"]
    ]
    resources = {"triton": little, "detector": little, "media": little}
    return {**obj, "spec": {**obj["spec"], "cameras": cameras, "resources": resources}}


@pytest.fixture(scope="module")
def checkout(demo: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's checkout; its samples name a camera that is there. Module: lines need what those before them made."""
    ks20.prepare_node()
    instances = demo.get("edgedetector", "yard")["spec"].get("serving", {}).get("instances")
    for namespace in {NAMESPACE, *NAMESPACES.values()} - {driver.DEMO_NAMESPACE}:
        sites.namespace(namespace)
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name != "manifests":
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    shutil.copy(ROOT / "demo" / "edgedetector.yaml", folder / "edgedetector.yaml")
    for sample in [folder / "edgedetector.yaml", *(folder / "manifests" / "samples").rglob("*.yaml")]:
        sample.write_text(yaml.safe_dump_all([corrected(obj) for obj in yaml.safe_load_all(sample.read_text())]))
    yield folder
    for namespace in {NAMESPACE, *NAMESPACES.values()} - {driver.DEMO_NAMESPACE}:
        driver.kubectl("delete", "namespace", namespace, "--wait=false")
    # The quick start changes the demo, which other tests count on.
    sites.change(demo.namespace, "yard", serving={"instances": instances})


@pytest.fixture(scope="module")
def environment(checkout: Path) -> dict[str, str]:
    """What the shell has after `eval "$(make -s environment)"`, as the quick start says. Module: it does not change."""
    command = ["bash", "-c", 'set -e; settings="$(make -s environment)"; eval "$settings"; env -0']
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


def shell(page: str, checkout: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return the environment in which a page's lines are typed: its namespace is the kubeconfig's."""
    namespace = NAMESPACES.get(page, NAMESPACE)
    kubeconfig = checkout / f"kubeconfig-{namespace}"
    if not kubeconfig.exists():
        shutil.copy(driver.kubeconfig(), kubeconfig)
        command = ["kubectl", "config", "set-context", "--current", "--namespace", namespace]
        subprocess.run(command, env=environment | {"KUBECONFIG": str(kubeconfig)}, check=True, stdout=subprocess.PIPE)
    return environment | {"KUBECONFIG": str(kubeconfig)}


@pytest.mark.parametrize(("page", "line"), RUN, ids=[f"{page}: {line}" for page, line in RUN])
def test_a_line_does_what_it_should(
    page: str, line: str, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    there = shell(page, checkout, environment)
    if STAYS.match(line):
        _stays(filled(line), checkout, there, tmp_path / "output")
        return
    done = subprocess.run(
        ["bash", "-c", filled(line)],
        cwd=checkout,
        env=there,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    allowed = {0, FOUND} if ANSWERS.match(line) else {0}
    assert done.returncode in allowed, done.stdout + done.stderr


def _stays(line: str, checkout: Path, environment: dict[str, str], output: Path) -> None:
    """Run a line that does not end until it has printed something, and end it as Ctrl-C would."""
    with output.open("w") as file:
        process = subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=checkout, env=environment, stdout=file)
        try:
            poll(f"output of {line}", lambda: (output.read_text(), process.poll()), lambda seen: bool(seen[0]))
            assert process.poll() is None, "it ended by itself"
        finally:
            process.terminate()
            process.wait(timeout=30)


PATIENCE = 540.0
"""Seconds: a camera that gave way is given back step by step once there is room, and stays away for long if not."""


def test_most_lines_are_run() -> None:
    """The quick starts down to their last line on a cluster of the reader's, and most of everything else."""
    quick = [line for page, line in RUN if page == "docs/quick-start.md"]
    assert quick[-1].startswith("kubectl wait --for=condition=Ready")
    left = sum(bool(reason(line)) for _, line in typed())
    assert left < len(RUN), f"{left} are not run, {len(RUN)} are"


def test_each_reason_is_still_one() -> None:
    """A pattern that no line has is a leftover."""
    for pattern in NOT_RUN:
        assert any(re.search(pattern, line) for _, line in typed()), pattern


def test_in_the_end_the_quick_start_s_detector_detects(checkout: Path) -> None:
    """In the end: beside all the others a small node makes its camera give way for some minutes."""
    assert checkout.is_dir()
    for namespace in (NAMESPACE, NAMESPACES["docs/quick-start.zh.md"]):
        sites.wait_ready(namespace, NAMES["NAME"], seconds=PATIENCE)
