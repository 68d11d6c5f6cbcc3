"""The init container that fetches, against a real server, on virtual time."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.detector.killed import lines_of, run_killed
from tests.unit.detector.modelserver import ModelServer, gives, loopback, moves

from edgedetector.api.dataplane import FetchedFile, ModelServing, ServingConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.fetching import Failed, Fetcher
from edgedetector.detector.files import Problem
from edgedetector.detector.prepare import prepare
from edgedetector.detector.repository import Paths, Repository

CONTENT = b"engine" * 50_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class World:
    """A pod's files, its fetching container, and a clock."""

    def __init__(self, root: Path, server: ModelServer, certificates: Path) -> None:
        self.paths = Paths.under(root)
        self.server = server
        self.now = 1000.0
        self.authority = (certificates / "ca.crt").read_text()
        self.own = True
        self.paths.serving.mkdir(parents=True)
        self.start()

    def start(self, pod: str = "yard-1") -> None:
        """Start the container, again."""
        network = loopback(timeout=10.0)
        self.fetcher = Fetcher(self.paths, pod=pod, own=self.own, network=network, clock=lambda: self.now)
        self.fetcher.tidy()

    def accept(self, *models: ModelServing) -> None:
        (self.paths.serving / "accepted.json").write_text(to_json(ServingConfig("a", models)))
        for model in models:
            folder = self.paths.authorities / model.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "ca.crt").write_text(self.authority)

    def model(self, path: str = "/x", digest: str = DIGEST, *, name: str = "people", **more: Any) -> ModelServing:
        file = FetchedFile("1/model.plan", self.server.url(path), digest, "models.example", own_authority=True)
        limit = more.pop("size_limit", 0)
        changed = FetchedFile(**{**{f: getattr(file, f) for f in FetchedFile.__slots__}, **more})
        return ModelServing(name, 1, (), 8, 0, "config", fetched=(changed,), size_limit=limit)

    def round(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.fetcher.round()
        self.fetcher.settle()

    def problems(self) -> dict[str, Problem]:
        """What the detector reads, by model and digest."""
        path = self.paths.report / "problems.json"
        return {key: Problem(**problem) for key, problem in json.loads(path.read_text()).items()}

    def kept(self) -> set[str]:
        return {path.name for path in self.paths.fetched.iterdir()}


@pytest.fixture
def world(tmp_path: Path, models: ModelServer, certificates: Path) -> World:
    models.holds("/x", CONTENT)
    return World(tmp_path, models, certificates)


def test_a_file_is_fetched_once_and_never_again(world: World) -> None:
    world.accept(world.model())
    world.round()
    assert (world.paths.fetched / DIGEST).read_bytes() == CONTENT
    assert (world.kept(), world.problems()) == ({DIGEST}, {})
    for _ in range(3):
        world.round()
    world.start()
    world.round()
    assert world.server.asked == ["/x"]


def test_what_a_volume_has_kept_serves_another_pod_without_the_network(world: World) -> None:
    world.own = False
    world.start()
    world.accept(world.model())
    world.round()
    world.server.answers.clear()
    world.start("yard-2")
    world.round()
    assert (world.server.asked, world.problems()) == (["/x"], {})


def test_the_file_goes_where_triton_looks_for_it(world: World) -> None:
    model = world.model()
    world.accept(model)
    assert prepare(world.paths) == 0, "a file that is not there yet holds nobody"
    assert Repository(world.paths).look(model) == Problem("", "its file is being fetched")
    world.round()
    assert prepare(world.paths) == 0
    assert (world.paths.models / "people" / "1" / "model.plan").read_bytes() == CONTENT


def test_a_wrong_digest_is_told_kept_out_and_mended_by_the_right_file(world: World) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    world.accept(world.model(digest=wrong))
    world.round()
    told = Problem("ChecksumMismatch", f"the file fetched has the SHA-256 digest {DIGEST}")
    assert (world.kept(), world.problems()) == (set(), {f"people {wrong}": told})
    assert Repository(world.paths).look(world.model(digest=wrong)) == told
    world.server.holds("/x", b"other")
    world.round(600.0)
    assert (world.kept(), world.problems()) == ({wrong}, {})


def test_the_right_digest_in_the_specification_mends_it_at_once(world: World) -> None:
    world.accept(world.model(digest="1" * 64))
    world.round()
    world.accept(world.model())
    world.round(0.0)
    assert (world.kept(), world.problems()) == ({DIGEST}, {})


def test_a_file_above_the_accelerators_limit_is_not_kept(world: World) -> None:
    world.server.answers["/x"] = gives(CONTENT, length=-1)
    world.accept(world.model(size_limit=len(CONTENT) - 1))
    world.round()
    assert world.kept() == set()
    assert world.problems()[f"people {DIGEST}"].reason == "ModelTooLarge"


def test_a_host_that_is_not_allowed_is_not_asked(world: World) -> None:
    world.accept(world.model(lookup=""))
    world.round()
    assert world.problems() == {
        f"people {DIGEST}": Problem(
            "ModelHostNotAllowed", "host models.example is no Service of this namespace and not on the operator's list"
        )
    }
    assert world.server.asked == []


def test_a_missing_authority_is_told_and_mended_when_it_comes(world: World) -> None:
    world.accept(world.model())
    path = world.paths.authorities / "people" / "ca.crt"
    path.unlink()
    world.round()
    assert world.problems()[f"people {DIGEST}"].message.startswith("the ConfigMap of source.http.caConfigMap")
    path.write_text("no certificate")
    world.round(60.0)
    assert world.problems()[f"people {DIGEST}"].reason == "ModelFetchFailed"
    path.write_text(world.authority)
    world.round(60.0)
    assert world.kept() == {DIGEST}


def test_a_server_that_is_down_is_asked_ever_more_seldom_and_then_found(world: World) -> None:
    world.server.answers["/x"] = moves("https://mirror.example/x")
    world.accept(world.model())
    for _ in range(600):
        world.round()
    assert 5 < len(world.server.asked) < 20
    world.server.holds("/x", CONTENT)
    world.round(60.0)
    assert world.kept() == {DIGEST}


def test_a_transfer_that_fails_late_is_repeated_more_seldom_than_one_that_fails_at_once() -> None:
    problem = Problem("ChecksumMismatch", "")
    quick = Failed.after(None, problem, started=0.0, now=0.1)
    slow = Failed.after(None, problem, started=0.0, now=40.0)
    for_ever = Failed.after(slow, problem, started=0.0, now=3600.0)
    assert (quick.retry_at, slow.retry_at, for_ever.retry_at) == (pytest.approx(1.1), 400.0, 4200.0)


def test_a_file_that_was_damaged_on_the_disk_is_fetched_again(world: World) -> None:
    world.accept(world.model())
    world.round()
    (world.paths.fetched / DIGEST).write_bytes(b"torn")
    world.start()
    world.round()
    assert (world.paths.fetched / DIGEST).read_bytes() == CONTENT
    assert world.server.asked == ["/x", "/x"]


def test_what_is_no_longer_wanted_goes_once_its_successor_is_there(world: World) -> None:
    world.accept(world.model())
    world.round()
    successor = hashlib.sha256(b"new").hexdigest()
    world.accept(world.model("/new", successor))
    world.round()
    assert world.kept() == {DIGEST}, "the successor has not come"
    world.server.holds("/new", b"new")
    world.round(60.0)
    assert world.kept() == {successor}


def test_in_a_volume_of_the_user_nothing_is_removed(world: World) -> None:
    world.own = False
    world.start()
    world.accept(world.model())
    world.round()
    (world.paths.fetched / "notes.txt").write_text("mine")
    (world.paths.fetched / f".{DIGEST}.yard-2.partial").write_text("of another pod, in progress")
    world.accept()
    world.start()
    world.round()
    assert world.kept() == {DIGEST, "notes.txt", f".{DIGEST}.yard-2.partial"}
    os.utime(world.paths.fetched / f".{DIGEST}.yard-2.partial", (1, 1))
    world.start()
    assert world.kept() == {DIGEST, "notes.txt"}


def test_a_slow_server_holds_no_other_model(world: World) -> None:
    released = threading.Event()

    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        released.wait(30)
        gives(b"slow")(request)

    late = hashlib.sha256(b"slow").hexdigest()
    world.server.answers["/slow"] = slow
    world.accept(world.model("/slow", late, name="late"), world.model())
    while DIGEST not in world.kept():
        world.fetcher.round()
    assert late not in world.kept()
    released.set()
    world.round()
    assert late in world.kept()


def test_models_that_ask_for_one_file_in_different_ways_are_told_what_is_wrong_with_each(world: World) -> None:
    refused, absent = world.model(lookup="", name="refused"), world.model("/absent", name="absent")
    world.accept(refused, absent)
    for _ in range(5):
        world.round()
    assert {key.split()[0]: problem.reason for key, problem in world.problems().items()} == {
        "refused": "ModelHostNotAllowed",
        "absent": "ModelFetchFailed",
    }
    assert Repository(world.paths).look(absent) == world.problems()[f"absent {DIGEST}"]
    world.accept(refused, world.model(name="absent"))
    world.round()
    assert world.problems() == {}, "a file that is there needs nobody to be asked"


def test_the_report_is_written_when_it_changes_and_not_at_rest(world: World) -> None:
    world.accept(world.model(lookup=""))
    world.round()
    path = world.paths.report / "problems.json"
    os.utime(path, (1, 1))
    for _ in range(100):
        world.round()
    assert path.stat().st_mtime == 1.0


def test_killed_at_any_line_a_rerun_fetches_the_file_whole(tmp_path: Path, world: World) -> None:
    """In a volume that the pod does not own; what is read there under a digest is always whole."""

    def fetch(root: Path) -> World:
        other = World.__new__(World)
        other.paths, other.server, other.now, other.own = Paths.under(root), world.server, 0.0, False
        other.authority = world.authority
        other.paths.serving.mkdir(parents=True, exist_ok=True)
        other.start()
        other.accept(other.model())
        other.round()
        return other

    count = lines_of(lambda: fetch(tmp_path / "whole"))
    assert count > 100
    for line in range(1, count, 11):
        root = tmp_path / str(line)
        run_killed(lambda root=root: fetch(root), line)  # type: ignore[misc]
        half = Paths.under(root).fetched / DIGEST
        assert not half.exists() or half.read_bytes() == CONTENT, f"killed at line {line}"
        assert fetch(root).kept() == {DIGEST}, f"killed at line {line}"
