"""35 cameras as a pod each, in shards of five, and in one process: who is disturbed by what, and what it costs.

    python -m bench.media_topology [--topologies one,shards,each]

Starts the local cluster if there is none; made in a namespace of its own, which is deleted at the end.
Prints a line an event, a table and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.media_topology import objects, video
from bench.media_topology.cluster import Cluster, KubectlError, wait_for
from bench.media_topology.experiment import CAMERAS, READERS, TOPOLOGIES, Experiment
from bench.media_topology.objects import NAMESPACE, Images
from bench.media_topology.report import Row, table
from hack import cluster as driver


def prepare(cluster: Cluster, images: Images) -> None:
    """Make the namespace, the cameras and the readers."""
    cluster.run("delete", "namespace", NAMESPACE, "--ignore-not-found")
    cluster.apply([objects.namespace()])
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as directory:
        video.main(Path(directory, "loop.h264"))
        loop = Path(directory, "loop.h264").read_bytes()
    play = f"exec python /scripts/camera.py --video /scripts/loop.h264 --paths {CAMERAS + 5}"
    files = {"camera.py": (here / "camera.py").read_bytes(), "loop.h264": loop}
    camera = objects.helper("camera", images.detector, play, files, {"rtsp": 8554, "control": 8080})
    play = "exec python /scripts/readers.py"
    files = {"readers.py": (here / "readers.py").read_bytes()}
    readers = objects.helper("readers", images.detector, play, files, {"control": 8081})
    cluster.apply(camera + readers)
    cluster.run("-n", NAMESPACE, "wait", "pod/camera", "pod/readers", "--for=condition=Ready", "--timeout=180s")


def clear(cluster: Cluster) -> None:
    """Remove the media pods of a topology."""
    cluster.get(f"{READERS}/targets?json={{}}")
    cluster.run("-n", NAMESPACE, "delete", "deployment", "--all", "--wait=false")
    wait_for("pods to end", lambda: not cluster.pods("app=media"))
    for number in range(CAMERAS, CAMERAS + 5):
        cluster.delete("secret", f"camera-{number}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topologies", default=",".join(TOPOLOGIES))
    parser.add_argument("--keep", action="store_true", help="leave the namespace")
    arguments = parser.parse_args()
    driver.create()
    cluster = Cluster(driver.build("kubectl"), driver.kubeconfig())
    images = Images(**driver.load_images("detector", "go2rtc"))
    rows: list[Row] = []
    costs: dict[str, dict[str, Any]] = {}
    try:
        prepare(cluster, images)
        for topology in arguments.topologies.split(","):
            experiment = Experiment(cluster, images, topology)
            experiment.rows = rows
            costs[topology] = experiment.run()
            clear(cluster)
    finally:
        if not arguments.keep:
            cluster.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    print(table(rows, costs))
    print(json.dumps({"cameras": CAMERAS, "rows": [asdict(row) for row in rows], "costs": costs}))


if __name__ == "__main__":
    try:
        main()
    except (KubectlError, TimeoutError) as error:
        sys.exit(f"error: {error}")
