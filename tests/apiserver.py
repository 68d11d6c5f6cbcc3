"""A real API server with nothing behind it: etcd and kube-apiserver, ready in about three seconds.

For everything that needs the API server's judgement or its bookkeeping and no pods: admission, server-side apply, RBAC,
crashes between writes, load. No controller runs unless it is named, so nothing that is created is acted upon, deleted
owners leave their children, and a deleted namespace stays `Terminating`. Any number run side by side, on ports of their
own. The programs are the node's (`tests/e2e/node`). They end with the thread that started them, whatever ends it, and
their files lie in memory and go with them.

It lies beside the tests' directories and not in one of them, since unit tests of the chart, end-to-end tests and
benchmarks all use it; in tests also as the fixture `apiserver` of `tests/conftest.py`.

    with apiserver.start() as server:
        server.install_crds()
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "site"}})
        server.kubectl("get", "edgedetectors", "--all-namespaces")
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # for those who run a file of theirs as a program

from tests.e2e.node.localnode import binaries, debian, kubeconfig, pki, settings

Object = dict[str, Any]

START_SECONDS = 240.0
"""A start takes three seconds on a machine that does nothing else, and a minute on one that is ten times overloaded."""

MONITORING = ("servicemonitors", "prometheusrules")
MANAGER = "test"
"""Field manager of what tests apply."""

_PREFIX = "edgedetector-apiserver-"
_PORTS = range(20000, 32000)
"""Below those that the kernel gives to clients, so that none takes ours between the choice and the start."""

_EVERYTHING = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class RefusedError(RuntimeError):
    """The API server said no; `status` has the HTTP status, the message its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Server:
    """A running API server, and how to reach it as administrator."""

    home: Path
    url: str
    kubeconfig: Path
    """Of the administrator."""
    programs: dict[str, subprocess.Popen[bytes]]
    session: requests.Session
    """Authenticated as administrator; not for several threads at once."""
    plurals: dict[tuple[str, str], str] = field(default_factory=dict)
    """Path of a group version and a kind -> how the path of an object calls it, as far as it was asked for."""

    @property
    def audit_log(self) -> Path:
        """One line of JSON a request, without bodies; reads are in it, too."""
        return self.home / "audit.log"

    @property
    def authority(self) -> Path:
        """Certificate by which the server is to be trusted."""
        return self.home / "pki" / "ca.crt"

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send a request as administrator and return the parsed answer; raises RefusedError."""
        data = None if body is None else json.dumps(body)
        answer = self.session.request(
            method, self.url + path, data=data, headers={"Content-Type": content_type}, timeout=30
        )
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            try:
                message = answer.json()["message"]
            except (ValueError, KeyError):
                message = answer.text
            raise RefusedError(answer.status_code, message)
        return answer.json() if answer.headers.get("Content-Type", "").startswith("application/json") else answer.text

    def get(self, path: str) -> Any:
        """Return an object or a list; None if there is none."""
        try:
            return self.request("GET", path)
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def apply(self, *objects: Object, manager: str = MANAGER) -> list[Object]:
        """Server-side apply, in this order; takes fields over from others."""
        query = f"?fieldManager={manager}&force=true&fieldValidation=Strict"
        patch = "application/apply-patch+yaml"
        return [self.request("PATCH", self.path(obj) + query, obj, patch) for obj in objects]

    def delete(self, obj: Object, propagation: str = "Background") -> None:
        """Delete an object; one that is not there is as good as deleted."""
        with contextlib.suppress(RefusedError):
            self.request("DELETE", self.path(obj), {"propagationPolicy": propagation})

    def path(self, obj: Object) -> str:
        """Return the path of an object by its kind, namespace and name; the API server knows the kind's plural."""
        version, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        space = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
        return f"{prefix}{space}/{self._plural(prefix, kind)}/{metadata['name']}"

    def _plural(self, prefix: str, kind: str) -> str:
        if (prefix, kind) not in self.plurals:
            served = self.request("GET", prefix)["resources"]
            self.plurals.update({(prefix, item["kind"]): item["name"] for item in served if "/" not in item["name"]})
        return self.plurals[prefix, kind]

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator (`--as` for others); output and complaints are captured."""
        command = [str(binaries.program("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=check)

    def install_crds(self, *, monitoring: str = "real") -> None:
        """Make the kinds of `crds/` known, and wait until they are served.

        `monitoring`: "real" adds prometheus-operator's own two kinds that the operator makes (from Go's module cache),
        "stub" adds kinds of those names that take any field, "" adds nothing.
        """
        found = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]
        self.define(*found, *monitoring_crds(monitoring))

    def run_controllers(self, controllers: Sequence[str]) -> None:
        """Run these controllers from now on; the garbage collector needs 30 s to learn of kinds that come later."""
        command = [str(binaries.build("kubernetes") / "kube-controller-manager")]
        command += _controller_manager(self.home, controllers)
        self.programs["kube-controller-manager"] = _run(self.home, "kube-controller-manager", command)

    def define(self, *crds: Object) -> None:
        """Apply CustomResourceDefinitions and wait until they are Established."""
        self.apply(*crds)
        for crd in crds:
            path = self.path(crd)
            until(f"{crd['metadata']['name']} is Established", lambda path=path: _is_established(self.get(path)))
        for crd in crds:  # discovery follows a moment later
            spec = crd["spec"]
            for version in spec["versions"]:
                path = f"/apis/{spec['group']}/{version['name']}"
                plural = spec["names"]["plural"]
                until(f"{plural} is served", lambda path=path, plural=plural: _is_served(self.get(path), plural))

    def token(self, namespace: str, account: str) -> str:
        """Return a real token of a ServiceAccount, which is made if it does not exist; good for an hour."""
        made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, made)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        return str(self.request("POST", path, body)["status"]["token"])

    def kubeconfig_of(self, namespace: str, account: str, *, server: str = "") -> Path:
        """Write a kubeconfig of a ServiceAccount; `server` is another URL to go through, such as a proxy's."""
        user = {"name": "user", "user": {"token": self.token(namespace, account)}}
        cluster = {"server": server or self.url, "certificate-authority": str(self.authority)}
        context = {"cluster": "bare", "user": "user", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bare", "cluster": cluster}],
            "users": [user],
            "contexts": [{"name": "bare", "context": context}],
            "current-context": "bare",
        }
        descriptor, name = tempfile.mkstemp(dir=self.home, prefix=f"{account}-", suffix=".kubeconfig")
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(config, file)
        return Path(name)


def monitoring_crds(which: str) -> list[Object]:
    """Return the CRDs of ServiceMonitor and PrometheusRule: "real", "stub", or none for ""."""
    if which == "stub":
        return [_stub("ServiceMonitor", "servicemonitors"), _stub("PrometheusRule", "prometheusrules")]
    return [monitoring_crd(plural) for plural in MONITORING] if which else []


def monitoring_crd(plural: str) -> Object:
    """Return a CRD of prometheus-operator's own."""
    source = binaries.module_source("monitoring", "github.com/prometheus-operator/prometheus-operator")
    file = source / "example" / "prometheus-operator-crd" / f"monitoring.coreos.com_{plural}.yaml"
    found: Object = yaml.load(file.read_text(), yaml.CSafeLoader)
    return found


@contextlib.contextmanager
def start(*, audit: bool = False, controllers: Sequence[str] = (), flags: Sequence[str] = ()) -> Iterator[Server]:
    """Run etcd and an API server for as long as the context lasts.

    Parameters
    ----------
    audit
        Whether every request is logged (`Server.audit_log`).
    controllers
        Controllers of kube-controller-manager to run, such as "garbage-collector-controller" or "namespace-controller".
    flags
        Further flags of kube-apiserver.
    """
    debian.ensure({program: debian.NODE_PACKAGES[program] for program in ("etcd", "openssl")})
    folder = binaries.build("kubernetes")
    _sweep()
    home = Path(tempfile.mkdtemp(dir=_parent(), prefix=f"{_PREFIX}{os.getpid()}-"))
    programs: dict[str, subprocess.Popen[bytes]] = {}
    session = requests.Session()
    try:
        client, peer, port = _free_ports(3)
        server = Server(home, f"https://127.0.0.1:{port}", home / "kubeconfig", programs, session)
        _write_files(server)
        programs["etcd"] = _run(home, "etcd", _etcd(home, client, peer))
        command = [str(folder / "kube-apiserver"), *_apiserver(home, client, port), *flags]
        if audit:
            (home / "audit-policy.json").write_text(json.dumps(_EVERYTHING))
            command += [f"--audit-log-path={server.audit_log}", f"--audit-policy-file={home / 'audit-policy.json'}"]
        programs["kube-apiserver"] = _run(home, "kube-apiserver", command)
        until("the API server is ready", lambda: _is_ready(server), START_SECONDS, every=0.05)
        if controllers:
            server.run_controllers(controllers)
        yield server
    finally:
        session.close()
        for program in reversed(programs.values()):
            program.kill()  # nothing of it is to be kept
        for program in programs.values():
            program.wait()
        shutil.rmtree(home, ignore_errors=True)


def until(what: str, condition: Callable[[], object], seconds: float = 180.0, every: float = 0.02) -> None:
    """Poll until the condition holds; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(every)


def _etcd(home: Path, client: int, peer: int) -> list[str]:
    return [
        "etcd",
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(home: Path, etcd: int, port: int) -> list[str]:
    keys = home / "pki"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # 127.0.0.1 is refused as an address of the Service `kubernetes`, which nobody needs here.
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--service-cluster-ip-range={settings.SERVICES}",
        "--authorization-mode=RBAC",
        # No controller makes the ServiceAccount `default` of a namespace, without which pods would be refused.
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--tls-cert-file={keys / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={keys / 'service-accounts.crt'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
    ]


def _controller_manager(home: Path, controllers: Iterable[str]) -> list[str]:
    config = home / "kubeconfig"
    return [
        f"--kubeconfig={config}",
        "--leader-elect=false",
        f"--controllers={','.join(controllers)}",
        "--secure-port=0",
        f"--service-account-private-key-file={home / 'pki' / 'service-accounts.key'}",
    ]


def _write_files(server: Server) -> None:
    keys = server.home / "pki"
    pki.make(keys, "none", ["DNS:localhost", "IP:127.0.0.1"])
    text = kubeconfig.render("bare", server.url, keys / "ca.crt", keys / "admin.crt", keys / "admin.key")
    kubeconfig.write(server.kubeconfig, text)
    server.session.verify = str(server.authority)
    server.session.cert = (str(keys / "admin.crt"), str(keys / "admin.key"))
    server.session.trust_env = False  # a proxy of the machine knows nothing of 127.0.0.1


def _run(home: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    # The kernel kills the program when the thread that started it ends, also when nobody could clean up.
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _is_ready(server: Server) -> bool:
    for name, program in server.programs.items():
        if program.poll() is not None:
            words = (server.home / f"{name}.log").read_text(errors="replace")
            raise RuntimeError(f"{name} has ended: {words[-2000:]}")
    try:
        return server.session.get(f"{server.url}/readyz", timeout=5).status_code == HTTPStatus.OK
    except requests.RequestException:
        return False


def _is_established(crd: Object | None) -> bool:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _is_served(group_version: Object | None, plural: str) -> bool:
    return any(item["name"] == plural for item in (group_version or {}).get("resources") or ())


def _stub(kind: str, plural: str) -> Object:
    group = "monitoring.coreos.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def _parent() -> Path:
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _sweep() -> None:
    """Remove the files of servers whose starter was killed."""
    for folder in _parent().glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{folder.name.removeprefix(_PREFIX).split('-')[0]}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in random.sample(_PORTS, len(_PORTS)):
            candidate = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                candidate.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError("no free port")
