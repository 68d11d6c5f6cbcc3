"""Creating and deleting the cluster, from the parts of the other modules."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import (
    api,
    binaries,
    cgroups,
    debian,
    images,
    kubeconfig,
    locks,
    paths,
    pki,
    programs,
    progress,
    sandbox,
    settings,
    waiting,
)

START_SECONDS = 120.0
"""How long a start may take on a machine that is busy with other things."""


def names() -> list[str]:
    """Clusters that were created to the end and still run."""
    if not paths.state().is_dir():
        return []
    known = [paths.Cluster(entry.name) for entry in sorted(paths.state().iterdir()) if (entry / "complete").exists()]
    return [cluster.name for cluster in known if sandbox.holder(cluster) is not None]


def create(cluster: paths.Cluster, audit_log: str = "") -> None:
    """Bring the cluster up: from nothing, from what an interrupted creation left, or by restarting what has died."""
    with ThreadPoolExecutor() as pool:  # Go compiles while apt installs
        packages = pool.submit(debian.ensure, debian.NODE_PACKAGES)
        built = [pool.submit(binaries.build, name) for name in ("pause", "kubernetes")]
        packages.result()
        folder = [future.result() for future in built][1]
    with locks.exclusive(f"cluster-{cluster.name}"):
        if sandbox.holder(cluster) is None or not cluster.complete.exists():
            delete_locked(cluster)  # the machine was restarted, or creation was interrupted
        if not cluster.complete.exists():
            with progress.stage("keys, namespaces, addresses"):
                _prepare(cluster, audit_log)
        node = _node(cluster, folder)
        _start(cluster, node)
        cluster.complete.touch()


def reboot(cluster: paths.Cluster) -> None:
    """Cut the power of a running node and start it again."""
    with locks.exclusive(f"cluster-{cluster.name}"):
        with progress.stage("power cut"):
            sandbox.cut_power(cluster)
        _start(cluster, _node(cluster, binaries.build("kubernetes")))


def delete(cluster: paths.Cluster) -> None:
    """Remove the cluster and everything of it; nothing happens when there is none."""
    with locks.exclusive(f"cluster-{cluster.name}"):
        delete_locked(cluster)


def delete_locked(cluster: paths.Cluster) -> None:
    """Like delete, for who holds the cluster's lock."""
    if not cluster.home.exists() and sandbox.holder(cluster) is None:  # somebody may have deleted a live one's files
        return
    with progress.stage(f"delete cluster '{cluster.name}'"):
        cluster.complete.unlink(missing_ok=True)
        sandbox.destroy(cluster)
        if cluster.home.exists():
            shutil.rmtree(cluster.home)
        with contextlib.suppress(OSError):  # there is another cluster, or one is made at this moment
            paths.state().rmdir()


def _prepare(cluster: paths.Cluster, audit_log: str) -> None:
    cluster.logs.mkdir(parents=True, exist_ok=True)
    cgroups.make(cluster)
    link = sandbox.create(cluster, settings.SERVICES)
    pki_folder = cluster.home / "pki"
    pki.make(pki_folder, cluster.node, programs.server_names(link.node))
    settings.write(cluster, pki_folder)
    (cluster.home / "audit").write_text(json.dumps(audit_log or str(cluster.audit_log)))
    server = f"https://{link.node}:{settings.API_PORT}"
    for name in pki.clients(cluster.node):
        text = kubeconfig.render(
            cluster.context, server, pki_folder / "ca.crt", pki_folder / f"{name}.crt", pki_folder / f"{name}.key"
        )
        kubeconfig.write(cluster.kubeconfig if name == "admin" else cluster.home / "kubeconfigs" / name, text)


def _node(cluster: paths.Cluster, folder: Path) -> programs.Node:
    return programs.Node(
        cluster=cluster,
        binaries=folder,
        address=sandbox.link(cluster).node,
        audit_log=json.loads((cluster.home / "audit").read_text()),
    )


def _start(cluster: paths.Cluster, node: programs.Node) -> None:
    def run(name: str, command: Callable[[programs.Node], list[str]]) -> None:
        sandbox.start(cluster, name, command(node))

    def await_started(condition: Callable[[], bool], what: str, *names: str) -> None:
        def still_possible() -> bool:
            for name in names:
                if not sandbox.is_running(cluster, name):
                    raise SystemExit(f"{name} has ended; see {cluster.logs / name}.log")
            return condition()

        waiting.until(still_possible, what, START_SECONDS)

    with progress.stage("API server"):
        run("etcd", programs.etcd)
        run("containerd", programs.containerd)
        run("kube-apiserver", programs.apiserver)
        await_started(lambda: api.is_ready(cluster), "the API server is ready", "etcd", "kube-apiserver")
    with progress.stage("controllers, kubelet, DNS"):
        run("kube-controller-manager", programs.controller_manager)
        run("kube-scheduler", programs.scheduler)
        await_started(lambda: images.is_listening(cluster), "containerd answers", "containerd")
        run("kubelet", programs.kubelet)
        run("kube-proxy", programs.kube_proxy)
        images.ensure_pause(cluster)
        base = (paths.SOURCE / "manifests" / "base.yaml").read_text()
        api.apply(cluster, base.replace("DNS_ADDRESS", settings.DNS_SERVICE).replace("NODE_ADDRESS", node.address))
        run("coredns", programs.coredns)
    with progress.stage("node Ready"):
        await_started(lambda: api.node_is_ready(cluster), "the node is Ready", "kubelet", "containerd")
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        await_started(lambda: api.exists(cluster, account), "pods can be created", "kube-controller-manager")
