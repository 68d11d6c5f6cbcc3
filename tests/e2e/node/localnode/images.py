"""Images in the node's own store."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from . import binaries, oci, paths, progress, settings

_NAMESPACE = "k8s.io"
"""Where the kubelet's container runtime interface looks for images."""


def is_listening(cluster: paths.Cluster) -> bool:
    """Whether containerd answers."""
    return subprocess.run([*_ctr(cluster), "version"], capture_output=True, check=False).returncode == 0


def digests(cluster: paths.Cluster) -> dict[str, str]:
    """Digest of every image of the node, by name (docker.io/edgedetector/pause:local) and by ID (sha256:...)."""
    listed = subprocess.check_output([*_ctr(cluster), "images", "list"], text=True)
    rows = [line.split() for line in listed.splitlines()[1:]]  # REF TYPE DIGEST ...
    return {row[0]: row[2] for row in rows}


def load_archive(cluster: paths.Cluster, archive: Path) -> None:
    """Import a tar as `docker save` writes it, or an OCI layout in a tar; what is there already costs nothing."""
    if _is_loaded(cluster, archive):
        progress.say(f"  the node has {archive.name} already")
        return
    subprocess.run([*_ctr(cluster), "images", "import", str(archive)], check=True, stdout=subprocess.DEVNULL)


def _is_loaded(cluster: paths.Cluster, archive: Path) -> bool:
    """Whether every name of a `docker save` tar stands for the very image in it."""
    with tarfile.open(archive) as tar:
        member = next((entry for entry in tar if entry.name == "manifest.json"), None)
        content = tar.extractfile(member) if member else None
        images: list[dict[str, Any]] = json.load(content) if content else []
    here = digests(cluster)
    pairs = [
        (f"docker.io/{name}", "sha256:" + Path(image["Config"]).name.removesuffix(".json"))
        for image in images
        for name in image.get("RepoTags") or []
    ]
    return bool(pairs) and all(name in here and here[name] == here.get(identity) for name, identity in pairs)


def load_docker_image(cluster: paths.Cluster, image: str) -> None:
    """Import an image from the Docker daemon that the environment names; raises SystemExit when either side fails."""
    inspect = ["docker", "image", "inspect", "--format={{.Id}}", image]
    identity = subprocess.run(inspect, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    here = digests(cluster)
    if here.get(f"docker.io/{image}", "none") == here.get(identity):
        progress.say(f"  the node has {image} already")
        return
    saving = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    importing = subprocess.run(
        [*_ctr(cluster), "images", "import", "-"], stdin=saving.stdout, stdout=subprocess.DEVNULL, check=False
    )
    if saving.stdout is not None:
        saving.stdout.close()
    if saving.wait() != 0 or importing.returncode != 0:
        raise SystemExit(f"image '{image}' could not be loaded")


def ensure(cluster: paths.Cluster, image: oci.Image, archive: Path) -> None:
    """Make an image of programs and import it, each unless that is done."""
    if image.name in digests(cluster):
        return
    if not archive.exists():
        oci.write(image, archive)
    load_archive(cluster, archive)


def ensure_pause(cluster: paths.Cluster) -> None:
    """The image of the container that holds a pod's namespaces."""
    program = binaries.program("pause")
    image = oci.Image(settings.PAUSE_IMAGE, {"/pause": program}, ("/pause",))
    ensure(cluster, image, paths.cache() / "images" / f"{program.parent.name}.tar")


def _ctr(cluster: paths.Cluster) -> list[str]:
    return ["ctr", "--address", str(cluster.socket), "--namespace", _NAMESPACE]
