"""Files of the pod: Triton's model repository, what was loaded last, and the trial that runs.

Everything is written to a new file and renamed, so that neither Triton nor a restarted container reads half a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from edgedetector.api import conditions, names
from edgedetector.api.dataplane import FetchedFile, ModelServing
from edgedetector.detector import builtin, files
from edgedetector.detector.files import Digests, ModelFileError, Problem
from edgedetector.detector.trial import Trial


class InvalidNameError(ValueError):
    """A model's name or file would lie outside its directory."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a pod's files lie."""

    serving: Path = Path(names.DIR_SERVING)
    detector: Path = Path(names.DIR_DETECTOR)
    models: Path = Path(names.DIR_MODELS)
    sources: Path = Path(names.DIR_SOURCES)
    run: Path = Path(names.DIR_RUN)
    fetched: Path = Path(names.DIR_FETCHED)
    report: Path = Path(names.DIR_FETCH_REPORT)
    authorities: Path = Path(names.DIR_AUTHORITIES)
    secrets: Path = Path(names.DIR_SECRETS)
    spool: Path = Path(names.DIR_SPOOL)

    @classmethod
    def under(cls, root: Path) -> Paths:
        """Return the same layout below another root, e.g. for a run outside a container."""
        default = cls()
        moved = {f.name: root / getattr(default, f.name).relative_to("/") for f in dataclasses.fields(cls)}
        return cls(**moved)

    @property
    def key(self) -> Path:
        """The key of Triton's restricted protocols."""
        return self.run / names.FILE_ADMIN_KEY

    def kept(self, file: FetchedFile) -> Path:
        """Return where a fetched file is kept: under its digest.

        Raises
        ------
        InvalidNameError
            If the digest is a path to another place.
        """
        return _inside(self.fetched, file.sha256)


def replace_file(path: Path, text: str, *, mode: int = 0o644, beside: Path | None = None) -> None:
    """Write `text` to `path` atomically.

    Parameters
    ----------
    beside
        Directory for the file while it is incomplete, of the same file system; the one of `path` otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = (beside or path.parent) / f".{path.name}.{secrets.token_hex(4)}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class Repository:
    """Triton's model repository and the pod's memory of it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._good = paths.run / "good"
        self._loaded = paths.run / "loaded"
        self._trial = paths.run / "trial.json"
        self._digests = Digests()

    def tidy(self) -> None:
        """Remove what a process that was killed has left half-written; nobody else may be at work."""
        for directory in (self._paths.models, self._paths.run, self._good, self._loaded):
            for path in directory.glob(".*") if directory.is_dir() else ():
                if path.is_file():
                    path.unlink()

    def write_config(self, model: str, text: str) -> None:
        """Replace a model's config.pbtxt.

        The partial file lies in the repository's root, never in the model's directory: Triton takes a file there for a
        part of the model. One that a crash left would make it reload everything where only the instances changed.
        """
        replace_file(self._directory(model) / "config.pbtxt", text, beside=self._paths.models)

    def look(self, serving: ModelServing) -> Problem | None:
        """Return what is wrong with a model's files as they lie in its source, without reading them.

        What is in the repository stays good: a source that is gone, e.g. a volume that hiccups, is no problem then.
        """
        present = [file for file in self._files(serving) if file.origin.is_file()]
        for file in self._files(serving):
            if file in present or self._is_kept(file):
                continue
            if file.digest:
                return self._fetching(serving.name, file.digest)
            if serving.builtin:
                return Problem(conditions.REASON_MODEL_FILE_MISSING, f"this release brings no {serving.builtin}")
            named = file.origin.relative_to(self._paths.sources / serving.name)
            return Problem(conditions.REASON_MODEL_FILE_MISSING, f"its source has no file {named}")
        size = sum(file.origin.stat().st_size for file in present)
        return files.too_large(size, serving.size_limit) if 0 < serving.size_limit < size else None

    def changes(self, serving: ModelServing) -> tuple[object, ...]:
        """Return a value for the sources that differ from what is in the repository; empty if none does.

        It is another value whenever one of those files is written to. A file is read once, and then known by its size
        and time.
        """
        return tuple((str(file.target), files.signature_of(file.origin)) for file in self._changed(serving))

    def copy_files(self, serving: ModelServing) -> None:
        """Copy a model's files from its source: those of `files`, or without any all of the source as version 1.

        All are looked at first, so that one that is missing or too large leaves the repository as it is. Files that
        are equal already are not touched: for Triton a newer file is a changed model, which it loads all anew where
        only the instances changed.

        Raises
        ------
        ModelFileError
            If the files cannot be used; or are still being fetched, then without a reason.
        OSError
            If they cannot be copied.
        InvalidNameError
            If a path leaves the model's directory.
        """
        if problem := self.look(serving):
            raise ModelFileError(problem.reason, problem.message)
        if serving.platform == names.ENSEMBLE:
            # It has no file, and Triton loads no model without a version.
            (self._directory(serving.name) / "1").mkdir(parents=True, exist_ok=True)
        for file in self._changed(serving):
            self._copy(file)

    def _files(self, serving: ModelServing) -> tuple[_File, ...]:
        """Return every file of a model; none where they came with the volume that the repository is."""
        source = _inside(self._paths.sources, serving.name)
        directory = self._directory(serving.name)
        if serving.builtin:
            return (_File(directory / "1" / builtin.TARGET, builtin.path(serving.builtin)),)
        plain = serving.files or (_everything(source) if source.is_dir() else {})
        return (
            *(_File(_inside(directory, target), _inside(source, origin)) for target, origin in plain.items()),
            *(_File(_inside(directory, f.target), self._paths.kept(f), f.sha256) for f in serving.fetched),
        )

    def _changed(self, serving: ModelServing) -> tuple[_File, ...]:
        return tuple(file for file in self._files(serving) if file.origin.is_file() and not self._is_current(file))

    def _is_kept(self, file: _File) -> bool:
        """Tell whether the repository has a file that is missing in the source."""
        return self._is_current(file) if file.digest else file.target.is_file()

    def _is_current(self, file: _File) -> bool:
        if file.digest:
            return self._digests.of(file.target) == file.digest
        return file.target.is_file() and filecmp.cmp(file.origin, file.target, shallow=False)

    def _fetching(self, model: str, digest: str) -> Problem:
        """Return how the fetching of a file goes, as the container that does it says."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            said = json.loads((self._paths.report / names.FILE_FETCH_REPORT).read_text()).get(f"{model} {digest}")
            if said and said["reason"] in conditions.MODEL_FILE_REASONS:
                return Problem(said["reason"], str(said["message"]))
        return Problem("", "its file is being fetched")

    def good(self, model: str) -> tuple[str, str] | None:
        """Return serving id and text of the last config that was loaded and verified in this pod."""
        with contextlib.suppress(FileNotFoundError):
            serving_id, _, text = (self._good / model).read_text().partition("\n")
            return serving_id, text
        return None

    def remember_good(self, model: str, serving_id: str, text: str) -> None:
        """Remember a config that was loaded and verified."""
        replace_file(self._good / model, f"{serving_id}\n{text}")

    def loaded(self, model: str) -> str:
        """Return which fetched files were loaded last, as `remember_loaded` was told."""
        with contextlib.suppress(FileNotFoundError):
            return (self._loaded / model).read_text()
        return ""

    def remember_loaded(self, model: str, files: str) -> None:
        """Remember which fetched files were loaded and verified."""
        replace_file(self._loaded / model, files)

    def forget(self, model: str) -> None:
        """Forget a model that was unloaded."""
        (self._good / model).unlink(missing_ok=True)
        (self._loaded / model).unlink(missing_ok=True)

    def remembered(self) -> frozenset[str]:
        """Return the models that were loaded in this pod."""
        if not self._good.is_dir():
            return frozenset()
        return frozenset(path.name for path in self._good.iterdir() if not path.name.startswith("."))

    def trial(self) -> Trial | None:
        """Return the trial that was running, or has ended, when the container stopped."""
        try:
            return Trial(**json.loads(self._trial.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Written by another version: to forget it means at worst one more trial of a bounded length.
            return None

    def remember_trial(self, trial: Trial | None) -> None:
        """Remember a trial, or that there is none."""
        if trial is None:
            self._trial.unlink(missing_ok=True)
        else:
            replace_file(self._trial, json.dumps(dataclasses.asdict(trial)))

    def key(self) -> str:
        """Return the admin key, made on first use and readable to nobody else."""
        if not self._paths.key.exists():
            replace_file(self._paths.key, secrets.token_hex(32), mode=0o600)
        return self._paths.key.read_text()

    def _directory(self, model: str) -> Path:
        return _inside(self._paths.models, model)

    def _copy(self, file: _File) -> None:
        file.target.parent.mkdir(parents=True, exist_ok=True)
        partial = self._paths.models / f".{file.target.name}.partial"
        # Not shutil's: a ConfigMap's file is owned by root and read-only, the copy must be replaceable.
        with file.origin.open("rb") as source, partial.open("wb") as sink:
            found = files.copy(source, sink)
        if file.digest and found != file.digest:
            partial.unlink()
            raise ModelFileError(conditions.REASON_CHECKSUM_MISMATCH, "the file that was fetched was damaged since")
        partial.replace(file.target)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a model: where Triton wants it, where it comes from, and its SHA-256 digest where that is given."""

    target: Path
    origin: Path
    digest: str = ""


def _everything(source: Path) -> dict[str, str]:
    """Return target -> origin for a source without a file map; names with a leading dot are the kubelet's own."""
    origins = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    return {f"1/{origin}": str(origin) for origin in origins if not any(part.startswith(".") for part in origin.parts)}


def _inside(directory: Path, name: str) -> Path:
    path = Path(os.path.normpath(directory / name))
    if directory not in path.parents:
        raise InvalidNameError(f"{name!r} is not below {directory}")
    return path
