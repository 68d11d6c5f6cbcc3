"""Images in the node's own store."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import binaries, oci, paths, settings

_NAMESPACE = "k8s.io"
"""Where the kubelet's container runtime interface looks for images."""


def is_listening(cluster: paths.Cluster) -> bool:
    """Whether containerd answers."""
    return subprocess.run([*_ctr(cluster), "version"], capture_output=True, check=False).returncode == 0


def names(cluster: paths.Cluster) -> set[str]:
    """References of all images of the node, such as docker.io/edgedetector/pause:local."""
    listed = subprocess.check_output([*_ctr(cluster), "images", "list", "--quiet"], text=True)
    return set(listed.split())


def load_archive(cluster: paths.Cluster, archive: Path) -> None:
    """Import a tar as `docker save` writes it, or an OCI layout in a tar."""
    subprocess.run([*_ctr(cluster), "images", "import", str(archive)], check=True, stdout=subprocess.DEVNULL)


def load_docker_image(cluster: paths.Cluster, image: str) -> None:
    """Import an image from the Docker daemon that the environment names; raises SystemExit when either side fails."""
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
    if image.name in names(cluster):
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
