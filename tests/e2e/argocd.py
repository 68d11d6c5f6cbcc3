"""A real Argo CD beside the cluster: its controller, its repository server and a redis, as processes of this machine.

No pods and no images: they have the cluster's kubeconfig and read a git repository on this disk. There is no web
interface and no API of its own, so that actions are not run through it; `argocd admin` runs their scripts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.node.localnode import binaries, debian, wheels

from forward import get
from harness import poll
from stages import ROOT

Object = dict[str, Any]

NAMESPACE = "argocd"
MODULE = "github.com/argoproj/argo-cd/v3"
SETTINGS = ROOT / "manifests" / "argo-cd" / "argocd-cm.yaml"
FINALIZER = "resources-finalizer.argocd.argoproj.io"


@dataclass
class Repository:
    """A git repository on disk; every commit is on its branch `main` at once."""

    path: Path

    @classmethod
    def new(cls, path: Path) -> Repository:
        """Return an empty one."""
        path.mkdir()
        found = cls(path)
        found.git("init", "--quiet", "--initial-branch=main")
        return found

    @property
    def url(self) -> str:
        """As Argo CD is told."""
        return f"file://{self.path}"

    def git(self, *arguments: str) -> str:
        """Run git there, as nobody in particular."""
        who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.path, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def write(self, name: str, *objects: Object) -> None:
        """Write a file of manifests, uncommitted."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump_all(objects, sort_keys=False))

    def commit(self, message: str) -> str:
        """Commit everything and return the revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class ArgoCD:
    """A running Argo CD and its cluster."""

    kubeconfig: Path
    metrics: str
    """URL of what the controller counts."""

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of kubectl in Argo CD's namespace."""
        kubectl = str(binaries.program("kubectl"))
        return [kubectl, "--kubeconfig", str(self.kubeconfig), "--namespace", NAMESPACE, *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in Argo CD's namespace."""
        done = subprocess.run(self.command(*arguments), input=stdin, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Server-side apply."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listing))

    def application(self, name: str, source: Object, namespace: str) -> Application:
        """Create an Application that is synced by itself and heals itself, as ours are."""
        (ours,) = yaml.safe_load_all((ROOT / "manifests" / "argo-cd" / "single-box" / "detectors.yaml").read_text())
        destination = {"server": "https://kubernetes.default.svc", "namespace": namespace}
        spec = {**ours["spec"], "source": {"targetRevision": "main", **source}, "destination": destination}
        metadata = {"name": name, "namespace": NAMESPACE, "finalizers": [FINALIZER]}
        return self.take({**ours, "metadata": metadata, "spec": spec})

    def take(self, obj: Object) -> Application:
        """Create an Application as it stands."""
        self.apply(obj)
        return Application(obj["metadata"]["name"], self)


class Sight(NamedTuple):
    """A state of an Application."""

    sync: str
    """Synced or OutOfSync."""
    compared: str
    """When Argo CD last compared the cluster with git."""


@dataclass(frozen=True)
class Application:
    """An Application and what Argo CD says of it."""

    name: str
    argo: ArgoCD

    def look(self) -> Object:
        """Return its status."""
        text = self.argo.kubectl("get", "application.argoproj.io", self.name, "-o", "json", "--ignore-not-found")
        found: Object = (json.loads(text) if text.strip() else {}).get("status") or {}
        return found

    def syncs(self) -> int:
        """Return how often it was synced, healing included, of which `status.history` has nothing."""
        families = text_string_to_metric_families(get(self.argo.metrics).decode())
        samples = [sample for family in families if family.name == "argocd_app_sync" for sample in family.samples]
        return int(sum(sample.value for sample in samples if sample.labels["name"] == self.name))

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], list[Sight]]]:
        """Watch it for as long as the context lasts; what is yielded returns all that was seen so far.

        Each state of it that the API server tells is in it, also one that is over before anybody looks.
        """
        columns = r"{.status.sync.status} {.status.reconciledAt}{'\n'}"
        command = ["get", "application.argoproj.io", self.name, "--watch", "-o", f"jsonpath={columns}"]
        with tempfile.TemporaryFile() as told:
            watch = subprocess.Popen(self.argo.command(*command), stdout=told)

            def seen() -> list[Sight]:
                assert watch.poll() is None, "the watch has ended, and what came after it was not seen"
                text = os.pread(told.fileno(), os.fstat(told.fileno()).st_size, 0).decode()
                whole = text[: text.rfind("\n") + 1]  # the last line may be half written
                return [Sight(*line.split(" ")) for line in whole.splitlines()]

            try:
                poll("the watch has begun", seen, bool)
                yield seen
            finally:
                watch.terminate()
                watch.wait()

    def refresh(self) -> None:
        """Have it look at git now."""
        note = "argocd.argoproj.io/refresh=normal"
        self.argo.kubectl("annotate", "application.argoproj.io", self.name, note, "--overwrite")

    def delete(self) -> None:
        """Delete it with all that it made."""
        self.argo.kubectl("delete", "application.argoproj.io", self.name, "--ignore-not-found", "--timeout=120s")

    def await_health(self, health: str, revision: str = "", seconds: float = 240.0) -> Object:
        """Wait until it is synced, to this revision, with this health."""

        def good(status: Object) -> bool:
            sync = status.get("sync") or {}
            synced = sync.get("status") == "Synced" and revision in {"", sync.get("revision")}
            return synced and (status.get("health") or {}).get("status") == health

        return poll(f"Application {self.name} is {health}", self.look, good, seconds)


def health_of(status: Object, kind: str) -> Object:
    """Return the health of the one resource of a kind, with its message."""
    (found,) = [entry for entry in status.get("resources") or () if entry["kind"] == kind]
    health: Object = found.get("health") or {}
    return health


@contextlib.contextmanager
def running(home: Path, kubeconfig: Path) -> Iterator[ArgoCD]:
    """Run Argo CD for a cluster for as long as the context lasts; what it leaves in the cluster stays."""
    debian.ensure({"redis-server": "redis-server", "git": "git"})
    metrics = _free_port()
    argo = ArgoCD(kubeconfig, f"http://127.0.0.1:{metrics}/metrics")
    _install(argo)
    programs = [_start(home, name, command, kubeconfig) for name, command in _commands(metrics).items()]
    try:
        yield argo
    except BaseException:
        for log in sorted(home.glob("*.log")):
            print(f"--- {log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
        raise
    finally:
        _end(programs)


def admin(*arguments: str) -> str:
    """Run `argocd admin settings resource-overrides` with our settings, without a cluster; its output."""
    command = [str(binaries.program("argocd")), "admin", "settings", "resource-overrides", *arguments]
    command += ["--argocd-cm-path", str(SETTINGS)]
    # It shows what an action changes by this command, with the resource before and after: the latter is printed whole.
    environment = os.environ | {"KUBECTL_EXTERNAL_DIFF": """sh -c 'cat "$1"'"""}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _install(argo: ArgoCD) -> None:
    """Apply the definitions, which are megabytes, hence by the server, and what argocd-server would have made."""
    folder = binaries.module_source("argo-cd", MODULE) / "manifests" / "crds"
    for file in sorted(folder.glob("*-crd.yaml")):
        argo.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
    argo.kubectl("wait", "--for=condition=Established", "crd/applications.argoproj.io", "--timeout=60s")
    argo.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def made(version: str, kind: str, name: str, **fields: Any) -> Object:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "argocd"}}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}

    project = {
        "sourceRepos": ["*"],
        "destinations": [{"namespace": "*", "server": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    }
    argo.apply(
        yaml.safe_load(SETTINGS.read_text()),
        made("v1", "Secret", "argocd-secret"),
        made("v1", "ConfigMap", "argocd-rbac-cm"),
        made("argoproj.io/v1alpha1", "AppProject", "default", spec=project),
    )


def _commands(metrics: int) -> dict[str, list[str]]:
    redis, repository = _free_port(), _free_port()
    store = ["--redis", f"127.0.0.1:{redis}"]
    return {
        "redis": ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        "repo-server": [
            str(binaries.program("argocd-repo-server")),
            *("--port", str(repository), "--metrics-port", str(_free_port()), "--disable-tls", *store),
            # Else a commit takes minutes to be seen.
            *("--revision-cache-expiration", "5s"),
        ],
        "application-controller": [
            str(binaries.program("argocd-application-controller")),
            *("--namespace", NAMESPACE, "--metrics-port", str(metrics), *store),
            *("--repo-server", f"127.0.0.1:{repository}", "--repo-server-plaintext"),
            *("--app-resync", "10", "--app-resync-jitter", "0"),
            # By default it waits longer from time to time, and a fight over a field would look like peace.
            *("--self-heal-backoff-timeout-seconds", "0"),
            "--persist-resource-health",
        ],
    }


def _start(home: Path, name: str, command: list[str], kubeconfig: Path) -> subprocess.Popen[bytes]:
    folder = home / name
    folder.mkdir(parents=True)
    environment = _environment(folder) | {"KUBECONFIG": str(kubeconfig)}
    # The kernel kills the program when the thread that started it ends, also when nobody could clean up.
    bound = ["setpriv", "--pdeathsig", "KILL", "--", *command]
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(bound, env=environment, cwd=folder, stdout=log, stderr=log)


def _end(programs: list[subprocess.Popen[bytes]]) -> None:
    for program in reversed(programs):
        program.terminate()
    for program in programs:
        try:
            program.wait(timeout=20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _environment(folder: Path) -> dict[str, str]:
    """Return what it finds in a container, here."""
    paths = {
        "ARGOCD_TLS_DATA_PATH": "tls",
        "ARGOCD_SSH_DATA_PATH": "ssh",
        "ARGOCD_GNUPGHOME": "gnupg",
        "ARGOCD_PLUGINSOCKFILEPATH": "plugins",
        "TMPDIR": "tmp",
        "HOME": "home",
    }
    for name in paths.values():
        (folder / name).mkdir()
    tools = [wheels.helm().parent, binaries.program("kustomize").parent, binaries.program("argocd-git-ask-pass").parent]
    return {
        **{name: str(folder / path) for name, path in paths.items()},
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
