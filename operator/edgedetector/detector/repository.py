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
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgedetector.api import names
from edgedetector.api.dataplane import ModelServing
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
        self._trial = paths.run / "trial.json"

    def write_config(self, model: str, text: str) -> None:
        """Replace a model's config.pbtxt.

        The partial file lies in the repository's root, never in the model's directory: Triton takes a file there for a
        part of the model. One that a crash left would make it reload everything where only the instances changed.
        """
        replace_file(self._directory(model) / "config.pbtxt", text, beside=self._paths.models)

    def copy_files(self, serving: ModelServing) -> None:
        """Copy a model's files from its source: those of `files`, or without any all of the source as version 1.

        Files that are equal already are not touched: for Triton a newer file is a changed model, which it loads all
        anew where only the instances changed.

        Raises
        ------
        OSError
            If a file is missing; the message names it.
        InvalidNameError
            If a path leaves the model's directory.
        """
        source = _inside(self._paths.sources, serving.name)
        directory = self._directory(serving.name)
        if not source.is_dir() and not serving.files:
            return  # The files came with the volume that the repository is.
        (directory / "1").mkdir(parents=True, exist_ok=True)
        for target, origin in (serving.files or _everything(source)).items():
            self._copy(_inside(source, origin), _inside(directory, target))

    def good(self, model: str) -> tuple[str, str] | None:
        """Return serving id and text of the last config that was loaded and verified in this pod."""
        with contextlib.suppress(FileNotFoundError):
            serving_id, _, text = (self._good / model).read_text().partition("\n")
            return serving_id, text
        return None

    def remember_good(self, model: str, serving_id: str, text: str) -> None:
        """Remember a config that was loaded and verified."""
        replace_file(self._good / model, f"{serving_id}\n{text}")

    def forget(self, model: str) -> None:
        """Forget a model that was unloaded."""
        (self._good / model).unlink(missing_ok=True)

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

    @staticmethod
    def _copy(origin: Path, target: Path) -> None:
        if target.exists() and filecmp.cmp(origin, target, shallow=False):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        # Not copystat: a ConfigMap's file is owned by root and read-only, the copy must be replaceable.
        shutil.copyfile(origin, partial)
        partial.replace(target)


def _everything(source: Path) -> dict[str, str]:
    """Return target -> origin for a source without a file map; names with a leading dot are the kubelet's own."""
    origins = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    return {f"1/{origin}": str(origin) for origin in origins if not any(part.startswith(".") for part in origin.parts)}


def _inside(directory: Path, name: str) -> Path:
    path = Path(os.path.normpath(directory / name))
    if directory not in path.parents:
        raise InvalidNameError(f"{name!r} is not below {directory}")
    return path
