"""metrics-server and Prometheus on the cluster: the real consumers of autoscalers, monitors and rules."""

from __future__ import annotations

from collections.abc import Mapping

from . import api, binaries, images, oci, paths, progress

PROMETHEUS_VERSION = "v3.8.1"
"""The release that Go modules call v0.308.1."""

WAIT = "--timeout=180s"


def install_crds(cluster: paths.Cluster) -> None:
    """The kinds of prometheus-operator, from its own source files; needs no compiled program but kubectl."""
    with progress.stage("prometheus-operator's CRDs"):
        source = binaries.module_source("monitoring", "github.com/prometheus-operator/prometheus-operator")
        files = sorted((source / "example" / "prometheus-operator-crd").glob("*.yaml"))
        api.apply(cluster, "\n---\n".join(file.read_text() for file in files))
        api.kubectl(cluster, ["wait", "crd", "--all", "--for=condition=Established", WAIT])


def install_metrics_server(cluster: paths.Cluster) -> None:
    """metrics-server, until the API server answers for its group."""
    image = _image(cluster, "metrics-server")
    with progress.stage("metrics-server"):
        _apply(cluster, "metrics-server.yaml", {"METRICS_SERVER_IMAGE": image})
        _rolled_out(cluster, "kube-system", "deployment/metrics-server")
        api.kubectl(cluster, ["wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", WAIT])


def install_prometheus(cluster: paths.Cluster) -> None:
    """prometheus-operator and a Prometheus that takes every monitor and rule, until that runs."""
    install_crds(cluster)
    values = {
        "PROMETHEUS_OPERATOR_IMAGE": _image(cluster, "prometheus-operator"),
        "CONFIG_RELOADER_IMAGE": _image(cluster, "prometheus-config-reloader"),
        "PROMETHEUS_IMAGE": _image(cluster, "prometheus"),
        "PROMETHEUS_VERSION": PROMETHEUS_VERSION,
    }
    with progress.stage("prometheus-operator and Prometheus"):
        _apply(cluster, "prometheus.yaml", values)
        _rolled_out(cluster, "monitoring", "deployment/prometheus-operator")
        api.kubectl(cluster, ["wait", "--namespace=monitoring", "prometheus/main", "--for=condition=Available", WAIT])


def _image(cluster: paths.Cluster, program: str) -> str:
    """Reference of the image that holds just that program, made and imported first if it has to be."""
    binary = binaries.program(program)
    image = oci.Image(
        name=f"docker.io/edgedetector/{program}:{binary.parent.name.rpartition('-')[2]}",
        files={f"/bin/{program}": binary},
        entrypoint=(f"/bin/{program}",),
    )
    with progress.stage(f"image of {program}"):
        images.ensure(cluster, image, paths.cache() / "images" / f"{program}-{binary.parent.name}.tar")
    return image.name


def _apply(cluster: paths.Cluster, file: str, values: Mapping[str, str]) -> None:
    text = (paths.SOURCE / "manifests" / file).read_text()
    for placeholder in sorted(values, key=len, reverse=True):  # no placeholder may eat the end of a longer one
        text = text.replace(placeholder, values[placeholder])
    api.apply(cluster, text)


def _rolled_out(cluster: paths.Cluster, namespace: str, workload: str) -> None:
    api.kubectl(cluster, ["rollout", "status", f"--namespace={namespace}", workload, WAIT])
