"""The manifest with which krew installs `kubectl edgedetector`, and krew's rules for it.

The rules are those that krew's own `validate-krew-manifest` asks for, and those of its index for names and texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from string import Template
from typing import Any, Final

import yaml

from releasing.tree import ReleaseError

API_VERSION: Final = "krew.googlecontainertools.github.com/v1alpha2"
SYSTEMS: Final = {
    "linux": frozenset({"386", "amd64", "arm", "arm64"}),
    "darwin": frozenset({"386", "amd64", "arm64"}),
    "windows": frozenset({"386", "amd64", "arm64"}),
}
"""Systems on which krew runs -> their architectures."""
WIDTHS: Final = {"shortDescription": 70, "description": 80, "caveats": 80}
"""Characters a line, as krew shows them."""
_SEMVER: Final = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def fill(template: str, version: str, url: str, sums: Mapping[str, str]) -> str:
    """Return the manifest.

    Parameters
    ----------
    template
        manifests/krew/edgedetector.yaml.
    url
        Where the archives of this release will lie, without a slash at the end.
    sums
        `OS_ARCHITECTURE` in capitals -> SHA-256 of that platform's archive.

    Raises
    ------
    ReleaseError
        A field of the template has no value, or the result is against krew's rules.
    """
    fields = {
        "VERSION": f"v{version}",
        "URL": url.rstrip("/"),
        **{f"SHA256_{name}": sum_ for name, sum_ in sums.items()},
    }
    try:
        text = Template(template).substitute(fields)
    except (KeyError, ValueError) as error:
        raise ReleaseError(f"manifests/krew/edgedetector.yaml: no value for {error}") from error
    wrong = faults(yaml.safe_load(text))
    if wrong:
        raise ReleaseError("manifests/krew/edgedetector.yaml: " + "; ".join(wrong))
    return text


def faults(manifest: Mapping[str, Any], name: str = "edgedetector") -> list[str]:
    """Return what krew would refuse about the manifest of the plugin `name`, a sentence each."""
    spec = manifest.get("spec") or {}
    wrong = []
    if manifest.get("apiVersion") != API_VERSION or manifest.get("kind") != "Plugin":
        wrong.append(f"apiVersion and kind should be {API_VERSION}, Plugin")
    if (manifest.get("metadata") or {}).get("name") != name or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        wrong.append(f"metadata.name should be the file's name, {name}, in lower case with hyphens")
    if name.startswith("kube"):
        wrong.append("metadata.name should not begin with kube")
    wrong += _texts(spec)
    platforms = spec.get("platforms") or []
    if not platforms:
        wrong.append("spec.platforms is empty")
    for number, platform in enumerate(platforms):
        wrong += [f"spec.platforms[{number}]: {sentence}" for sentence in _platform(platform)]
    served = Counter(_selected(platform) for platform in platforms)
    wrong += [f"{'/'.join(key)} is served {count} times" for key, count in served.items() if count > 1]
    return wrong


def _texts(spec: Mapping[str, Any]) -> list[str]:
    wrong = []
    if not _SEMVER.fullmatch(str(spec.get("version"))):
        wrong.append(f"spec.version {spec.get('version')!r} should be v and a semantic version")
    short = spec.get("shortDescription") or ""
    if not short or "\n" in short or short.endswith("."):
        wrong.append("spec.shortDescription should be one line without a full stop")
    for field, width in WIDTHS.items():
        if any(len(line) > width for line in (spec.get(field) or "").splitlines()):
            wrong.append(f"spec.{field}: lines have {width} characters at most")
    if not str(spec.get("homepage", "")).startswith("https://"):
        wrong.append("spec.homepage should be an https address")
    return wrong


def _platform(platform: Mapping[str, Any]) -> list[str]:
    wrong = []
    uri = str(platform.get("uri", ""))
    if not uri.startswith("https://") or not uri.endswith((".tar.gz", ".zip")):
        wrong.append("uri should be an https address of a .tar.gz or .zip")
    if not re.fullmatch(r"[a-f0-9]{64}", str(platform.get("sha256"))):
        wrong.append("sha256 should be 64 hexadecimal digits in lower case")
    program = str(platform.get("bin", ""))
    if not program or program.startswith("/") or ".." in program.split("/"):
        wrong.append("bin should be a path in the archive")
    files = platform.get("files")
    if files is not None and (not files or not all(one.get("from") and one.get("to") for one in files)):
        wrong.append("files should be left out, or have from and to")
    selector = platform.get("selector") or {}
    system, architecture = _selected(platform)
    if set(selector) != {"matchLabels"} or set(selector["matchLabels"]) != {"os", "arch"}:
        wrong.append("selector should have matchLabels os and arch")
    elif architecture not in SYSTEMS.get(system, ()):
        wrong.append(f"krew does not run on {system}/{architecture}")
    return wrong


def _selected(platform: Mapping[str, Any]) -> tuple[str, str]:
    labels = (platform.get("selector") or {}).get("matchLabels") or {}
    return str(labels.get("os")), str(labels.get("arch"))
