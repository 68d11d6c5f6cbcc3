"""Deleting a cluster leaves the machine as it was: proven on a second cluster, beside whatever else is running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
NAME = "teardown"

FOLDERS = (
    *("/var/lib", "/var/log", "/var/log/containers", "/var/lib/kubelet", "/var/lib/cni", "/run", "/run/containerd"),
    *("/run/netns", "/etc", "/etc/cni", "/usr/libexec", "/opt", "/usr/sbin"),
)
SETTINGS = (
    *("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/all/route_localnet"),
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/netfilter/nf_conntrack_max"),
)

PODS = """
apiVersion: v1
kind: Secret
metadata: {name: held}
stringData: {word: kept in a memory volume}
---
apiVersion: v1
kind: Service
metadata: {name: held}
spec: {type: NodePort, selector: {app: held}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: held}
spec:
  replicas: 2
  selector: {matchLabels: {app: held}}
  template:
    metadata: {labels: {app: held}}
    spec:
      terminationGracePeriodSeconds: 600
      containers:
      - name: held
        image: docker.io/edgedetector/pause:local
        imagePullPolicy: Never
        volumeMounts: [{name: secret, mountPath: /secret}, {name: memory, mountPath: /memory}]
      volumes:
      - {name: secret, secret: {secretName: held}}
      - {name: memory, emptyDir: {medium: Memory}}
"""


@dataclass(frozen=True)
class Machine:
    """What a cluster could leave behind, each part as a set of lines that a failure can show."""

    links: frozenset[str]
    routes: frozenset[str]
    rules: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    settings: frozenset[str]
    folders: frozenset[str]

    def unlike(self, other: Machine) -> dict[str, set[str]]:
        """The lines that only one of the two has, by part; parts without any are left out."""
        differences = {part.name: getattr(self, part.name) ^ getattr(other, part.name) for part in fields(self)}
        return {name: set(lines) for name, lines in differences.items() if lines}


def look(state: Path) -> Machine:
    """The machine as it is now; of processes and mounts those that have to do with `state`."""
    settings = [(name, Path("/proc/sys", name)) for name in SETTINGS]
    saved = [line for tool in ("iptables-save", "ip6tables-save") if shutil.which(tool) for line in lines_of(tool)]
    return Machine(
        links=frozenset(line.split()[0] for line in lines_of("ip", "-brief", "link")),
        routes=frozenset(lines_of("ip", "route", "show", "table", "all")),
        rules=frozenset(line for line in saved if line.startswith("-")),
        mounts=frozenset(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line),
        cgroups=frozenset(str(path) for path in Path("/sys/fs/cgroup").rglob(f"edgedetector-{NAME}*")),
        processes=frozenset(line for line in processes() if str(state) in line),
        settings=frozenset(f"{name}={file.read_text().strip()}" for name, file in settings if file.exists()),
        folders=frozenset(str(entry) for name in FOLDERS if Path(name).is_dir() for entry in Path(name).iterdir()),
    )


def left(state: Path, before: Machine) -> dict[str, set[str]]:
    """What is different from before, in the end: nsenter(1) ends a moment after the process that it waits for."""
    deadline = time.monotonic() + 10.0
    while (found := look(state).unlike(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def lines_of(*command: str) -> list[str]:
    return subprocess.check_output(command, text=True).splitlines()


def processes() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended since
            continue


def in_use(namespaces: set[str], before: float) -> set[str]:
    """Processes of any of those namespaces, such as "net:[4026532000]", that were there before a moment since boot.

    The kernel gives the number of a namespace that is gone to the next one, perhaps of another node's new pod.
    """
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        process = link.parents[1]
        try:
            if str(link.readlink()) in namespaces and started(process) < before:
                found.add(f"{link} {(process / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def started(process: Path) -> float:
    """When a process started, in seconds since boot (field 22 of proc_pid_stat(5))."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def namespaces_of_node_and_pods(kind: Kind) -> set[str]:
    inside = kind("exec", "--name", NAME, "--", "sh", "-c", "readlink /proc/[0-9]*/ns/net /proc/[0-9]*/ns/pid; true")
    return set(inside.split()) - {str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("net", "pid")}


@dataclass(frozen=True)
class Kind:
    """The executable, with a state directory of its own."""

    state: Path

    @property
    def kubeconfig(self) -> Path:
        return self.state / NAME / "kubeconfig"

    def __call__(self, *arguments: str) -> str:
        return subprocess.check_output([HERE / "kind", *arguments], env=self.environment(), text=True)

    def create(self) -> None:
        self("create", "cluster", "--name", NAME, "--kubeconfig", str(self.state / "exported"))

    def delete(self) -> None:
        self("delete", "cluster", "--name", NAME, "--kubeconfig", str(self.state / "exported"))

    def interrupted_creation(self, at: str) -> None:
        """Start a creation and kill it, as nobody can prepare for, when it prints `at`."""
        command = [
            str(HERE / "kind"),
            "create",
            "cluster",
            "--name",
            NAME,
            "--kubeconfig",
            str(self.state / "exported"),
        ]
        with subprocess.Popen(
            command, env=self.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr is not None
            seen = next((line for line in process.stderr if at in line), None)
            os.killpg(process.pid, signal.SIGKILL)
        assert seen is not None, f"the creation never printed {at!r}"

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        binary = lines_of(str(HERE / "build.py"), "kubectl")[-1]
        command = [binary, "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout

    def environment(self) -> dict[str, str]:
        return {**os.environ, "EDGEDETECTOR_STATE": str(self.state)}


@pytest.fixture
def kind() -> Iterator[Kind]:
    """The executable, with nothing running yet, and nothing left running."""
    # Not pytest's own folder: the path of a socket in it would be longer than a socket's may be.
    with tempfile.TemporaryDirectory(prefix="node-", dir="/var/tmp") as folder:
        executable = Kind(Path(folder))
        yield executable
        executable.delete()


def test_a_deleted_cluster_with_running_pods_leaves_nothing(kind: Kind) -> None:
    before = look(kind.state)

    kind.create()
    kind.kubectl("apply", "-f", "-", text=PODS)
    kind.kubectl("rollout", "status", "deployment/held", "--timeout=120s")
    namespaces = namespaces_of_node_and_pods(kind)
    during = look(kind.state)
    assert in_use(namespaces, since_boot()), "the test must see a running cluster's processes"
    assert {"links", "routes", "cgroups", "processes"} <= set(during.unlike(before)), "and the rest of it"
    deleted = since_boot()
    kind.delete()

    assert left(kind.state, before) == {}
    assert in_use(namespaces, deleted) == set()
    assert [entry.name for entry in kind.state.iterdir()] == ["exported"]
    assert "kind-teardown" not in (kind.state / "exported").read_text()


@pytest.mark.parametrize("stage", ["keys, namespaces", "kubelet"])
def test_a_creation_that_was_killed_can_be_deleted_and_can_be_repeated(kind: Kind, stage: str) -> None:
    before = look(kind.state)

    kind.interrupted_creation(at=stage)
    assert NAME not in kind("get", "clusters").split()
    kind.delete()
    assert left(kind.state, before) == {}

    kind.interrupted_creation(at=stage)
    kind.create()
    assert NAME in kind("get", "clusters").split()
    assert kind.kubectl("get", "nodes", "--output=name").split() == [f"node/{NAME}-control-plane"]
    kind.delete()
    assert left(kind.state, before) == {}


def test_a_program_that_died_is_started_again_by_creating_the_cluster_again(kind: Kind) -> None:
    kind.create()
    kind.kubectl("create", "configmap", "kept")

    kind(
        "exec", "--name", NAME, "--", "sh", "-c", "kill -9 $(cat /proc/[0-9]*/stat | sed -n 's/ (kube-apiserver).*//p')"
    )
    kind.create()

    assert kind.kubectl("get", "configmap", "kept", "--output=name").strip() == "configmap/kept"
