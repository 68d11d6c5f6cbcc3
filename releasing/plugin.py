"""The command line as an archive for each platform, with all libraries in it: what krew installs.

A library is in it once if it is the same file by file for every Python, otherwise once for each.
"""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from releasing import archive, launcher, tools
from releasing.tree import Tree

PROGRAMS: Final = frozenset({"kubectl-edgedetector", "kubectl_complete-edgedetector"})
PYTHONS: Final = tuple(f"3.{minor}" for minor in launcher.MINORS)
MACOS: Final = "13.0"
"""The oldest macOS whose wheels are taken."""
_LEFT_OUT: Final = ("bin/", "..", "kubernetes/aio/")
"""Of what a library installs: scripts, which name the Python of this machine, and the half of the Kubernetes client for
asyncio, which the command line does not use: half of the archive."""
_UNUSED: Final = frozenset(
    ["aiohappyeyeballs", "aiohttp", "aiohttp_retry", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"]
)
"""Libraries of that half alone."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform, as krew and as uv name it."""

    system: str
    architecture: str
    target: str

    @property
    def name(self) -> str:
        """As files are named after it: `linux_amd64`."""
        return f"{self.system}_{self.architecture}"


PLATFORMS: Final = (
    Platform("linux", "amd64", "x86_64-manylinux_2_28"),
    Platform("linux", "arm64", "aarch64-manylinux_2_28"),
    Platform("darwin", "amd64", "x86_64-apple-darwin"),
    Platform("darwin", "arm64", "aarch64-apple-darwin"),
)


@dataclass(frozen=True, slots=True)
class Library:
    """One installed distribution: `files` as its RECORD has them (path, hash), `metadata` the path of its METADATA."""

    name: str
    files: frozenset[tuple[str, str]]
    metadata: Path


def requirements(tree: Tree, target: Path) -> Path:
    """Write what the command line needs, with the versions and hashes of uv.lock."""
    options = ["--quiet", "--frozen", "--no-dev", "--extra", "cli", "--no-emit-project", "--no-header", "--no-annotate"]
    tools.run_uv("export", *options, "--output-file", str(target), folder=tree.root)
    return target


def install(listed: Path, platform: Platform, scratch: Path) -> dict[str, Path]:
    """Fetch the libraries of `platform`; Python -> the folder with them."""
    folders = {}
    for python in PYTHONS:
        folders[python] = scratch / platform.name / python
        options = ["--quiet", "--only-binary", ":all:", "--no-deps", "--require-hashes", "--python-version", python]
        options += ["--python-platform", platform.target, "--target", str(folders[python])]
        variables = {"MACOSX_DEPLOYMENT_TARGET": MACOS, "UV_LINK_MODE": "hardlink"}
        tools.run_uv("pip", "install", *options, "--requirements", str(listed), variables=variables)
    return folders


def libraries(folder: Path) -> dict[str, Library]:
    """Return what is installed in `folder`, by name."""
    found = {}
    for info in sorted(folder.glob("*.dist-info")):
        rows = csv.reader((info / "RECORD").read_text().splitlines())
        files = frozenset((path, hash_) for path, hash_, *_ in rows if not path.startswith(_LEFT_OUT))
        name = info.name.partition("-")[0]
        if name in _UNUSED:
            continue
        found[name] = Library(name, files, info / "METADATA")
    return found


def lay_out(folders: Mapping[str, Path]) -> dict[str, Path | bytes]:
    """Return the archive's libraries: path in it -> file."""
    installed = {python: libraries(folder) for python, folder in folders.items()}
    seen = Counter((library.name, library.files) for one in installed.values() for library in one.values())
    found: dict[str, Path | bytes] = {}
    for python, one in installed.items():
        for library in one.values():
            shared = seen[library.name, library.files] == len(folders)
            place = "any" if shared else "cp" + python.replace(".", "")
            found |= {f"lib/{place}/{path}": folders[python] / path for path, _ in library.files}
    return found


def pack(tree: Tree, wheel: Path, platform: Platform, folders: Mapping[str, Path], output: Path) -> Path:
    """Write the archive of `platform` into `output`."""
    start = Path(launcher.__file__).read_bytes()
    files = lay_out(folders) | dict.fromkeys(PROGRAMS, start) | {"LICENSE": (tree.root / "LICENSE").read_bytes()}
    with zipfile.ZipFile(wheel) as own:
        files |= {f"lib/any/{name}": own.read(name) for name in own.namelist() if not name.endswith("/")}
    target = output / f"kubectl-edgedetector_v{tree.version}_{platform.name}.tar.gz"
    archive.pack(target, files, tree.epoch, programs=PROGRAMS)
    return target
