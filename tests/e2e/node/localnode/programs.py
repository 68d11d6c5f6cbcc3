"""The command lines of the node's programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from . import paths, settings


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """What the command lines are made of: where things lie, the node's address, and the audit log's file."""

    cluster: paths.Cluster
    binaries: Path
    address: str
    audit_log: str = ""

    @property
    def home(self) -> Path:
        """Every file of the running cluster."""
        return self.cluster.home

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.cluster.home / "pki"


def etcd(node: Node) -> list[str]:
    """The store; without fsync, since the cluster does not outlive the machine's next boot anyway."""
    return [
        "etcd",
        f"--data-dir={node.home / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
    ]


def containerd(node: Node) -> list[str]:
    """The container runtime."""
    return ["containerd", f"--config={node.home / 'containerd.toml'}"]


def apiserver(node: Node) -> list[str]:
    """The API server, with aggregation (metrics-server) and an audit log of two files of 100 MB at most."""
    pki = node.pki
    command = [
        str(node.binaries / "kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={node.address}",
        f"--secure-port={settings.API_PORT}",
        f"--service-cluster-ip-range={settings.SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-accounts.crt'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        f"--kubelet-client-certificate={pki / 'kube-apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'kube-apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
        "--enable-aggregator-routing=true",
    ]
    if node.audit_log:
        command += [f"--audit-log-path={node.audit_log}", f"--audit-policy-file={node.home / 'audit-policy.json'}"]
        command += ["--audit-log-maxsize=100", "--audit-log-maxbackup=1"]
    return command


def controller_manager(node: Node) -> list[str]:
    """The controllers; the autoscaler looks every 5 s, since tests wait for it."""
    config = node.home / "kubeconfigs" / "kube-controller-manager"
    return [
        str(node.binaries / "kube-controller-manager"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={node.pki / 'ca.crt'}",
        f"--service-account-private-key-file={node.pki / 'service-accounts.key'}",
        f"--cluster-signing-cert-file={node.pki / 'ca.crt'}",
        f"--cluster-signing-key-file={node.pki / 'ca.key'}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={settings.PODS}",
        f"--service-cluster-ip-range={settings.SERVICES}",
        "--horizontal-pod-autoscaler-sync-period=5s",
        # A starved two-core machine is late with its heartbeats; that is no reason to evict every pod.
        "--node-monitor-grace-period=120s",
        f"--flex-volume-plugin-dir={node.home / 'volume-plugins'}",
    ]


def scheduler(node: Node) -> list[str]:
    """The scheduler."""
    config = node.home / "kubeconfigs" / "kube-scheduler"
    return [
        str(node.binaries / "kube-scheduler"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
    ]


def kubelet(node: Node) -> list[str]:
    """The node's agent."""
    return [
        str(node.binaries / "kubelet"),
        f"--config={node.home / 'kubelet.json'}",
        f"--kubeconfig={node.home / 'kubeconfigs' / 'kubelet'}",
        f"--root-dir={node.home / 'kubelet'}",
        f"--cert-dir={node.home / 'kubelet-pki'}",
        f"--hostname-override={node.cluster.node}",
        f"--node-ip={node.address}",
    ]


def kube_proxy(node: Node) -> list[str]:
    """Service addresses, as iptables rules of the node's own network."""
    return [str(node.binaries / "kube-proxy"), f"--config={node.home / 'kube-proxy.json'}"]


def coredns(node: Node) -> list[str]:
    """The cluster's DNS."""
    return [str(node.binaries / "coredns"), "-conf", str(node.home / "Corefile")]


def server_names(address: str) -> list[str]:
    """Every name and address under which the API server is called."""
    domain = settings.DOMAIN
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    addresses = ["127.0.0.1", address, settings.KUBERNETES_SERVICE]
    full = [*names, f"kubernetes.default.svc.{domain}"]
    return [f"DNS:{name}" for name in full] + [f"IP:{item}" for item in addresses]
