"""Cameras come, change and go; the others are not touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edgedetector.api.dataplane import Decoder, DetectorCamera, DetectorConfig, DetectorModel, FrameRate, Tensor
from edgedetector.api.wire import to_json
from edgedetector.detector.camera import Camera
from edgedetector.detector.candidates import Candidates
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.dispatch import Shot
from edgedetector.detector.events import Hub
from edgedetector.detector.fleet import Fleet
from edgedetector.detector.frame import Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model
from edgedetector.detector.liveness import Finding
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.outputs.outputs import Outputs
from edgedetector.detector.reading import Reading
from edgedetector.detector.repository import Paths

MODEL = DetectorModel("people", (Tensor("image", (-1, -1, 3), "UINT8"),), (), Decoder(), 0)


def camera(name: str, *, stream: str = "", target: float = 5.0) -> DetectorCamera:
    return DetectorCamera(name, stream or f"s-{name}", ("people",), FrameRate(target=target))


class Dead:
    """A stream that never opens."""

    def __init__(self, hold: threading.Event) -> None:
        self._hold = hold

    def frames(self) -> Iterator[Frame]:
        self._hold.wait(30)
        raise SourceError("StreamEnded", "the test is over")
        yield

    def reading(self) -> Reading:
        return Reading()

    def stop(self) -> None:
        """Nothing to stop."""


class Nobody:
    """Takes no frame, since none comes."""

    def offer(self, camera: str, models: tuple[str, ...], shot: Shot, *, arrived: float, wait: float) -> None:
        raise AssertionError(camera, models, shot, arrived, wait)


class World:
    """A fleet whose streams never open, and a record of every camera that was made."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.paths.detector.mkdir(parents=True)
        self.made: list[Camera] = []
        self.now = 100.0
        self.cooperation = Cooperation("10.0.0.1", "yard-1", boot="a", clock=lambda: self.now)
        self.hold = threading.Event()
        self.dispatched: list[tuple[set[str], dict[str, int]]] = []
        self.measured: list[set[str]] = []
        self.models: Mapping[str, Model] = {}
        self.ready = {"people"}
        self.online: dict[str, bool] = {}
        self.forgotten: list[tuple[str, bool]] = []
        self.metrics, self.hub = Metrics(), Hub()
        self.fleet = Fleet(
            self.paths,
            self._make,
            guard=Guard(),
            hub=self.hub,
            metrics=self.metrics,
            cooperation=self.cooperation,
            candidates=Candidates(self.cooperation.list),
            dispatch=self._dispatch,
            overload=lambda cameras, _wanted: self.measured.append({camera.name for camera in cameras}),
            outputs=self,
            ready=lambda name: name in self.ready,
        )

    def serve(self, online: Mapping[str, bool]) -> None:
        self.online = dict(online)

    def forget(self, camera: str, *, removed: bool) -> None:
        self.forgotten.append((camera, removed))

    def _dispatch(self, models: Mapping[str, Model], cameras: Mapping[str, int]) -> None:
        self.models = dict(models)
        self.dispatched.append((set(models), dict(cameras)))

    def _make(self, config: DetectorCamera, url: str, substream: str) -> Camera:
        made = Camera(
            config,
            url,
            substream,
            make_stream=lambda _due: Dead(self.hold),
            offers=Nobody(),
            hub=self.hub,
            metrics=self.metrics,
            outputs=Outputs((), lambda *_: None),
        )
        self.made.append(made)
        return made

    def apply(
        self,
        *cameras: DetectorCamera,
        suspended: bool = False,
        replicas_host: str = "",
        models: tuple[DetectorModel, ...] = (MODEL,),
    ) -> None:
        config = DetectorConfig(
            "yard", "site", 7, "t:8001", "rtsp://media:8554", replicas_host, models, cameras, suspended
        )
        (self.paths.detector / "detector.json").write_text(to_json(config))
        self.fleet.round()

    def asked(self) -> dict[str, str]:
        return {name: model.asked for name, model in self.models.items()}

    def names(self) -> list[str]:
        return [state.name for state in self.fleet.states()]

    def series(self) -> set[str]:
        text = self.metrics.exposition().decode()
        return {line.split('camera="')[1].split('"')[0] for line in text.splitlines() if 'camera="' in line}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for one in made.made:
        one.stop()
    made.hold.set()


def test_before_its_first_configuration_it_has_no_cameras(world: World) -> None:
    world.fleet.round()
    assert (world.names(), world.fleet.generation) == ([], 0)


def test_cameras_are_read_from_the_media_server(world: World) -> None:
    world.apply(camera("gate"), camera("yard"))
    assert [one.urls[0] for one in world.made] == ["rtsp://media:8554/s-gate", "rtsp://media:8554/s-yard"]
    assert [state.state for state in world.fleet.states()] == ["Connecting", "Connecting"]
    assert world.fleet.generation == 7


def test_adding_changing_the_rate_and_removing_touch_no_other_stream(world: World) -> None:
    world.apply(camera("gate"), camera("yard"))
    world.apply(camera("gate"), camera("yard", target=9.0), camera("door"))
    assert len(world.made) == 3
    labels = {"camera": "yard"}
    assert world.metrics.registry.get_sample_value("edgedetector_camera_target_frame_rate", labels) == 9.0
    world.apply(camera("gate"), camera("door"))
    assert (len(world.made), world.names()) == (3, ["door", "gate"])


def test_another_stream_opens_that_camera_anew(world: World) -> None:
    world.apply(camera("gate"), camera("yard"))
    world.apply(camera("gate", stream="other"), camera("yard"))
    assert [one.urls[0] for one in world.made][2:] == ["rtsp://media:8554/other"]


def test_a_removed_camera_leaves_no_series(world: World) -> None:
    world.apply(camera("gate"), camera("yard"))
    world.metrics.show(world.fleet.states(), (), ("a", "", ""))
    assert world.series() == {"gate", "yard"}
    world.apply(camera("gate"))
    assert world.series() == {"gate"}


def test_a_suspended_detector_reads_nothing_and_says_so(world: World) -> None:
    world.apply(camera("gate"))
    world.apply(camera("gate"), suspended=True)
    assert [(state.name, state.state) for state in world.fleet.states()] == [("gate", "Suspended")]
    world.apply(camera("gate"))
    assert [state.state for state in world.fleet.states()] == ["Connecting"]


def test_a_bad_document_leaves_cameras_as_they_are(world: World) -> None:
    world.apply(camera("gate"))
    (world.paths.detector / "detector.json").write_text("{")
    world.fleet.round()
    assert world.names() == ["gate"]


def test_a_model_is_served_when_triton_serves_what_is_asked_for_it(world: World) -> None:
    """A variant with post-processing is asked through its ensemble: that the model itself serves is not enough."""
    small = replace(MODEL, name="small", served_as="small+pipeline")
    world.ready = {"people", "small"}
    world.apply(models=(MODEL, small))
    assert [world.fleet.serves(name) for name in ("people", "small", "nobody")] == [True, False, False]
    world.ready |= {"small+pipeline"}
    assert world.fleet.serves("small")


def test_a_model_is_asked_as_before_until_what_is_new_serves(world: World) -> None:
    """Post-processing that does not load takes no detection from a model that serves."""
    world.apply(camera("gate"))
    piped = replace(MODEL, served_as="people+pipeline")
    world.apply(camera("gate"), models=(piped,))
    former = world.models["people"]
    world.fleet.round()
    assert world.asked() == {"people": "people"}
    assert world.models["people"] is former
    world.ready = {"people", "people+pipeline"}
    world.fleet.round()
    assert world.asked() == {"people": "people+pipeline"}
    assert world.models["people"].config == piped
    world.ready = {"people+pipeline"}
    world.apply(camera("gate"))
    assert world.asked() == {"people": "people+pipeline"}, "nor does a model that is not there take it from an ensemble"
    world.ready = {"people"}
    world.fleet.round()
    assert world.asked() == {"people": "people"}


def test_a_model_that_nobody_asked_before_is_asked_as_configured(world: World) -> None:
    world.ready = set()
    world.apply(camera("gate"), models=(replace(MODEL, served_as="people+pipeline"),))
    assert world.asked() == {"people": "people+pipeline"}


def test_whatever_else_changes_of_a_model_is_taken_at_once(world: World) -> None:
    world.ready = set()
    world.apply(camera("gate"))
    surer = replace(MODEL, decoder=Decoder(confidence=0.9))
    world.apply(camera("gate"), models=(surer,))
    assert world.models["people"].config == surer


def test_a_change_of_one_model_leaves_the_others_their_memory(world: World) -> None:
    other = replace(MODEL, name="other")
    world.apply(camera("gate"), models=(MODEL, other))
    before = world.models
    world.apply(camera("gate"), models=(replace(MODEL, decoder=Decoder(confidence=0.9)), other))
    assert world.models["other"] is before["other"], "a lane is made anew for another model"
    assert world.models["people"] is not before["people"]
    world.apply(camera("gate"), models=(MODEL,))
    assert set(world.models) == {"people"}


def test_a_model_that_is_not_supported_is_said_once_and_again_when_it_changes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("new", "new", "newer"):
        world.apply(camera("gate"), models=(replace(MODEL, decoder=Decoder(type=kind)),))
        world.fleet.round()
    assert [record.message.split(":")[1] for record in caplog.records] == [" decoder new", " decoder newer"]
    assert world.models == {}
    world.apply(camera("gate"))
    assert world.asked() == {"people": "people"}


def test_replicas_share_cameras_and_take_over_those_of_a_lost_one(tmp_path: Path) -> None:
    cameras = [camera(f"c{number}") for number in range(40)]
    world = World(tmp_path)
    other = Cooperation("10.0.0.2", "yard-2", boot="b", clock=lambda: world.now)
    everything = frozenset(one.name for one in cameras)
    theirs: frozenset[str] = frozenset()
    world.cooperation.list(frozenset({"10.0.0.2"}))
    other.list(frozenset({"10.0.0.1"}))
    for _ in range(20):
        world.apply(*cameras, replicas_host="yard-replicas")
        theirs = other.decide("site/yard", everything, theirs)
        world.cooperation.due()
        world.cooperation.answered("10.0.0.2", to_json(other.greeting()))
        other.due()
        other.answered("10.0.0.1", to_json(world.cooperation.greeting()))
        world.now += 1.0
    own = set(world.names())
    assert 15 <= len(own) <= 25, "none has more than a quarter above its share"
    assert own | theirs == everything
    assert not own & theirs
    for _ in range(10):
        world.cooperation.due()
        world.cooperation.missed("10.0.0.2", Finding.REFUSED)
        world.now += 1.0
        world.fleet.round()
    assert set(world.names()) == everything
    assert all([one.name for one in world.made].count(name) == 1 for name in own), "its own were not opened again"
    world.hold.set()
    for one in world.made:
        one.stop()
