"""The chart as it is published: with the digests of its images, and with what Artifact Hub shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from releasing import tools
from releasing.changelog import Entry
from releasing.tree import OWN, ReleaseError, Tree, profile_images

CHART: Final = "charts/edgedetector"
EXAMPLES: Final = ("manifests/samples/one-camera/cpu.yaml", "operator/edgedetector/profiles/nvidia.yaml")
"""One of each kind."""
OPERATOR_IMAGES: Final = ("operator", "detector")
"""What the chart itself names, under its appVersion."""
_NO_DIGESTS: Final = "\nimageDigests: {}\n"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the chart. `name` has the tag; `digest` and `platforms` are empty where nobody has said them."""

    name: str
    digest: str = ""
    platforms: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Tell whether it is built here."""
        return self.name.startswith(OWN)


def images(tree: Tree) -> list[str]:
    """Return the names of all images that an installation may run, with their tags."""
    values = yaml.safe_load((tree.root / CHART / "values.yaml").read_text())
    exporter = values["nodeExporter"]["image"]
    named = [f"{OWN}{name}:{tree.version}" for name in OPERATOR_IMAGES]
    named += [image for _, image in profile_images(tree.root)]
    return sorted({*named, f"{exporter['repository']}:{exporter['tag']}"})


def package(tree: Tree, sources: Path, listed: list[Image], said: Entry, *, output: Path, scratch: Path) -> Path:
    """Write the chart's archive into `output`, by Helm."""
    folder = scratch / "chart" / "edgedetector"
    shutil.copytree(sources / CHART, folder)
    shutil.copy(sources / "LICENSE", folder / "LICENSE")
    values = folder / "values.yaml"
    values.write_text(pinned(values.read_text(), {image.name: image.digest for image in listed if image.digest}))
    chart = yaml.safe_load((folder / "Chart.yaml").read_text())
    objects = [yaml.safe_load((sources / name).read_text()) for name in EXAMPLES]
    chart["annotations"] |= told(listed, said, objects)
    (folder / "Chart.yaml").write_text(_dump(chart))
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (tree.epoch, tree.epoch))  # Helm takes them over
    tools.run([tools.helm(), "package", str(folder), "--destination", str(output)])
    return output / f"edgedetector-{tree.version}.tgz"


def pinned(values: str, digests: Mapping[str, str]) -> str:
    """Return values.yaml with these digests; comments stay."""
    if values.count(_NO_DIGESTS) != 1:
        raise ReleaseError(f"{CHART}/values.yaml should have the line 'imageDigests: {{}}' once")
    rows = "".join(f'  "{name}": {digest}\n' for name, digest in sorted(digests.items()))
    return values.replace(_NO_DIGESTS, f"\nimageDigests:\n{rows}" if rows else _NO_DIGESTS)


def told(listed: list[Image], said: Entry, examples: list[Any]) -> dict[str, str]:
    """Return what Artifact Hub is told besides what Chart.yaml says itself.

    Images of others are whitelisted: it does not look for defects in what is not ours to mend.
    """
    entries: list[dict[str, Any]] = []
    for image in listed:
        path = image.name.rpartition(":")[0].rpartition("/")
        full = f"{image.name}@{image.digest}" if image.digest else image.name
        entry: dict[str, Any] = {"name": path[2], "image": full}
        if not image.own:
            entry |= {"name": "-".join([*path[0].split("/")[-1:], path[2]]), "whitelisted": True}
        entries.append(entry | ({"platforms": list(image.platforms)} if image.platforms else {}))
    return {
        "artifacthub.io/images": _dump(entries),
        "artifacthub.io/changes": _dump([{"description": change} for change in said.changes]),
        "artifacthub.io/crdsExamples": _dump(examples),
    }


def _dump(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))
