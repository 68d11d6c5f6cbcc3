"""How the operator is told what to do: command line over environment over defaults."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from edgedetector import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

N = TypeVar("N", int, float)

PREFIX = "EDGEDETECTOR_"
IMMEDIATE = "Immediate"
UPGRADE_POLICIES = ("OnNextChange", IMMEDIATE)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the process; durations in seconds."""

    operator_namespace: str
    detector_image: str
    image_replacements: Mapping[str, str] = field(default_factory=dict)
    monitoring_labels: Mapping[str, str] = field(default_factory=dict)
    """Of all ServiceMonitors and PrometheusRules, for Prometheus' selectors."""
    runbooks: str = "docs/runbooks"
    """Where a page an alert is published."""
    image_registry: str = ""
    """Registry that has all images; empty: those that their names say."""
    exporter_pull_secrets: tuple[str, ...] = ()
    model_hosts: tuple[str, ...] = ()
    """Hosts from which model files may be fetched."""
    network_policies: bool = True
    """Whether workloads get NetworkPolicies."""
    prometheus_namespaces: tuple[str, ...] = ("monitoring",)
    dns_cidrs: tuple[str, ...] = ()
    """Name servers besides the cluster's own pods."""
    release: str = __version__
    """Name of this release of the operator: another one renders other pods for the same resources."""
    upgrade_policy: str = "OnNextChange"
    """What another release does to pods that run: nothing until the next change, or "Immediate"."""
    namespaces: tuple[str, ...] = ()
    """Where EdgeDetectors are served; empty: everywhere. Named ones come without any right outside of them."""
    operator_deployment: str = ""
    """Deployment of the operator in its namespace: owns the exporters of profiles that are no objects themselves."""
    profiles: str = ""
    """Directory of profiles besides the shipped ones; empty: there is none."""
    workers: int = 4
    """Passes under way at once."""
    resync: float = 300.0
    """A deletion that fell into a gap of the watch is never signalled: this finds it. Spread by a tenth."""
    scrape_busy: float = 2.0
    """Between two questions to the pods of a detector that is changing."""
    scrape_rest: float = 5.0
    """Between two questions to the pods of a detector at rest."""
    tuning_probe: float = 2.0
    """Between two looks at the load of a detector while a configuration is on trial."""
    tuning_rest: float = 10.0
    """Between two looks at the load of any other detector that is tuned."""
    port: int = 9090
    """HTTP: /metrics, /healthz, /readyz."""
    log_level: str = "INFO"
    log_format: str = "json"


def parse(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> Options:
    """Return the options; a mistake ends the process with a usage message.

    Every flag has a variable: --detector-image is EDGEDETECTOR_DETECTOR_IMAGE.
    """
    variables = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m edgedetector.controller", description=__doc__)

    def flag(name: str, help_text: str, default: str) -> None:
        variable = PREFIX + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", default=variables.get(variable, default), help=f"{help_text} [{variable}]")

    flag("operator-namespace", "namespace of the operator, where exporters run", "edgedetector-system")
    flag("detector-image", "image of the detector container", "edgedetector/detector:latest")
    flag("image-replacements", "JSON object: exact image of a profile -> image to run", "{}")
    flag("monitoring-labels", "JSON object: labels of all ServiceMonitors and PrometheusRules", "{}")
    flag("runbooks", "address or path below which each alert has its page", "docs/runbooks")
    flag("image-registry", "registry of all images; empty: those that their names say", "")
    flag("exporter-pull-secrets", "comma-separated Secrets with which exporters' images are pulled", "")
    flag("model-hosts", "comma-separated hosts from which model files may be fetched", "")
    flag("network-policies", "true or false: whether workloads get NetworkPolicies", "true")
    flag("prometheus-namespaces", "comma-separated namespaces of Prometheus servers", "monitoring")
    flag("dns-cidrs", "comma-separated address ranges of name servers besides the cluster's", "")
    flag("release", "name of this release of the operator, its image", __version__)
    flag("upgrade-policy", "what another release does to pods that run: OnNextChange or Immediate", "OnNextChange")
    flag("operator-deployment", "name of the operator's own Deployment", "")
    flag("profiles", "directory of profiles besides the shipped ones", "")
    flag("namespaces", "comma-separated namespaces to serve; empty: all", "")
    flag("workers", "passes under way at once", "4")
    flag("resync", "seconds between two full looks at a resource", "300")
    flag("scrape-busy", "seconds between questions to the pods of a changing detector", "2")
    flag("scrape-rest", "seconds between questions to the pods of a detector at rest", "5")
    flag("tuning-probe", "seconds between looks at the load of a detector on trial", "2")
    flag("tuning-rest", "seconds between looks at the load of a detector that is tuned", "10")
    flag("port", "port of /metrics, /healthz and /readyz", "9090")
    flag("log-level", "DEBUG, INFO, WARNING or ERROR", "INFO")
    flag("log-format", "json or text", "json")
    values = parser.parse_args(arguments)
    try:
        return Options(
            operator_namespace=values.operator_namespace,
            detector_image=values.detector_image,
            image_replacements=_texts(values.image_replacements, "image-replacements"),
            monitoring_labels=_texts(values.monitoring_labels, "monitoring-labels"),
            runbooks=values.runbooks.rstrip("/"),
            image_registry=values.image_registry,
            exporter_pull_secrets=_list(values.exporter_pull_secrets),
            model_hosts=_list(values.model_hosts),
            network_policies=_choice(values.network_policies, "network-policies", "true", "false") == "true",
            prometheus_namespaces=_list(values.prometheus_namespaces),
            dns_cidrs=_list(values.dns_cidrs),
            release=values.release,
            upgrade_policy=_choice(values.upgrade_policy, "upgrade-policy", *UPGRADE_POLICIES),
            namespaces=_list(values.namespaces),
            operator_deployment=values.operator_deployment,
            profiles=values.profiles,
            workers=_positive(int(values.workers), "workers"),
            resync=_positive(float(values.resync), "resync"),
            scrape_busy=_positive(float(values.scrape_busy), "scrape-busy"),
            scrape_rest=_positive(float(values.scrape_rest), "scrape-rest"),
            tuning_probe=_positive(float(values.tuning_probe), "tuning-probe"),
            tuning_rest=_positive(float(values.tuning_rest), "tuning-rest"),
            port=int(values.port),
            log_level=values.log_level.upper(),
            log_format=values.log_format,
        )
    except ValueError as error:
        parser.error(str(error))


def _choice(value: str, name: str, *choices: str) -> str:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}")
    return value


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _texts(text: str, name: str) -> dict[str, str]:
    document = json.loads(text or "{}")
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise ValueError(f"{name}: expected a JSON object of texts")
    return document


def _positive(value: N, name: str) -> N:
    if value <= 0:
        raise ValueError(f"{name}: must be above 0")
    return value
