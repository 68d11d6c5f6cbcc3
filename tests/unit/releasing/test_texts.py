"""What a release says of itself: version, changes, sums, lists of parts."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from releasing import archive, builds, changelog, sbom, tree
from releasing.__main__ import check_output, prepare
from releasing.tree import ROOT, ReleaseError

LOG = "# Changelog\n\n## 0.2.0 (unreleased)\n\n- One\n  and more.\n- Two.\n\n## 0.1.0 (2026-11-23)\n\n- First.\n"


def test_the_repository_says_one_version_everywhere_and_what_has_changed() -> None:
    version = tree.read().version
    assert tree.disagreements(ROOT, version) == []
    assert changelog.entry((ROOT / "CHANGELOG.md").read_text(), version).changes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout in which everything is committed, and a cache that git ignores."""
    for name, text in {"pyproject.toml": '[project]\nversion = "0.1.0"\n', ".gitignore": "*.pyc\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "one.pyc").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], check=True)
    return tmp_path


def test_a_checkout_with_only_what_git_ignores_is_committed(checkout: Path) -> None:
    assert not tree.read(checkout).dirty


@pytest.mark.parametrize("name", ["pyproject.toml", "operator/new.py", "operator/sub/new.py"])
def test_a_change_or_a_file_that_git_does_not_know_is_not_committed(name: str, checkout: Path) -> None:
    """Images copy folders with all that is in them."""
    subprocess.run(["git", "-C", str(checkout), "config", "status.showUntrackedFiles", "no"], check=True)
    (checkout / name).parent.mkdir(exist_ok=True)
    with (checkout / name).open("a") as file:
        file.write("\n")
    assert tree.read(checkout).dirty


def test_every_place_that_says_another_version_is_named() -> None:
    found = tree.disagreements(ROOT, "9.9.9")
    assert len(found) == 3 + 4  # three files, and the images of the shipped profiles
    assert "charts/edgedetector/Chart.yaml, appVersion: 0.1.0" in found
    with pytest.raises(ReleaseError, match=r"not 9\.9\.9 everywhere: pyproject\.toml"):
        prepare("9.9.9")


def test_the_changes_of_a_release_are_sentences() -> None:
    assert changelog.entry(LOG, "0.2.0") == changelog.Entry("0.2.0", "", ("One and more.", "Two."))
    assert changelog.entry(LOG, "0.1.0").date == "2026-11-23"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (LOG.replace("(2026-11-23)", ""), "should be"),
        (LOG.replace("2026-11-23", "unreleased"), "only the first"),
        (LOG.replace("0.1.0", "0.3.0"), "newest release comes first"),
        (LOG.replace("0.1.0", "0.2.0"), "newest release comes first"),
        (LOG.replace("0.2.0", "0.2.1"), "says nothing of 0.2.0"),
        ("# Changelog\n\n## 0.2.0 (unreleased)\n", "says nothing of 0.2.0"),
    ],
)
def test_a_change_log_out_of_order_is_refused(log: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        changelog.entry(log, "0.2.0")


FILES = st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=64))


@given(FILES)
def test_an_archive_depends_on_its_files_alone(files: dict[str, bytes]) -> None:
    name = "".join(sorted(files)) or "none"
    scratch = ROOT / "build"
    scratch.mkdir(exist_ok=True)
    targets = [scratch / f"{hashlib.sha256(name.encode()).hexdigest()}-{turn}.tar.gz" for turn in "ab"]
    try:
        archive.pack(targets[0], files, 1_700_000_000)
        archive.pack(targets[1], dict(reversed(files.items())), 1_700_000_000)
        assert targets[0].read_bytes() == targets[1].read_bytes()
        with tarfile.open(targets[0]) as packed:
            assert {one.name: packed.extractfile(one).read() for one in packed} == files  # type: ignore[union-attr]
    finally:
        for target in targets:
            target.unlink(missing_ok=True)


def test_sums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "sbom").mkdir()
    (tmp_path / "sbom" / "a.json").write_text("a")
    (tmp_path / "b c").write_text("b")
    archive.write_sums(tmp_path)
    command = ["sha256sum", "--check", "--strict", archive.SUMS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["b c: OK", "sbom/a.json: OK"])
    (tmp_path / "b c").write_text("other")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


PARTS = [
    sbom.Part("Debian", "libexpat1", "2.5.0-1", licence="MIT"),
    sbom.Part("Debian", "libc6", "2.36-9"),
    sbom.Part("Python", "kopf", "1.45.2", licence="MIT"),
    sbom.Part("Go", "github.com/AlexxIT/go2rtc", "v1.9.14", licence="MIT"),
    sbom.Part("Go", "std"),
    sbom.Part("library", "libcudart", home="tritonserver", licence="LicenseRef-NVIDIA-CUDA"),
    sbom.Part("library", "libgmp", home="tritonserver", licence="LGPL-3.0-or-later OR GPL-2.0-or-later"),
    sbom.Part("library", "libgfortran", home="numpy.libs", licence="GPL-3.0-or-later WITH GCC-exception-3.1"),
    sbom.Part("library", "libgfortran", home="opencv.libs", licence="GPL-3.0-or-later WITH GCC-exception-3.1"),
    sbom.Part("file", "opt/x"),
]


def test_a_list_of_parts_is_what_the_format_asks_for_and_the_same_twice() -> None:
    text = sbom.document("detector", "0.1.0", "container", PARTS, epoch=1_700_000_000, architecture="amd64")
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    again = sbom.document("detector", "0.1.0", "container", PARTS[::-1], epoch=1_700_000_000, architecture="amd64")
    assert text == again
    assert text.count('"bom-ref"') == len(PARTS) + 1
    for address in (
        "pkg:deb/debian/libexpat1@2.5.0-1?arch=amd64&distro=debian-12",
        "pkg:pypi/kopf@1.45.2",
        "pkg:golang/github.com/AlexxIT/go2rtc@v1.9.14",
    ):
        assert f'"purl": "{address}"'.lower() in text.lower()


def test_the_lists_of_two_versions_have_two_numbers() -> None:
    made = {sbom.document("a", version, "container", PARTS, epoch=0) for version in ("1", "2")}
    assert len({text.partition('"serialNumber"')[2].partition("\n")[0] for text in made}) == 2


def test_a_folder_with_other_things_is_not_deleted(tmp_path: Path) -> None:
    check_output(tmp_path)
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(ReleaseError, match="holds other things"):
        check_output(tmp_path)


DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_the_digests_of_other_peoples_images_are_digests(tmp_path: Path) -> None:
    builds.pins()  # the repository's own are accepted
    table = tmp_path / "pins.toml"
    table.write_text(f'[images]\n"example/triton:1" = "{DIGEST}"\n')
    assert builds.pins(table) == {"example/triton:1": DIGEST}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[images]\na = "{DIGEST}"\n"b:1" = "{DIGEST[7:]}"', "b:1 has '0123"),
        (f'[images]\na = "{DIGEST[:-1]}"', "instead of sha256: and 64 digits"),
        (f'[images]\na = "{DIGEST[:-1]}g"', "instead of sha256: and 64 digits"),
        (f'[images]\na = "{DIGEST}\\n"', "instead of sha256: and 64 digits"),
        (f'[images]\na.b = "{DIGEST}"', "a has {'b': .*} instead of"),
        ("[images]\na = 5", "a has 5 instead of"),
        (f"[images]\na = {DIGEST}", "is no TOML"),
        (f'[image]\na = "{DIGEST}"', r"has no table \[images\]"),
    ],
)
def test_a_table_of_digests_with_something_else_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text(text)
    with pytest.raises(ReleaseError, match=said):
        builds.pins(tmp_path / "pins.toml")


def test_the_wheel_is_built_by_the_same_program_as_that_in_the_images() -> None:
    (line,) = [line for line in (ROOT / "releasing/build-constraints.txt").read_text().splitlines() if line]
    assert line in (ROOT / "Dockerfile").read_text()
