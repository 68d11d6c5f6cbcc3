#!/usr/bin/env python3
"""The licence of everything that the published images hold above their base.

python3 images/licences.py           fail on a part without a known, acceptable licence, or when docs/licences.md is old
python3 images/licences.py --write   write docs/licences.md
python3 images/licences.py --list    print every part, with the versions of Debian's packages

Builds no image: what images/build.py has made is read. A wheel states its licence by itself; for all else, and where it
does not, licences.toml says it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "images" / "licences.toml"
DOCUMENT = ROOT / "docs" / "licences.md"
HEAD = """# Licences

What the published images hold above their base, Debian 12, and under which licence (SPDX). EdgeDetector itself is under
the Apache License 2.0. Written by `python3 images/licences.py --write`; `make test` fails when it is not up to date,
when a part's licence is not known, and when one is under the GPL or AGPL but for those named below. What a wheel has
linked statically into its own modules is counted as the wheel, under the licence that it states.
The versions of Debian's packages are those of the day; `python3 images/licences.py --list` prints an image's own.

Texts that lie in the images: `/usr/share/doc/*/copyright`, `*.dist-info/licenses`, `av.libs/doc` for FFmpeg, whose
source is in `images/ffmpeg`. **Not there yet, and due before the images are published:** those of the modules in
go2rtc's binary, of the libraries beside Triton's, and the notice of NVIDIA's headers, which stands in their source.
The demo's camera and the emulated accelerator are test tools and are not published.
"""


class LicenceError(Exception):
    """A part has no licence that is known and acceptable."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What licences.toml says."""

    published: tuple[str, ...]
    accepted: frozenset[str]
    apart: Mapping[str, str]
    """Parts under a licence that is not accepted, which are linked into nothing -> the reason."""
    spelling: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Any]]
    """Kind -> name -> licence; libraries have their home between."""


def parse(text: str) -> Terms:
    """Return the terms of a licences.toml."""
    table = tomllib.loads(text)
    tables = {kind: table[kind] for kind in ("Python", "Debian", "Go", "library")}
    accepted = frozenset(table["accepted"])
    return Terms(tuple(table["published"]), accepted, table["apart"], table["spelling"], tables)


def licence(part: parts.Part, terms: Terms) -> str:
    """Return the part's licence as SPDX; LicenceError when it is not known.

    A wheel may name it in two spellings, exactly and by a classifier ("BSD License"): the first that is known counts.
    """
    table = terms.tables.get(part.kind, {})
    if part.kind == "library":
        table = table.get(part.home, {})
    if part.name in table:
        return str(table[part.name])
    for said in part.declared:
        spelt = terms.spelling.get(said, said)
        if known(spelt, terms.accepted) or "GPL" in spelt:
            return spelt
    said = f", which says {' / '.join(part.declared)}" if part.declared else ""
    raise LicenceError(
        f"{part.kind} {part.home and part.home + '/'}{part.name} {part.version}{said}: licence not known"
    )


def known(expression: str, accepted: Iterable[str]) -> bool:
    """Tell whether one may use a part under this SPDX expression: of `A OR B` one must be accepted, of `A AND B` both.

    Expressions that nest or mix the two are in no part; they count as not accepted.
    """
    if " OR " in expression:
        return " AND " not in expression and any(one.strip() in accepted for one in expression.split(" OR "))
    return all(one.strip() in accepted for one in expression.split(" AND "))


def check(found: Iterable[parts.Part], terms: Terms) -> list[str]:
    """Return what is wrong with these parts, a sentence each."""
    wrong = []
    for part in sorted(found):
        try:
            under = licence(part, terms)
        except LicenceError as error:
            wrong.append(str(error))
            continue
        if not known(under, terms.accepted) and part.name not in terms.apart:
            wrong.append(
                f"{part.kind} {part.home and part.home + '/'}{part.name} {part.version}: {under} is not accepted"
            )
    return wrong


def document(images: Mapping[str, Iterable[parts.Part]], terms: Terms) -> str:
    """Return docs/licences.md; the versions of Debian's packages are left out, they change on their own."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for image, found in images.items():
        for part in found:
            name = f"{part.home}/{part.name}" if part.home else part.name
            version = "" if part.kind == "Debian" else part.version
            rows.setdefault((part.kind, name, version, licence(part, terms)), []).append(image)
    lines = [HEAD, "| kind | name | version | licence | images |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} | {', '.join(rows[row])} |" for row in sorted(rows)]
    lines += ["", "## Under the GPL, and linked into nothing of ours", ""]
    lines += [f"- **{name}**: {reason}." for name, reason in sorted(terms.apart.items())]
    return "\n".join(lines) + "\n"


def archives(names: Sequence[str]) -> dict[str, Path]:
    """Return the archives of these images; LicenceError when one is not built."""
    command = [sys.executable, str(ROOT / "images" / "build.py"), "--plan", *names]
    planned = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    found = {name: Path(planned[name]["archive"]) for name in names}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        raise LicenceError(f"not built: {', '.join(missing)}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code is 0 when every licence is known and accepted, and the document is right."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/licences.md")
    parser.add_argument("--list", action="store_true", help="print every part")
    options = parser.parse_args(arguments)
    terms = parse(TABLE.read_text())
    try:
        images = {name: parts.read(path) for name, path in archives(terms.published).items()}
    except LicenceError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = sorted({sentence for found in images.values() for sentence in check(found, terms)})
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if options.list:
        for name, found in images.items():
            for part in sorted(found):
                print("\t".join((name, part.kind, part.home, part.name, part.version, licence(part, terms))))
    text = document(images, terms)
    if options.write:
        DOCUMENT.write_text(text)
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != text:
        print("docs/licences.md is not up to date: python3 images/licences.py --write", file=sys.stderr)
        return 1
    print(f"{sum(map(len, images.values()))} parts of {len(images)} images have an accepted licence")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
