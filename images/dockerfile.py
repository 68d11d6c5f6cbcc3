"""What enters an image: the stages of a Dockerfile, the files they take from the build context, and a hash of both.

Reads the subset of the Dockerfile syntax that this repository uses: FROM, ARG, COPY and RUN --mount, line continuations
and comments. Pure but for reading the files themselves.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

IGNORED = ("__pycache__", "*.pyc", ".*_cache")
"""Names that never reach a build, as in .dockerignore."""

TEST_SUFFIX = "-test"
"""A stage NAME-test is the build test of the image NAME: built, run once, never shipped."""


class DockerfileError(Exception):
    """The Dockerfile, or a file that it takes, is not as expected."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it starts from (a stage or an image), which stages it copies or mounts from, which files."""

    name: str
    parent: str
    others: tuple[str, ...]
    sources: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Closure:
    """Everything that one stage is made of: stages by name, files by path within the context, and their hash."""

    stages: tuple[str, ...]
    files: tuple[str, ...]
    digest: str


def parse(text: str, arguments: Mapping[str, str]) -> dict[str, Stage]:
    """Return the stages by name; `arguments` override the defaults of the ARGs before the first FROM."""
    values: dict[str, str] = {}
    blocks: list[tuple[str, str, list[str]]] = []
    for line in _instructions(text):
        keyword, _, rest = line.partition(" ")
        if keyword == "ARG" and not blocks:
            name, _, default = rest.partition("=")
            values[name] = arguments.get(name, default)
        elif keyword == "FROM":
            words = _expand(rest, values).split()
            name = words[2] if len(words) == len(("image", "AS", "name")) else str(len(blocks))
            blocks.append((name, words[0], []))
        elif not blocks:
            raise DockerfileError(f"{keyword} before the first FROM")
        else:
            blocks[-1][2].append(_expand(line, values))
    return {name: _stage(name, parent, lines) for name, parent, lines in blocks}


def targets(stages: Mapping[str, Stage]) -> list[str]:
    """Return the images: the stages that have a build test, in the order of the file."""
    return [name for name in stages if name + TEST_SUFFIX in stages]


def stages_of(stages: Mapping[str, Stage], target: str) -> list[str]:
    """Return the stages that `target` is made of, itself last."""
    names: list[str] = []
    _visit(stages, target, names)
    return names


def closure(stages: Mapping[str, Stage], target: str, root: Path, overlay: Mapping[str, Path], seed: str) -> Closure:
    """Return what `target` is made of; `overlay` maps context paths to files that lie elsewhere.

    `seed` is what enters every image besides: the base's identity and the machine's architecture. DockerfileError when
    a stage or a source is missing.
    """
    names = stages_of(stages, target)
    files = sorted({one for name in names for source in stages[name].sources for one in _files(root, source, overlay)})
    digest = hashlib.sha256(seed.encode())
    for name in names:
        digest.update(f"\0stage {name} from {stages[name].parent}\n{stages[name].text}".encode())
    for one in files:
        path = overlay.get(one, root / one)
        digest.update(f"\0file {one} {is_executable(path)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return Closure(tuple(names), tuple(files), digest.hexdigest())


def is_executable(path: Path) -> bool:
    """Tell whether the owner may execute the file: the one bit of its mode that enters an image."""
    return bool(path.stat().st_mode & 0o100)


def _visit(stages: Mapping[str, Stage], name: str, found: list[str]) -> None:
    stage = stages.get(name)
    if stage is None:
        raise DockerfileError(f"no stage {name!r}")
    for other in (stage.parent, *stage.others):
        if other in stages and other not in found:
            _visit(stages, other, found)
    if name not in found:
        found.append(name)


def _instructions(text: str) -> Iterator[str]:
    parts: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        parts.append(line.removesuffix("\\").rstrip())
        if not line.endswith("\\"):
            yield " ".join(parts)
            parts = []


def _expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def _stage(name: str, parent: str, lines: list[str]) -> Stage:
    others: list[str] = []
    sources: list[str] = []
    for line in lines:
        keyword, _, rest = line.partition(" ")
        if keyword in {"COPY", "ADD"}:
            words = shlex.split(rest)
            flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
            plain = [word for word in words if not word.startswith("--")]
            if "from" in flags:
                others.append(flags["from"])
            else:
                sources.extend(plain[:-1])
        elif keyword == "RUN":
            for mount in re.findall(r"--mount=(\S+)", rest):
                options = dict(option.partition("=")[::2] for option in mount.split(","))
                if "from" in options:
                    others.append(options["from"])
                elif options.get("type", "bind") == "bind":
                    sources.append(options["source"])
    return Stage(name, parent, tuple(others), tuple(sources), "\n".join(lines))


def _files(root: Path, source: str, overlay: Mapping[str, Path]) -> Iterator[str]:
    wanted = source.removeprefix("./").strip("/")
    if wanted in overlay:
        yield wanted
        return
    found = False
    for top in sorted(root.glob(wanted)):
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            relative = path.relative_to(root)
            if path.is_file() and not any(fnmatch.fnmatch(part, name) for part in relative.parts for name in IGNORED):
                found = True
                yield str(relative)
    if not found:
        raise DockerfileError(f"the build takes {source!r}, which is not there")
