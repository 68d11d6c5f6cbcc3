"""The node's own kernel namespaces: network, mounts and processes, held by one process.

Everything of the node lives in them, as it would in a kind container: its addresses, routes and iptables rules, the
pods' mounts, every process. Killing the holder (process 1 of the namespace) makes the kernel kill and unmount all the
rest, so that a teardown cannot forget anything, whatever state the node is in.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import resource
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import binaries, cgroups, locks, paths, waiting

KERNEL_TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
"""What the kubelet insists on writing. It finds these values in plain files of the node's mount namespace instead, so
that the machine's own settings stay as they are."""

FIXED_FOLDERS = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers")
"""Folders whose place no setting of the kubelet, or of the CNI library changes."""

_LINKS = range(64)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is told from a later one with the same number by its start time (clock ticks since boot)."""

    pid: int
    started: int

    @staticmethod
    def of(pid: int) -> Process | None:
        """The live process with this number; None when there is none, or only its zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else Process(pid, int(fields[19]))

    @staticmethod
    def recorded(file: Path) -> Process | None:
        """The process that a file records, if it still lives."""
        try:
            noted = Process(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return noted if Process.of(noted.pid) == noted else None

    def record(self, file: Path) -> None:
        """Remember it in a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"pid": self.pid, "started": self.started}))


@dataclass(frozen=True, slots=True)
class Link:
    """The veth pair between the machine and the node, and its addresses."""

    index: int

    @property
    def interface(self) -> str:
        """Name of the machine's end."""
        return f"ednode{self.index}"

    @property
    def host(self) -> str:
        """Address of the machine's end."""
        return f"10.243.{self.index}.1"

    @property
    def node(self) -> str:
        """Address of the node's end: the API server's and the kubelet's."""
        return f"10.243.{self.index}.2"


def holder(cluster: paths.Cluster) -> Process | None:
    """Process 1 of the node, as the machine sees it."""
    return _holders().get(cluster.home)


def _holders() -> dict[Path, Process]:
    """Process 1 of every node, by its directory; found by the command line, so that no interruption loses one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        process = Process.of(int(entry.parent.name))
        if len(words) == 3 and words[0].endswith(b"/pause") and process is not None:
            found[Path(os.fsdecode(words[1]))] = process
    return found


def link(cluster: paths.Cluster) -> Link:
    """The addresses that were chosen when the sandbox was made."""
    return Link(int((cluster.home / "link").read_text()))


def create(cluster: paths.Cluster, service_range: str) -> Link:
    """Make the namespaces and the link into them; returns the link. Needs root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1048576)), hard))
    _note_folders(cluster)
    pause = binaries.program("pause")
    with (cluster.logs / "node.log").open("ab") as log:
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation=private"]
        parent = subprocess.Popen(
            [*command, "/bin/sh", "-euc", _first_steps(cluster, pause)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _await_holder(cluster, parent)
    with locks.exclusive("node-link"):  # another cluster may be choosing, too
        chosen = _free_link()
        (cluster.home / "link").write_text(str(chosen.index))
        _connect(cluster, chosen, service_range)
    return chosen


def enter(cluster: paths.Cluster, command: Sequence[str]) -> list[str]:
    """The command line that runs a command inside the node."""
    process = holder(cluster)
    if process is None:
        raise SystemExit(f"cluster '{cluster.name}' is not running")
    inside = ["nsenter", f"--target={process.pid}", "--mount", "--net", "--pid", "--wd=/", "--"]
    return [*inside, "env", f"PATH={_PATH}", *command]


def start(cluster: paths.Cluster, name: str, command: Sequence[str]) -> None:
    """Start a program of the node unless it runs; its output goes to logs/NAME.log."""
    file = cluster.home / "pids" / name
    if Process.recorded(file) is not None:
        return
    with (cluster.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            enter(cluster, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    started = Process.of(process.pid)
    if started is None:
        raise SystemExit(f"{name} ended at once; see {cluster.logs / name}.log")
    started.record(file)


def is_running(cluster: paths.Cluster, name: str) -> bool:
    """Whether a program that was started still runs."""
    return Process.recorded(cluster.home / "pids" / name) is not None


def cut_power(cluster: paths.Cluster) -> None:
    """Leave of the node what a power cut would: its disk, and nothing that lives in memory."""
    running = [file for file in (cluster.home / "pids").iterdir() if Process.recorded(file) is not None]
    # Signals every process of the namespace but process 1, and reaches none outside.
    subprocess.run(enter(cluster, ["/bin/sh", "-c", "kill -KILL -1"]), capture_output=True, check=False)
    waiting.until(lambda: all(Process.recorded(file) is None for file in running), "the node's processes end")
    subprocess.run(enter(cluster, ["/bin/sh", "-euc", _forget_memory(cluster)]), check=True)


def destroy(cluster: paths.Cluster) -> None:
    """Kill everything in the namespaces and wait until nothing of it is left."""
    process = holder(cluster)
    if process is not None:
        # The kernel takes a dead network namespace apart later, in its own time; this is done when it returns.
        subprocess.run(enter(cluster, ["ip", "link", "delete", "eth0"]), capture_output=True, check=False)
        os.kill(process.pid, signal.SIGKILL)
        waiting.until(lambda: Process.of(process.pid) != process, "the node's processes end")
    cgroups.remove(cluster)
    _forget_folders(cluster)


def _first_steps(cluster: paths.Cluster, pause: Path) -> str:
    """A shell script: what process 1 does in the new namespaces before it becomes the reaper of orphans."""
    quoted = shlex.quote
    lines = ["mount -t tmpfs -o mode=755 tmpfs /run", "ip link set lo up"]
    for name, value in KERNEL_TUNABLES.items():
        file = quoted(str(cluster.home / "tunables" / name.replace("/", ".")))
        lines += [f"mkdir -p $(dirname {file})", f"echo {value} >{file}", f"mount --bind {file} /proc/sys/{name}"]
    for folder in FIXED_FOLDERS:
        own = quoted(str(cluster.home / "fixed" / folder.strip("/").replace("/", ".")))
        lines += [f"mkdir -p {own}", f"mount --bind {own} {folder}"]
    # The kubelet shares mounts with pods (mountPropagation), which needs shared mounts, shared within the node only.
    lines += ["mount --make-rshared /", f"exec {quoted(str(pause))} {quoted(str(cluster.home))}"]
    return "\n".join(lines)


def _forget_memory(cluster: paths.Cluster) -> str:
    """A shell script: pods' mounts with what is in memory, the runtime's state, the pods' network and all rules."""
    home = shlex.quote(str(cluster.home))
    lines = [
        f"own={home}",
        'inner="^$own/kubelet/|^$own/containerd-state/|^/run/"',
        'for folder in $(cut -d" " -f2 /proc/self/mounts | grep -E "$inner" | sort -r); do umount -l "$folder"; done',
        'rm -rf "$own/containerd-state" "$own/runc" /run/*',
        "ip link delete cni0 2>/dev/null || true",
        "conntrack -F 2>/dev/null || true",
        "for table in nat filter mangle; do iptables -t $table -F; iptables -t $table -X; done",
    ]
    return "\n".join(lines)


def _await_holder(cluster: paths.Cluster, parent: subprocess.Popen[bytes]) -> None:
    def found() -> bool:
        if parent.poll() is not None:
            raise SystemExit(f"the node's namespaces could not be made; see {cluster.logs / 'node.log'}")
        return holder(cluster) is not None  # the shell has taken its last step, and is `pause` now

    waiting.until(found, "the node's namespaces are ready")


def _free_link() -> Link:
    routes = json.loads(subprocess.check_output(["ip", "-json", "route", "show", "table", "all"]) or "[]")
    taken = [ipaddress.ip_network(r["dst"], strict=False) for r in routes if r["dst"][0].isdigit()]
    for index in _LINKS:
        candidate = Link(index)
        if Path("/sys/class/net", candidate.interface).exists():
            continue
        address = ipaddress.ip_address(candidate.node)
        if not any(network.version == 4 and address in network for network in taken):
            return candidate
    raise SystemExit("no free address range 10.243.N.0/30 for the node")


def _connect(cluster: paths.Cluster, chosen: Link, service_range: str) -> None:
    process = holder(cluster)
    assert process is not None, "the holder was just found"
    pair = ["ip", "link", "add", chosen.interface, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid)]
    subprocess.run(pair, check=True)
    subprocess.run(["ip", "address", "add", f"{chosen.host}/30", "dev", chosen.interface], check=True)
    subprocess.run(["ip", "link", "set", chosen.interface, "up"], check=True)
    inside = (
        f"address add {chosen.node}/30 dev eth0",
        "link set eth0 up",
        # A service address needs a route of some kind to get as far as the rule that rewrites it.
        f"route add {service_range} dev eth0",
        # Nothing else is reachable from the node or its pods, and says so at once.
        "route add unreachable default",
    )
    for step in inside:
        subprocess.run(enter(cluster, ["ip", *step.split()]), check=True)
    subprocess.run(enter(cluster, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]), check=True)


def _note_folders(cluster: paths.Cluster) -> None:
    """Make the folders that get a bind mount, and remember which are new, to remove just those."""
    with locks.exclusive("node-folders"):
        lacking = {path for name in FIXED_FOLDERS for path in (Path(name), *Path(name).parents) if not path.exists()}
        _new_folders(cluster.home).write_text(json.dumps(sorted(map(str, lacking))))
        for name in FIXED_FOLDERS:
            Path(name).mkdir(parents=True, exist_ok=True)


def _forget_folders(cluster: paths.Cluster) -> None:
    """Remove those folders, or leave that to another node that uses them by now."""
    with locks.exclusive("node-folders"):
        folders = _noted_folders(cluster.home)
        for heir in _holders():
            if heir.is_dir():
                _new_folders(heir).write_text(json.dumps(sorted({*_noted_folders(heir), *folders})))
            return
        for folder in sorted(folders, key=len, reverse=True):
            with contextlib.suppress(OSError):  # something that was installed since keeps its files in it
                Path(folder).rmdir()


def _noted_folders(home: Path) -> list[str]:
    file = _new_folders(home)
    noted: list[str] = json.loads(file.read_text()) if file.exists() else []
    return noted


def _new_folders(home: Path) -> Path:
    return home / "new-folders"
