#!/usr/bin/env python3
"""Put the monitoring stack onto a local cluster, building it first where it has to be built.

monitoring.py up [--name NAME]              everything
monitoring.py metrics-server [--name NAME]  what autoscalers and `kubectl top` need
monitoring.py crds [--name NAME]            prometheus-operator's kinds alone: in seconds, without a build
monitoring.py prometheus [--name NAME]      prometheus-operator and a Prometheus that takes everything
"""

from __future__ import annotations

import argparse
import shlex
import subprocess

from localnode import cluster, monitoring, paths

PARTS = {
    "crds": monitoring.install_crds,
    "prometheus": monitoring.install_prometheus,
    "metrics-server": monitoring.install_metrics_server,
}


def main() -> None:
    """Install what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", *PARTS])
    parser.add_argument("--name", default="edgedetector", help="the cluster's name")
    options = parser.parse_args()
    if options.name not in cluster.names():
        raise SystemExit(f"no cluster '{options.name}' is running")
    # The first part is included in the second.
    for part in ["metrics-server", "prometheus"] if options.what == "up" else [options.what]:
        PARTS[part](paths.Cluster(options.name))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"ERROR: this command failed: {shlex.join(map(str, error.cmd))}") from None
