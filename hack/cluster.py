"""The cluster that demo and tests use: ours on this machine, real kind, or one that exists already.

Standard library only. An existing cluster is taken only when `KUBECONFIG` is set **and** its current context stands in
`EDGEDETECTOR_CONTEXTS` (comma-separated), so that nobody installs a demo on production by having a shell open.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "tests" / "e2e" / "node"
NAME = "edgedetector"
SYSTEM_NAMESPACE = "edgedetector-system"
DEMO_NAMESPACE = "demo"


class ContextRefusedError(RuntimeError):
    """The cluster that KUBECONFIG names may not be used."""


def state_directory() -> Path:
    """Directory of the running node."""
    return Path(os.environ.get("EDGEDETECTOR_STATE", "/var/lib/edgedetector-node"))


def existing() -> bool:
    """Whether an existing cluster is to be used instead of a node of our own."""
    return bool(os.environ.get("KUBECONFIG")) and bool(os.environ.get("EDGEDETECTOR_CONTEXTS"))


def kubeconfig() -> Path:
    """Path of the kubeconfig of the cluster in use."""
    if existing():
        return Path(os.environ["KUBECONFIG"])
    return state_directory() / NAME / "kubeconfig"


def build(name: str) -> Path:
    """Build (if it is not in the cache) a program that the node is made of and return its path."""
    done = subprocess.run([sys.executable, NODE / "build.py", name], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip().splitlines()[-1])


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl against the cluster in use and return what it printed."""
    check_context()
    done = subprocess.run(
        [build("kubectl"), *arguments],
        env={**os.environ, "KUBECONFIG": str(kubeconfig())},
        input=stdin, stdout=subprocess.PIPE, check=check, text=True,
    )  # fmt: skip
    return done.stdout


def check_context() -> None:
    """Refuse a cluster that is not on the list.

    Raises
    ------
    ContextRefusedError
        If `KUBECONFIG` names an existing cluster whose current context is not in `EDGEDETECTOR_CONTEXTS`.
    """
    if not existing():
        return
    found = re.search(r"^current-context:\s*(.*)$", kubeconfig().read_text(), re.MULTILINE)
    context = found[1].strip().strip("\"'") if found else ""
    if not context or context not in os.environ["EDGEDETECTOR_CONTEXTS"].split(","):
        raise ContextRefusedError(f"context {context!r} is not in EDGEDETECTOR_CONTEXTS; nothing was touched")


def create() -> None:
    """Start the node, or find it running."""
    check_context()
    if existing():
        return
    kind = kind_executable()
    clusters = subprocess.run([kind, "get", "clusters"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if NAME in clusters and kubeconfig().exists():
        return
    subprocess.run([kind, "create", "cluster", "--name", NAME, "--kubeconfig", kubeconfig()], check=True)


def kind_executable() -> Path:
    """Return what creates clusters: `EDGEDETECTOR_KIND` (real kind) or the node beside the tests."""
    return Path(os.environ.get("EDGEDETECTOR_KIND") or NODE / "kind")


def images(*targets: str) -> dict[str, str]:
    """Build the images of these targets of the Dockerfile if they are not in the cache; target -> image name."""
    return {target: entry["image"] for target, entry in _image_entries(*targets).items()}


def load_images(*targets: str) -> dict[str, str]:
    """Build images and bring them to the node; an existing cluster is expected to reach them by itself."""
    if existing():
        return images(*targets)
    # One archive without repeated layers is quicker for a node that has nothing, and slower for one that has most.
    entries = _image_entries(*(["--bundle"] if _is_bare() else []), *targets)
    archives = list(dict.fromkeys(entry["archive"] for entry in entries.values()))
    command = [kind_executable(), "load", "image-archive", *archives, "--name", NAME]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return {target: entry["image"] for target, entry in entries.items()}


def _is_bare() -> bool:
    """Tell whether the node has none of our images, by what the kubelet reports."""
    reported = kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names}")
    return "edgedetector/operator" not in reported


def helm(*arguments: str) -> None:
    """Run Helm against the cluster in use."""
    check_context()
    subprocess.run([build("helm"), *arguments], env={**os.environ, "KUBECONFIG": str(kubeconfig())}, check=True)


def install(names: dict[str, str], *values: str) -> None:
    """Install or upgrade the operator from the chart with images built here (target -> image).

    The shipped profiles name published images; `imageReplacements` points them at the ones built here, as an
    air-gapped site would point them at its mirror.
    """
    overrides = {
        "image": _repository_and_tag(names["operator"]),
        "detectorImage": _repository_and_tag(names["detector"]),
        "imageReplacements": replacements(names),
        # Each change of the tree is another release here, and its detector is to be seen.
        "workloads": {"upgradePolicy": "Immediate"},
    }
    command = ["upgrade", "--install", "edgedetector", str(ROOT / "charts" / "edgedetector")]
    command += ["--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "6m"]
    for value in [*(f"{key}={json.dumps(content)}" for key, content in overrides.items()), *values]:
        command += ["--set-json", value]
    helm(*command)


def replacements(names: dict[str, str]) -> dict[str, str]:
    """Image that a shipped profile names -> image built here."""
    profiles = ROOT / "operator" / "edgedetector" / "profiles"
    wanted: dict[str, str] = {}
    for path in sorted(profiles.glob("*.yaml")):
        for line in path.read_text().splitlines():
            key, _, value = line.strip().partition(":")
            image = value.split("#")[0].strip().strip("\"'")
            if key == "image" and image.startswith("edgedetector/"):
                target = image.removeprefix("edgedetector/").split(":")[0]
                if target in names:
                    wanted[image] = names[target]
    return wanted


def _image_entries(*targets: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, ROOT / "images" / "build.py", *targets], check=True, stdout=subprocess.PIPE, text=True
    )
    entries: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return entries


def _repository_and_tag(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


def environment() -> str:
    """Return what a shell runs to have kubectl and its plugin, and to reach the cluster in use."""
    folder = ROOT / "build" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    plugin = ("kubectl-edgedetector", "kubectl_complete-edgedetector")
    # A folder of its own: beside the cached kubectl lie programs that would hide others, such as `node`.
    for program in (build("kubectl"), *(ROOT / ".venv" / "bin" / name for name in plugin)):
        link = folder / program.name
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    return f'export KUBECONFIG={shlex.quote(str(kubeconfig()))} PATH={shlex.quote(str(folder))}:"$PATH"'


if __name__ == "__main__":
    commands = {"kubeconfig": kubeconfig, "environment": environment}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004
        sys.exit(f"usage: cluster.py {'|'.join(commands)}")
    print(commands[sys.argv[1]]())
