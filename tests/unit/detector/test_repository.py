"""The pod's files, on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgedetector.api.dataplane import ModelServing, ServingConfig, to_json
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import InvalidNameError, Paths, Repository
from edgedetector.detector.trial import Trial


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.under(tmp_path)
    found.serving.mkdir(parents=True)
    return found


def model(name: str = "people", *, files: dict[str, str] | None = None, config: str = "name") -> ModelServing:
    return ModelServing(name, 1, (), 8, 100, config, files or {})


def accept(paths: Paths, *models: ModelServing) -> None:
    (paths.serving / "accepted.json").write_text(to_json(ServingConfig("a", models)))


def source(paths: Paths, name: str, files: dict[str, str]) -> Path:
    """A ConfigMap volume as the kubelet makes it: files are links into a directory behind a link."""
    directory = paths.sources / name
    (directory / "..2026").mkdir(parents=True)
    (directory / "..data").symlink_to("..2026")
    for key, text in files.items():
        (directory / "..2026" / key).write_text(text)
        (directory / key).symlink_to(Path("..data") / key)
    return directory


def test_prepare_fills_the_repository_and_makes_a_private_key(paths: Paths) -> None:
    source(paths, "people", {"model.py": "code", "labels.txt": "person"})
    accept(paths, model(config="the config"))
    assert prepare(paths) == 0
    directory = paths.models / "people"
    assert sorted(p.name for p in (directory / "1").iterdir()) == ["labels.txt", "model.py"]
    assert (directory / "config.pbtxt").read_text() == "the config"
    assert len(paths.key.read_text()) == 64
    assert paths.key.stat().st_mode & 0o777 == 0o600


def test_prepare_may_be_repeated_and_leaves_equal_files_alone(paths: Paths) -> None:
    source(paths, "people", {"model.py": "code"})
    accept(paths, model())
    prepare(paths)
    key, copied = paths.key.read_text(), paths.models / "people" / "1" / "model.py"
    os.utime(copied, (1, 1))
    prepare(paths)
    assert (paths.key.read_text(), copied.stat().st_mtime) == (key, 1.0)


def test_a_changed_file_is_copied_again(paths: Paths) -> None:
    directory = source(paths, "people", {"model.py": "code"})
    repository = Repository(paths)
    repository.copy_files(model())
    (directory / "..2026" / "model.py").write_text("edoc")
    repository.copy_files(model())
    assert (paths.models / "people" / "1" / "model.py").read_text() == "edoc"


def test_a_file_map_says_what_goes_where(paths: Paths) -> None:
    source(paths, "people", {"people_fp16.plan": "engine", "other": "no"})
    Repository(paths).copy_files(model(files={"1/model.plan": "people_fp16.plan"}))
    assert [p.name for p in (paths.models / "people" / "1").iterdir()] == ["model.plan"]


@pytest.mark.parametrize("files", [{"../evil": "model.py"}, {"1/model.py": "../../etc/passwd"}, {"/etc/x": "model.py"}])
def test_no_file_leaves_its_directory(paths: Paths, files: dict[str, str]) -> None:
    source(paths, "people", {"model.py": "code"})
    with pytest.raises(InvalidNameError):
        Repository(paths).copy_files(model(files=files))


def test_a_model_without_its_files_does_not_hold_the_others(paths: Paths) -> None:
    source(paths, "people", {"model.py": "code"})
    accept(paths, model("gone", files={"1/model.plan": "gone.plan"}), model("people"))
    assert prepare(paths) == 0
    assert (paths.models / "people" / "1" / "model.py").exists()
    assert (paths.models / "gone" / "config.pbtxt").exists()


def test_writing_a_config_leaves_nothing_else_in_the_models_directory(paths: Paths) -> None:
    repository = Repository(paths)
    repository.write_config("people", "one")
    repository.write_config("people", "two")
    assert [p.name for p in (paths.models / "people").iterdir()] == ["config.pbtxt"]
    assert [p.name for p in paths.models.iterdir()] == ["people"]


def test_what_was_good_is_remembered_until_it_is_forgotten(paths: Paths) -> None:
    repository = Repository(paths)
    assert repository.good("people") is None
    repository.remember_good("people", "id-1", "line 1\nline 2\n")
    assert Repository(paths).good("people") == ("id-1", "line 1\nline 2\n")
    assert repository.remembered() == {"people"}
    repository.forget("people")
    assert repository.remembered() == frozenset()


def test_a_trial_survives_the_process(paths: Paths) -> None:
    trial = Trial("p", 2, 123.456, "boot", "Expired", "over")
    Repository(paths).remember_trial(trial)
    assert Repository(paths).trial() == trial
    Repository(paths).remember_trial(None)
    assert Repository(paths).trial() is None


def test_a_trial_file_of_another_version_is_forgotten(paths: Paths) -> None:
    Repository(paths).remember_trial(Trial("p", 0, 1.0, "boot"))
    (paths.run / "trial.json").write_text('{"id": "p", "until": 3}')
    assert Repository(paths).trial() is None
