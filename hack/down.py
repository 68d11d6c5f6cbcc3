"""`make down`: end the local cluster and whatever builds left running."""

from __future__ import annotations

import subprocess
import sys

import cluster


def down() -> None:
    """Delete our own node; an existing cluster is left alone."""
    if cluster.existing():
        sys.exit("KUBECONFIG names an existing cluster: delete the demo's namespaces there yourself")
    kind = cluster.kind_executable()
    subprocess.run(
        [kind, "delete", "cluster", "--name", cluster.NAME, "--kubeconfig", cluster.kubeconfig()], check=True
    )
    subprocess.run([sys.executable, cluster.ROOT / "images" / "build.py", "--clean"], check=True)


if __name__ == "__main__":
    down()
