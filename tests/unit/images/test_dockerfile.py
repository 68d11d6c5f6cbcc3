"""An image's hash covers everything that enters it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import dockerfile

ROOT = Path(__file__).parents[3]
TEXT = """
ARG BASE=debian
ARG VERSION=1
FROM ${BASE} AS base
RUN one \\
    # a comment inside
    && two
FROM base AS tools
RUN --mount=type=bind,source=scripts/make,target=/run/make --mount=type=cache,target=/c sh /run/make ${VERSION}
FROM base AS app
COPY --from=tools --chown=1:1 /made /made
COPY source /source
FROM app AS app-test
RUN --mount=type=bind,source=check.py,target=/check.py python3 /check.py
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("scripts/make", "source/a.py", "source/deep/b.py", "check.py", "unrelated"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def digest(root: Path, target: str = "app", text: str = TEXT, seed: str = "amd64", **arguments: str) -> str:
    return dockerfile.closure(dockerfile.parse(text, arguments), target, root, {}, seed).digest


def test_stages_files_and_order_follow_from_the_text(root: Path) -> None:
    stages = dockerfile.parse(TEXT, {"BASE": "mine"})
    assert stages["base"].parent == "mine"
    assert dockerfile.targets(stages) == ["app"]
    made = dockerfile.closure(stages, "app", root, {}, "")
    assert made.stages == ("base", "tools", "app")
    assert made.files == ("scripts/make", "source/a.py", "source/deep/b.py")
    assert dockerfile.closure(stages, "app-test", root, {}, "").files == ("check.py", *made.files)


@pytest.mark.parametrize("name", ["source/a.py", "source/deep/b.py", "source/new.py", "scripts/make"])
def test_what_enters_changes_the_hash(root: Path, name: str) -> None:
    before = digest(root)
    (root / name).write_text("changed")
    assert digest(root) != before


@pytest.mark.parametrize("name", ["unrelated", "check.py", "source/__pycache__/a.pyc", "source/.mypy_cache/x"])
def test_what_does_not_enter_leaves_the_hash(root: Path, name: str) -> None:
    before = digest(root)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("changed")
    assert digest(root) == before


def test_renames_modes_arguments_seed_and_text_change_the_hash(root: Path) -> None:
    seen = [digest(root), digest(root, VERSION="2"), digest(root, BASE="mine"), digest(root, seed="arm64")]
    seen.append(digest(root, text=TEXT.replace("two", "three")))
    (root / "source/a.py").chmod(0o755)
    seen.append(digest(root))
    (root / "source/a.py").rename(root / "source/c.py")
    seen.append(digest(root))
    assert len(set(seen)) == len(seen)


def test_only_the_owners_execute_bit_of_a_mode_counts(root: Path) -> None:
    (root / "source/a.py").chmod(0o644)
    before = digest(root)
    (root / "source/a.py").chmod(0o600)
    assert digest(root) == before


def test_a_file_can_lie_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    binary = tmp_path_factory.mktemp("elsewhere") / "binary"
    binary.write_text("scripts/make")
    (root / "scripts/make").unlink()
    stages = dockerfile.parse(TEXT, {})
    with pytest.raises(dockerfile.DockerfileError, match="scripts/make"):
        dockerfile.closure(stages, "app", root, {}, "")
    first = dockerfile.closure(stages, "app", root, {"scripts/make": binary}, "")
    binary.write_text("other")
    second = dockerfile.closure(stages, "app", root, {"scripts/make": binary}, "")
    assert first.files == second.files
    assert first.digest != second.digest


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(dockerfile.DockerfileError, match="nothing"):
        dockerfile.stages_of(dockerfile.parse(TEXT, {}), "nothing")


def test_the_projects_own_dockerfile_has_a_build_test_for_every_image() -> None:
    stages = dockerfile.parse((ROOT / "Dockerfile").read_text(), {})
    assert set(dockerfile.targets(stages)) == {
        *("operator", "detector", "triton-cpu", "triton-cpu-2307", "go2rtc", "camera"),
        *("emulated-triton", "emulated-exporter", "mosquitto"),
    }
