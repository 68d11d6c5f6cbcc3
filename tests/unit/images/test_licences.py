"""Everything above the base has an accepted licence, or the build says which part has none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

IMAGES = Path(__file__).parents[3] / "images"
sys.path.append(str(IMAGES))  # its scripts import each other as they do when they run
import licences
import parts
from parts import Part

sys.path.remove(str(IMAGES))

TERMS = licences.parse(licences.TABLE.read_text())
OLD = "Package: libc6\nStatus: install ok installed\nVersion: 2\n\nPackage: gone\nStatus: deinstall ok config-files\n"
NEW = OLD + "\nPackage: libexpat1\nStatus: install ok installed\nVersion: 2.5\n"
VENV = "opt/venv/lib/python3.11/site-packages"


def pack(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def image(path: Path, *layers: dict[str, bytes]) -> Path:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Layers": names}]).encode()
    path.write_bytes(pack({"manifest.json": manifest, **dict(zip(names, map(pack, layers), strict=True))}))
    return path


def found(tmp_path: Path, files: dict[str, bytes]) -> frozenset[Part]:
    base = {parts.STATUS: OLD.encode(), "usr/local/bin/of-the-base": parts.ELF}
    return parts.read(image(tmp_path / "image.tar", base, {parts.STATUS: NEW.encode(), **files}))


def test_what_the_base_holds_is_not_ours(tmp_path: Path) -> None:
    assert found(tmp_path, {}) == {Part("Debian", "libexpat1", "2.5")}


def test_a_distribution_is_known_by_its_metadata(tmp_path: Path) -> None:
    text = (
        "Name: Typing_Extensions\nVersion: 4\nLicense: MIT License\nClassifier: License :: OSI :: BSD License\n\nbody"
    )
    (part,) = [
        one for one in found(tmp_path, {f"{VENV}/t-4.dist-info/METADATA": text.encode()}) if one.kind == "Python"
    ]
    assert part == Part("Python", "typing-extensions", "4")
    assert part.declared == ("MIT License", "BSD License")
    assert licences.licence(part, TERMS) == "MIT"


def test_libraries_of_wheels_lose_the_digits_of_their_names(tmp_path: Path) -> None:
    files = ["av.libs/libavcodec.so.62", "numpy.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so", "cv2/cv2.abi3.so"]
    binaries = {f"{VENV}/{name}": parts.ELF for name in files}
    binaries["opt/tritonserver/lib/libldap-2-858af7e7.5.so.0.1.13"] = parts.ELF
    libraries = {(one.home, one.name) for one in found(tmp_path, binaries) if one.kind == "library"}
    openblas = ("numpy.libs", "libopenblas64_p-r0")
    assert libraries == {("av.libs", "libavcodec"), openblas, ("tritonserver", "libldap-2")}


def test_a_program_that_nobody_answers_for_is_refused(tmp_path: Path) -> None:
    (wrong,) = licences.check(found(tmp_path, {"usr/local/bin/ffmpeg": parts.ELF, "etc/passwd": b"root"}), TERMS)
    assert "usr/local/bin/ffmpeg" in wrong


def test_the_gpl_encoders_of_a_wheel_are_refused_by_name(tmp_path: Path) -> None:
    wrong = licences.check(found(tmp_path, {f"{VENV}/av.libs/libx264-d6533a8d.so.165": parts.ELF}), TERMS)
    assert wrong == ["library av.libs/libx264 : licence not known"]


def test_a_wheel_under_the_gpl_is_refused_by_its_licence(tmp_path: Path) -> None:
    text = b"Name: strong\nVersion: 1\nLicense-Expression: AGPL-3.0-only\n"
    wrong = licences.check(found(tmp_path, {f"{VENV}/strong-1.dist-info/METADATA": text}), TERMS)
    assert wrong == ["Python strong 1: AGPL-3.0-only is not accepted"]


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@given(st.lists(st.tuples(st.from_regex(r"[a-z./]{1,80}", fullmatch=True), st.from_regex(r"v\d\.\d", fullmatch=True))))
def test_go_tells_its_modules(modules: list[tuple[str, str]]) -> None:
    text = "path\tmain\n" + "".join(f"dep\t{name}\t{version}\th1:x=\n" for name, version in modules)
    framed = b"0" * parts.MODULES_FRAME + text.encode() + b"1" * parts.MODULES_FRAME
    header = parts.BUILD_INFO.ljust(parts.BUILD_INFO_HEADER, b"\0")
    program = parts.ELF + header + varint(8) + b"go1.26.8" + varint(len(framed)) + framed + b"code"
    assert parts.go_modules(program) == {Part("Go", "std"), *(Part("Go", *module) for module in modules)}


def test_a_program_without_build_info_has_no_modules() -> None:
    assert parts.go_modules(parts.ELF + b"C") == set()


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("MIT AND GPL-3.0-or-later", False),
        ("BSD-3-Clause OR GPL-2.0-only", True),
        ("GPL-2.0-only OR AGPL-3.0-only", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("GPL-3.0-or-later", False),
        ("MIT OR (GPL-2.0-only AND MIT)", False),
        ("", False),
    ],
)
def test_one_of_two_is_enough_and_both_of_two_are_needed(expression: str, *, right: bool) -> None:
    assert licences.known(expression, TERMS.accepted) is right


def test_the_accepted_licences_hold_no_gpl_without_exception() -> None:
    assert [one for one in TERMS.accepted if one.startswith(("GPL", "AGPL")) and " WITH " not in one] == []


def test_every_licence_of_the_tables_is_accepted_or_set_apart_with_a_reason() -> None:
    rows = [(name, said) for kind in ("Python", "Debian", "Go") for name, said in TERMS.tables[kind].items()]
    rows += [(name, said) for home in TERMS.tables["library"].values() for name, said in home.items()]
    refused = {name for name, said in rows if not licences.known(said, TERMS.accepted)}
    assert refused == set(TERMS.apart)


def test_the_document_names_a_part_once_with_all_its_images() -> None:
    jinja = Part("Python", "jinja2", "3")
    text = licences.document({"one": [jinja], "two": [jinja, Part("Debian", "libexpat1", "2.5")]}, TERMS)
    assert "| Python | jinja2 | 3 | BSD-3-Clause | one, two |" in text
    assert "| Debian | libexpat1 |  | MIT | two |" in text


def wheel(folder: Path, version: str) -> Path:
    """Site-packages in which PyAV brought seven libraries of FFmpeg, and one more."""
    libraries = folder / "av.libs"
    libraries.mkdir(parents=True)
    for name in ("avcodec", "avdevice", "avfilter", "avformat", "avutil", "swresample", "swscale"):
        (libraries / f"lib{name}-0123abcd.so.{version}").write_text("theirs")
    (libraries / "libx264-d6533a8d.so.165").write_text("theirs")
    return folder


def build(folder: Path, version: str) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "doc").mkdir()
    (folder / "doc" / "COPYING.LGPLv2.1").write_text("text")
    for name in ("avcodec", "avdevice", "avfilter", "avformat", "avutil", "swresample", "swscale"):
        (folder / "lib" / f"lib{name}.so.{version}").write_text("ours")
    return folder


def use(built: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(IMAGES / "use-ffmpeg"), str(built), str(packages)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pyav_finds_our_ffmpeg_under_the_names_of_its_own(tmp_path: Path) -> None:
    packages = wheel(tmp_path / "packages", "62.1.2")
    assert use(build(tmp_path / "built", "62.1.2"), packages).returncode == 0
    libraries = packages / "av.libs"
    assert (libraries / "libavcodec-0123abcd.so.62.1.2").read_text() == "ours"
    assert (libraries / "libavcodec-0123abcd.so.62.1.2").readlink() == Path("libavcodec.so.62")
    assert not list(libraries.glob("libx264*"))
    assert (libraries / "doc" / "COPYING.LGPLv2.1").exists()


def test_another_version_than_pyav_was_built_for_is_refused(tmp_path: Path) -> None:
    packages = wheel(tmp_path / "packages", "62.1.2")
    done = use(build(tmp_path / "built", "62.1.1"), packages)
    assert done.returncode != 0
    assert "libavcodec 62.1.2, built is libavcodec.so.62.1.1" in done.stderr
