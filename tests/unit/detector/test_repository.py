"""The pod's files, on a real disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.detector.killed import lines_of, run_killed

from edgedetector.api.dataplane import FetchedFile, ModelServing, ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.builtin import nms
from edgedetector.detector.files import ModelFileError, Problem
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


def test_a_file_that_is_missing_or_too_large_leaves_the_repository_as_it_was(paths: Paths) -> None:
    """Of a model of two files neither is taken when one is wrong."""
    directory = source(paths, "people", {"model.plan": "engine", "labels.txt": "person"})
    serving = replace(model(files={"1/model.plan": "model.plan", "1/labels.txt": "labels.txt"}), size_limit=12)
    repository = Repository(paths)
    repository.copy_files(serving)
    (directory / "..2026" / "labels.txt").write_text("person, car")
    (directory / "..2026" / "model.plan").write_text("ENGINE")
    with pytest.raises(ModelFileError, match=r"its files have 0\.0 MB"):
        repository.copy_files(serving)
    assert repository.look(serving) is not None
    assert (paths.models / "people" / "1" / "model.plan").read_text() == "engine"


def test_a_file_that_is_missing_is_named_as_its_source_calls_it(paths: Paths) -> None:
    source(paths, "people", {"other.plan": "engine"})
    serving = model(files={"1/model.plan": "people.plan"})
    assert Repository(paths).look(serving) == Problem("ModelFileMissing", "its source has no file people.plan")


def test_a_source_that_is_gone_takes_nothing_from_the_repository(paths: Paths) -> None:
    directory = source(paths, "people", {"model.py": "code"})
    repository, serving = Repository(paths), model(files={"1/model.py": "model.py"})
    repository.copy_files(serving)
    shutil.rmtree(directory)
    assert (repository.look(serving), repository.changes(serving)) == (None, ())
    repository.copy_files(serving)
    assert (paths.models / "people" / "1" / "model.py").read_text() == "code"


def fetched(paths: Paths, content: bytes, *, kept: bytes | None = None) -> ModelServing:
    """A model whose file came over the network; `kept` is what the disk has of it by now."""
    digest = hashlib.sha256(content).hexdigest()
    paths.fetched.mkdir(exist_ok=True)
    (paths.fetched / digest).write_bytes(content if kept is None else kept)
    return replace(model(), fetched=(FetchedFile("1/model.plan", "https://models/x", digest),))


def test_a_fetched_file_that_was_damaged_is_never_given_to_triton(paths: Paths) -> None:
    serving = fetched(paths, b"engine", kept=b"engi")
    with pytest.raises(ModelFileError, match="damaged"):
        Repository(paths).copy_files(serving)
    assert not (paths.models / "people" / "1" / "model.plan").exists()


def test_what_the_repository_has_with_the_right_digest_needs_no_kept_file(paths: Paths) -> None:
    serving = fetched(paths, b"engine")
    Repository(paths).copy_files(serving)
    (paths.fetched / serving.fetched[0].sha256).unlink()
    repository = Repository(paths)
    assert (repository.look(serving), repository.changes(serving)) == (None, ())
    repository.copy_files(serving)


def test_a_torn_copy_in_the_repository_is_made_anew_from_the_kept_file(paths: Paths) -> None:
    serving = fetched(paths, b"engine")
    repository = Repository(paths)
    repository.copy_files(serving)
    (paths.models / "people" / "1" / "model.plan").write_bytes(b"eng")
    assert repository.changes(serving) != ()
    repository.copy_files(serving)
    assert (paths.models / "people" / "1" / "model.plan").read_bytes() == b"engine"


def test_a_digest_that_is_a_path_is_refused(paths: Paths) -> None:
    serving = replace(model(), fetched=(FetchedFile("1/x", "https://models/x", "../../etc/passwd"),))
    with pytest.raises(InvalidNameError):
        Repository(paths).copy_files(serving)


def tree(root: Path) -> dict[str, bytes]:
    """Every file and what is in it, but for the key, which is another one each time."""
    return {
        str(path.relative_to(root)): b"" if path.name == "admin-key" else path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_killed_at_any_line_the_first_step_is_done_whole_by_a_rerun(tmp_path: Path) -> None:
    def pod(name: str) -> Paths:
        found = Paths.under(tmp_path / name)
        found.serving.mkdir(parents=True)
        source(found, "people", {"model.py": "code" * 1000, "labels.txt": "person"})
        accept(found, model("gone", files={"1/x": "x"}), model(), replace(fetched(found, b"engine"), name="cars"))
        return found

    whole = pod("whole")
    count = lines_of(lambda: prepare(whole))
    expected = tree(tmp_path / "whole")
    assert {"models/cars/1/model.plan", "models/people/config.pbtxt", "run/edgedetector/admin-key"} <= set(expected)
    assert count > 150
    for line in range(1, count, 7):
        paths = pod(str(line))
        run_killed(lambda paths=paths: prepare(paths), line)  # type: ignore[misc]
        for path in paths.models.rglob("[!.]*"):
            if path.is_file():
                name = str(path.relative_to(tmp_path / str(line)))
                assert path.read_bytes() == expected[name], f"{name} is torn, killed at line {line}"
        assert prepare(paths) == 0
        assert tree(tmp_path / str(line)) == expected, f"killed at line {line}"
        assert len(paths.key.read_text()) == 64


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


def test_a_built_in_model_and_an_ensemble_need_no_source(paths: Paths) -> None:
    post = replace(model("people+postprocessing"), builtin="NMS")
    accept(paths, post, replace(model("people+pipeline"), platform="ensemble"))
    assert prepare(paths) == 0
    assert (paths.models / "people+postprocessing" / "1" / "model.py").read_bytes() == Path(nms.__file__).read_bytes()
    assert list((paths.models / "people+pipeline" / "1").iterdir()) == [], "a version without files"
    assert (paths.models / "people+pipeline" / "config.pbtxt").read_text() == "name"
    repository = Repository(paths)
    assert repository.look(post) is None
    assert repository.changes(post) == ()


@pytest.mark.parametrize("name", ["SoftNMS", "../repository", "__init__"])
def test_a_built_in_model_of_another_release_is_missing_and_said_to_be(paths: Paths, name: str) -> None:
    post = replace(model("people+postprocessing"), builtin=name)
    problem = Repository(paths).look(post)
    assert problem == Problem("ModelFileMissing", f"this release brings no {name}")
    accept(paths, post, model())
    assert prepare(paths) == 0
    assert not (paths.models / "people+postprocessing" / "1" / "model.py").exists()
