"""Addresses of the cluster, and the configuration files of its programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from . import paths

SERVICES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
"""The first address of the range; the API server takes it for itself."""
DNS_SERVICE = "10.96.0.10"
PODS = "10.244.0.0/16"
NODE_PODS = "10.244.0.0/24"
"""The part of the pods' range that the controller manager gives to its first node."""
DOMAIN = "cluster.local"
API_PORT = 6443
PAUSE_IMAGE = "docker.io/edgedetector/pause:local"


def write(cluster: paths.Cluster, pki: Path) -> None:
    """Write every configuration file that a program of the node reads."""
    home = cluster.home
    (home / "denglin.json").write_text(_json(_with_device()))
    (home / "containerd.toml").write_text(_containerd(cluster))
    (home / "cni").mkdir(exist_ok=True)
    (home / "cni" / "10-pods.conflist").write_text(_json(_cni(cluster)))
    (home / "kubelet.json").write_text(_json(_kubelet(cluster, pki)))
    (home / "kube-proxy.json").write_text(_json(_kube_proxy(cluster)))
    (home / "Corefile").write_text(_corefile(cluster))
    (home / "audit-policy.json").write_text(_json(_AUDIT_POLICY))


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _containerd(cluster: paths.Cluster) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE no process may lower its score, and every sandbox would fail.
    # disable_apparmor: a profile would be loaded into the machine's kernel and stay there.
    # The runtime `denglin` stands for the vendor's: pods of the profile denglin-ks20 name it and get a device from it.
    home = cluster.home
    specs = {"runc": "", "denglin": f'base_runtime_spec = "{home}/denglin.json"'}
    runtimes = "\n".join(_RUNTIME.format(name=name, root=f"{home}/runc", spec=spec) for name, spec in specs.items())
    return f"""version = 2
root = "{home}/containerd"
state = "{home}/containerd-state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{cluster.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  enable_tls_streaming = false
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home}/cni"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
{runtimes}"""


_RUNTIME = """    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      {spec}
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        Root = "{root}"
        SystemdCgroup = false
"""


DEVICE = "/dev/denglin0"
DEVICE_GROUP = 20001
"""The group that may open it, as a vendor's driver sets one: nobody else but root may."""


def _with_device() -> dict[str, Any]:
    """Return containerd's own specification of a container and a device in it, a second name of /dev/null."""
    done = subprocess.run(["ctr", "oci", "spec"], check=True, stdout=subprocess.PIPE)
    spec: dict[str, Any] = json.loads(done.stdout)
    device = {"type": "c", "major": 1, "minor": 3}
    spec["linux"]["devices"] = [device | {"path": DEVICE, "fileMode": 0o660, "uid": 0, "gid": DEVICE_GROUP}]
    spec["linux"]["resources"]["devices"].append(device | {"allow": True, "access": "rwm"})
    return spec


def _cni(cluster: paths.Cluster) -> dict[str, object]:
    # One routed veth pair a pod, no bridge: then a pod reaches itself through its own Service, too.
    ipam = {
        "type": "host-local",
        "dataDir": str(cluster.home / "addresses"),
        "ranges": [[{"subnet": NODE_PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": cluster.name,
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(cluster: paths.Cluster, pki: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": DOMAIN,
        "resolvConf": "",  # the machine's resolver is of no use to pods: they reach nothing outside
        "containerRuntimeEndpoint": f"unix://{cluster.socket}",
        "podLogsDir": str(cluster.home / "pod-logs"),
        "volumePluginDir": str(cluster.home / "volume-plugins"),
        "maxPods": 200,
        "serializeImagePulls": False,
        # Images were imported and cannot be pulled again: never collect them, nor evict pods from a full-ish disk.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _kube_proxy(cluster: paths.Cluster) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": cluster.node,
        "clientConnection": {"kubeconfig": str(cluster.home / "kubeconfigs" / "kube-proxy")},
        "conntrack": {"maxPerCore": 0},  # the limit is the machine's, and not writable from here
        "iptables": {"minSyncPeriod": "0s"},
    }


def _corefile(cluster: paths.Cluster) -> str:
    return f""".:53 {{
    errors
    ready 127.0.0.1:8181
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {cluster.home / "kubeconfigs" / "coredns"}
        ttl 5
    }}
    cache 5
}}
"""


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
"""Who did what to which object, without bodies: they may hold Secrets."""
