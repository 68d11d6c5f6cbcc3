"""`make release`: all files of a release, into a folder. Nothing is pushed, tagged or signed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from releasing import archive, builds, changelog, chart, inventory, krew, plugin, sbom, tools, tree
from releasing.tree import OWN, ROOT, ReleaseError

OUTPUT: Final = ROOT / "build" / "release"
NO_URL: Final = "https://downloads.invalid/edgedetector"
"""Stands in krew's manifest until somebody says where the archives will lie; no host has such a name."""
SUMMARY: Final = "RELEASE.txt"


class Release:
    """One run: the steps fill `output`, and note what is left to do."""

    def __init__(self, source: tree.Tree, said: changelog.Entry, output: Path, scratch: Path) -> None:
        self._tree, self._said, self._output, self._scratch = source, said, output, scratch
        self._sources = scratch / "sources"
        self._rows: dict[str, list[sbom.Part]] = {}
        self.made: list[str] = []
        self.open: list[str] = []
        (output / "sbom").mkdir(parents=True)
        tree.copy(source, self._sources)

    def command_line(self, url: str) -> None:
        """Make the wheel, the archives of kubectl's plugin and krew's manifest."""
        wheel = tools.wheel(self._tree, self._sources, self._output)
        self._note(f"wheel {wheel.name}")
        listed = plugin.requirements(self._tree, self._scratch / "requirements.txt")
        sums, folders = {}, []
        for platform in plugin.PLATFORMS:
            folders.append(plugin.install(listed, platform, self._scratch / "libraries"))
            packed = plugin.pack(self._tree, wheel, platform, folders[-1], self._output)
            sums[platform.name.upper()] = archive.digest(packed)
            self._note(f"archive for krew {packed.name}, {packed.stat().st_size / 1e6:.0f} MB")
        template = (self._tree.root / "manifests/krew/edgedetector.yaml").read_text()
        (self._output / "krew").mkdir()
        filled = krew.fill(template, self._tree.version, url, sums)
        (self._output / "krew" / "edgedetector.yaml").write_text(filled)
        self._note("manifest for krew")
        if url == NO_URL:
            self.open.append(
                "krew/edgedetector.yaml names no real host: say URL=https://... where the archives will lie"
            )
        parts = inventory.of_plugin(folders)
        self._list("kubectl-edgedetector", "application", parts, [])
        options = ["--quiet", "--frozen", "--no-dev", "--all-extras", "--format", "cyclonedx1.5"]
        exported = tools.run_uv("export", *options, folder=self._tree.root)
        locked = sbom.of_lock(exported, self._tree.epoch)
        (self._output / "sbom" / "edgedetector-lock.cdx.json").write_text(locked)

    def images(self, *, wanted: bool) -> dict[str, chart.Image]:
        """Make the images if they are `wanted`; return all images of the chart, by name."""
        named = {name: chart.Image(name, builds.pins().get(name, "")) for name in chart.images(self._tree)}
        built = (
            builds.write(self._tree, builds.saved(), self._output / "images", self._scratch / "layers")
            if wanted
            else []
        )
        for build in built:
            name = f"{OWN}{build.name}:{self._tree.version}"
            named[name] = chart.Image(name, build.layout.digest, (build.layout.platform,))
            self._note(f"image {name} for {build.layout.platform}, {build.layout.digest}")
            self._list(build.name, "container", *inventory.of_image(build.saved))
        self.open += builds.missing(built) if wanted else ["images were left out: leave IMAGES=no away for them"]
        unpinned = [image.name for image in named.values() if not image.digest]
        self.open += [f"the chart names by its tag, not by digest: {name}" for name in unpinned]
        return named

    def chart(self, named: dict[str, chart.Image]) -> None:
        """Package the chart."""
        packed = chart.package(
            self._tree, self._sources, list(named.values()), self._said, output=self._output, scratch=self._scratch
        )
        self._note(f"chart {packed.name}, {sum(bool(image.digest) for image in named.values())} images by digest")

    def close(self) -> str:
        """Write the licence report, the summary and the sums; return the summary."""
        (self._output / "licences.tsv").write_text(inventory.report(self._rows))
        self._note(f"lists of parts and licences of {', '.join(self._rows)}")
        if self._tree.dirty:
            self.open.append("made with changes or files that are not committed")
        if not self._said.date:
            self.open.append("CHANGELOG.md calls it unreleased: put the date there")
        lines = [f"EdgeDetector {self._tree.version}, commit {self._tree.commit}", "", "Made:"]
        lines += [f"- {line}" for line in self.made]
        lines += ["", "Not made, or still to do:", *(f"- {line}" for line in self.open or ["nothing"])]
        lines += ["", "Nothing was pushed, tagged or signed."]
        text = "\n".join(lines) + "\n"
        (self._output / SUMMARY).write_text(text)
        archive.write_sums(self._output)
        return text

    def _list(self, name: str, kind: str, parts: list[sbom.Part], base: list[sbom.Part]) -> None:
        architecture = inventory.architecture() if kind == "container" else ""
        text = sbom.document(
            name, self._tree.version, kind, parts + base, epoch=self._tree.epoch, architecture=architecture
        )
        (self._output / "sbom" / f"{name}.cdx.json").write_text(text)
        self._rows[name] = parts
        if base:
            self._rows[inventory.BASE] = base

    def _note(self, line: str) -> None:
        self.made.append(line)
        print(f"release: {line}", file=sys.stderr, flush=True)


def prepare(version: str | None, root: Path = ROOT) -> tuple[tree.Tree, changelog.Entry]:
    """Return what is released, and what the change log says of it.

    With a `version` it is meant: everything has to say it, be committed, and have a date.
    """
    source = tree.read(root)
    wrong = tree.disagreements(root, version or source.version)
    if wrong:
        raise ReleaseError(f"not {version or source.version} everywhere: " + "; ".join(wrong))
    said = changelog.entry((root / "CHANGELOG.md").read_text(), source.version)
    if version and source.dirty:
        raise ReleaseError(
            "there are changes or files that are not committed, git status names them: commit or remove them, "
            "or leave VERSION out for a trial"
        )
    if version and not said.date:
        raise ReleaseError(f"CHANGELOG.md calls {version} unreleased: put the date there, or leave VERSION out")
    return source, said


def check_output(folder: Path) -> None:
    """Raise ReleaseError if `folder`, which is deleted, holds other things than a release."""
    if folder.exists() and any(folder.iterdir()) and not (folder / SUMMARY).exists():
        raise ReleaseError(f"{folder} holds other things than a release: name another folder, or empty it")


def main() -> int:
    """Run the command line; exit code 1 says in a line what is wrong."""
    parser = argparse.ArgumentParser(prog="make release", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", default=None, help="the version that is meant; without it this is a trial")
    parser.add_argument("--url", default=NO_URL, help="where the archives will lie, for krew's manifest")
    parser.add_argument("--images", choices=["yes", "no"], default="yes", help="no: leave them out")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a folder that is deleted first")
    options = parser.parse_args()
    try:
        source, said = prepare(options.version)
        check_output(options.output)
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / "release"
            release = Release(source, said, made, Path(scratch))
            release.command_line(options.url)
            release.chart(release.images(wanted=options.images == "yes"))
            text = release.close()
            shutil.rmtree(options.output, ignore_errors=True)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made, options.output)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
