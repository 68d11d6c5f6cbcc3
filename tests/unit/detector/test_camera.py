"""A camera and what sends its frames, with real threads and, for decoding, a real H.264 file."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.unit.detector.videos import clip

from edgedetector.api.dataplane import Decoder, DetectorCamera, DetectorModel, FrameRate, Tensor
from edgedetector.detector.asked import Asked
from edgedetector.detector.batching import Capacity
from edgedetector.detector.camera import CLOCKS, Camera
from edgedetector.detector.cpu import Spent, Stopwatch
from edgedetector.detector.dispatch import Dispatcher
from edgedetector.detector.events import Hub
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.outputs.outputs import Outputs
from edgedetector.detector.presence import Crossing
from edgedetector.detector.rates import Room
from edgedetector.detector.reader import Reader
from edgedetector.detector.reading import Reading
from edgedetector.triton.errors import TritonError, UnavailableError

OUTPUTS = tuple(Tensor(name, (1,), "FP32") for name in ("boxes", "scores", "classes"))
MODEL = Model(DetectorModel("any", (Tensor("image", (-1, -1, 3), "UINT8"),), OUTPUTS, Decoder("none", ("x",), 0.0), 0))
CONFIG = DetectorCamera("gate", "s1", ("any",), FrameRate(target=1.0))
SMALL = Model(replace(MODEL.config, name="any-small"))
LARGE = Model(replace(MODEL.config, smaller_variant="any-small"))


class Answer:
    """What the client library makes of Triton's answer."""

    def __init__(self, outputs: dict[str, np.ndarray]) -> None:
        self._outputs = outputs

    def get_output(self, name):
        return self._outputs[name]

    def as_numpy(self, name):
        return self._outputs[name]


class Triton:
    """Answers one box as wide as the frame is; may be held, or fail."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)

    def begin(self, request, done, *, timeout, around) -> None:  # noqa: ARG002 - the client's signature
        assert timeout > 0
        if self.error and not isinstance(self.error, TritonError):
            raise self.error
        threading.Thread(target=self._answer, args=(request.inputs[0].shape[1], done), daemon=True).start()

    def _answer(self, width, done) -> None:
        self.asked.release()
        self.free.wait(10)
        found = {"boxes": np.array([[0, 0, width, 1]]), "scores": np.array([0.5]), "classes": np.array([0])}
        done(None, self.error) if self.error else done(Answer(found), None)


class Stream:
    """A stream of which the test hands out the frames, by its clock two seconds apart: none too early, or too late.

    None is a packet that is left undecoded.
    """

    def __init__(self) -> None:
        self.url = ""
        self.arrived = CLOCKS.monotonic()
        self.keyframes_only = False
        self.due: Callable[[float], bool] = lambda _: True
        self.items: queue.Queue[int | SourceError | None] = queue.Queue()
        self.opened = 0

    def frames(self) -> Iterator[Frame]:
        url = self.url
        self.opened += 1
        while True:
            item = self.items.get(timeout=10)
            if isinstance(item, SourceError):
                raise item
            if self.url != url:
                return
            self.arrived += 2.0
            self.due(self.arrived)
            if item is None:
                continue
            picture = av.VideoFrame.from_ndarray(np.zeros((2, item, 3), np.uint8), format="rgb24")
            yield Frame(picture, item, self.arrived, CLOCKS.wall())

    def reading(self) -> Reading:
        return Reading()

    def stop(self) -> None:
        """Nothing to stop."""


class Bench:
    """A running camera, what sends its frames, and what it counts."""

    def __init__(self, config: DetectorCamera = CONFIG) -> None:
        self.triton, self.stream, self.hub = Triton(), Stream(), Hub()
        self.metrics, self.guard = Metrics(), Guard()
        self.told: list[tuple[str, str, str, str]] = []
        self.dispatcher = Dispatcher(
            self.triton,
            regions=None,
            start=lambda name, work: self.guard.start(name, work, essential=False),
            stage=lambda name: Stopwatch(CLOCKS, lambda spent: self.metrics.spent(name, spent)),
            clock=CLOCKS.monotonic,
        )
        self.dispatcher.configure({"any": MODEL}, {"any": Capacity(1, 1)}, {config.name: 0})
        self.camera = Camera(
            config,
            "rtsp://media/s1",
            "rtsp://media/s2",
            make_stream=self._stream,
            offers=self.dispatcher,
            hub=self.hub,
            metrics=self.metrics,
            outputs=self,
            jitter=lambda: 0.0,
        )
        self.camera.configure(config, {"any": MODEL})

    def _stream(self, due: Callable[[float], bool]) -> Stream:
        self.stream.due = due
        return self.stream

    def publish(self, camera: str, model: str, events: Sequence[Crossing]) -> None:
        self.told += [(camera, model, event.kind, event.zone) for event in events]

    def count(self, result: str) -> int:
        labels = {"camera": "gate", "result": result}
        return int(self.metrics.registry.get_sample_value("edgedetector_camera_frames_total", labels) or 0)

    def left_out(self) -> dict[str, float | None]:
        """Frames that were left out, by why."""
        series, read = "edgedetector_camera_frames_left_out_total", self.metrics.registry.get_sample_value
        return {why: read(series, {"camera": "gate", "reason": why}) for why in ("ladder", "motion", "late")}

    def settled(self) -> bool:
        return self.count("read") == sum(self.count(result) for result in ("inferred", "skipped", "failed"))


def until(what: str, good: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.camera.start(made.guard)
    yield made
    made.camera.stop()
    made.triton.free.set()
    made.stream.items.put(1)
    made.dispatcher.close()


def test_a_frame_becomes_an_event_in_its_own_pixels(bench: Bench) -> None:
    bench.stream.items.put(640)
    until("a result", lambda: bool(bench.hub.latest("gate")))
    (result,) = bench.hub.latest("gate")
    assert result.detections[0].box == (0.0, 0.0, 640.0, 1.0)
    until("counted", lambda: bench.count("inferred") == 1)
    state = bench.camera.state()
    assert (state.state, state.detecting) == ("Live", True)


def test_while_triton_is_slow_only_the_newest_frame_waits_and_nothing_is_lost_from_the_count(bench: Bench) -> None:
    bench.triton.free.clear()
    bench.stream.items.put(8)
    assert bench.triton.asked.acquire(timeout=10)
    for width in range(10, 30):
        bench.stream.items.put(width)
    # Not only read: the one after which Triton answers has to wait there already.
    until("the newest waits", lambda: (bench.count("read"), bench.count("skipped")) == (21, 19))
    bench.triton.free.set()
    until("all accounted for", bench.settled)
    assert bench.hub.latest("gate")[0].pts == 29
    assert (bench.count("inferred"), bench.count("skipped")) == (2, 19)
    assert bench.left_out() == {"ladder": 0, "motion": 0, "late": 19}


def test_a_refusal_of_triton_is_counted_and_the_camera_goes_on(bench: Bench) -> None:
    bench.triton.error = UnavailableError("infer any: not loaded")
    bench.stream.items.put(8)
    until("failed", lambda: bench.count("failed") == 1)
    assert (bench.camera.state().state, bench.camera.state().message) == ("Live", "infer any: not loaded")
    bench.triton.error = None
    bench.stream.items.put(8)
    until("inferred", lambda: bench.count("inferred") == 1)
    until("no trouble left", lambda: bench.camera.state().message == "")
    assert not bench.guard.stop.is_set()


def test_a_frame_whose_model_is_replaced_on_its_way_makes_no_memory_that_nobody_frees(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is replaced in the moment between the look-up of its memory and the use of it."""
    bench.stream.items.put(8)
    until("inferred", lambda: bench.count("inferred") == 1)
    send, lanes = Dispatcher._send, []

    def replaced(dispatcher, lane, shots):
        lanes.append(lane)
        if len(lanes) == 1:
            dispatcher.configure({"any": Model(MODEL.config)}, {"any": Capacity(1, 1)}, {"gate": 0})
        return send(dispatcher, lane, shots)

    monkeypatch.setattr(Dispatcher, "_send", replaced)
    bench.stream.items.put(8)
    until("refused", lambda: bench.count("failed") == 1)
    until("released", lambda: lanes[0].pool.closed)
    bench.stream.items.put(8)
    until("served as it is now", lambda: bench.count("inferred") == 2)
    assert not lanes[1].pool.closed


def test_a_camera_that_breaks_off_is_opened_again(bench: Bench) -> None:
    bench.stream.items.put(8)
    until("live", lambda: bench.camera.state().state == "Live")
    bench.stream.items.put(SourceError("StreamEnded", "the stream ended"))
    until("failing", lambda: bench.camera.state().state == "Failing")
    until("opened again", lambda: bench.stream.opened == 2)
    bench.stream.items.put(8)
    until("live again", lambda: bench.camera.state().state == "Live")


def test_an_unexpected_exception_ends_the_process(bench: Bench) -> None:
    bench.triton.error = ZeroDivisionError("a bug")
    bench.stream.items.put(8)
    assert bench.guard.stop.wait(10)
    assert bench.guard.wait() == 1
    assert bench.guard.failed == "infer:any failed"


def test_at_the_target_rate_the_rest_is_skipped() -> None:
    made = Bench(DetectorCamera("gate", "s1", ("any",), FrameRate(target=0.01)))
    made.camera.start(made.guard)
    for _ in range(10):
        made.stream.items.put(8)
    until("all accounted for", lambda: made.count("read") == 10 and made.settled())
    assert (made.count("inferred"), made.count("skipped")) == (1, 9)
    assert made.left_out() == {"ladder": 0, "motion": 0, "late": 0}
    made.camera.stop()
    made.stream.items.put(1)


def test_the_time_of_a_state_does_not_follow_a_wall_clock_that_is_being_set() -> None:
    wall = [1_700_000_000.0]
    clocks = Clocks(lambda: 100.0, lambda: wall[0])
    camera = Camera(
        CONFIG,
        "rtsp://media/s1",
        make_stream=lambda _due: Stream(),
        offers=Bench().dispatcher,
        hub=Hub(),
        metrics=Metrics(),
        outputs=Outputs((), lambda *_: None),
        clocks=clocks,
    )
    first = camera.state()
    wall[0] += 3.0
    assert first.since == "2023-11-14T22:13:20Z"
    assert camera.state() == first


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of H.264; encoded once, since it takes a moment."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 12, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_every_frame_of_a_video_is_decoded_in_order_until_its_end(video: Path) -> None:
    spent: list[Spent] = []
    seen: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        seen.extend(Reader(str(video), CLOCKS, on_decode=spent.append).frames())
    assert caught.value.reason == "StreamEnded"
    assert [round(frame.image().mean() / 12) for frame in seen] == list(range(20))
    assert seen[0].image().shape == (48, 64, 3)
    assert all(later.arrived >= earlier.arrived for earlier, later in itertools.pairwise(seen))
    assert len(spent) >= 20


@pytest.mark.parametrize("content", [b"", b"this is no video" * 100])
def test_garbage_is_a_source_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError):
        list(Reader(str(path), CLOCKS).frames())


def test_a_media_server_that_is_not_there_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="refused") as caught:
        list(Reader("rtsp://127.0.0.1:1/s1", CLOCKS).frames())
    assert not caught.value.unauthorized


def test_a_smaller_variant_takes_over_and_hands_back_while_objects_keep_their_number(bench: Bench) -> None:
    models = {"any": LARGE, "any-small": SMALL}
    bench.dispatcher.configure(models, dict.fromkeys(models, Capacity(1, 1)), {"gate": 0})
    bench.camera.configure(CONFIG, models)
    assert bench.camera.variants == {"any-small"}
    served = []
    for variants in (frozenset[str](), frozenset({"any-small"}), frozenset[str]()):
        bench.camera.ask(Asked(sentence="given", variants=variants), Room.HOLD, CLOCKS.monotonic())
        for _ in range(3):
            before = bench.count("inferred")
            bench.stream.items.put(640)
            until("a result", lambda before=before: bench.count("inferred") == before + 1)
            (result,) = bench.hub.latest("gate")
            served.append((result.model, result.variant, result.ids, result.document().get("variant")))
    assert served == [
        *[("any", "", (1,), None)] * 3,
        *[("any", "any-small", (1,), "any-small")] * 3,
        *[("any", "", (1,), None)] * 3,
    ]
    assert bench.told == [("gate", "any", "enter", "")]


def test_what_a_variant_finds_counts_as_its_models(bench: Bench) -> None:
    models = {"any": LARGE, "any-small": SMALL}
    bench.dispatcher.configure(models, dict.fromkeys(models, Capacity(1, 1)), {"gate": 0})
    bench.camera.configure(CONFIG, models)
    bench.camera.ask(Asked(variants=frozenset({"any-small"})), Room.HOLD, CLOCKS.monotonic())
    bench.stream.items.put(640)
    until("a result", lambda: bench.count("inferred") == 1)
    labels = {"camera": "gate", "model": "any", "label": "x"}
    assert bench.metrics.registry.get_sample_value("edgedetector_camera_detections_total", labels) == 1


def go_to_the_substream(bench: Bench) -> None:
    until("main is read", lambda: bench.stream.opened == 1)
    bench.camera.ask(Asked(sentence="given", substream=True), Room.HOLD, CLOCKS.monotonic())
    bench.stream.items.put(1)
    until("the sub-stream is read", lambda: bench.stream.opened == 2)


def test_a_substream_is_read_when_asked_and_one_that_fails_gives_way_to_the_main_stream(bench: Bench) -> None:
    asked = Asked(sentence="given", substream=True)
    assert bench.stream.url == "rtsp://media/s1"
    go_to_the_substream(bench)
    assert bench.stream.url == "rtsp://media/s2"
    bench.stream.items.put(SourceError("StreamEnded", "there is no such stream"))
    until("opened again", lambda: bench.stream.opened == 3)
    assert bench.stream.url == "rtsp://media/s1"
    assert not bench.camera.narrows
    bench.camera.ask(asked, Room.HOLD, CLOCKS.monotonic())
    assert bench.stream.url == "rtsp://media/s1"
    bench.stream.items.put(8)
    until("live", lambda: bench.camera.state().state == "Live")


def test_cameras_stay_on_their_substreams_when_the_media_server_restarts(bench: Bench) -> None:
    asked = Asked(sentence="given", substream=True)
    go_to_the_substream(bench)
    for _ in range(6):  # Two seconds apart by the stream's clock.
        bench.stream.items.put(8)
    bench.stream.items.put(SourceError("StreamFailed", "Connection reset by peer"))
    until("opened again", lambda: bench.stream.opened == 3)
    bench.camera.ask(asked, Room.HOLD, CLOCKS.monotonic())
    assert bench.stream.url == "rtsp://media/s2"
    bench.stream.items.put(8)
    until("live", lambda: bench.camera.state().state == "Live")


def test_a_substream_is_not_blamed_for_the_main_stream_that_was_read_when_it_was_asked_for(bench: Bench) -> None:
    until("main is read", lambda: bench.stream.opened == 1)
    bench.camera.ask(Asked(sentence="given", substream=True), Room.HOLD, CLOCKS.monotonic())
    bench.stream.items.put(SourceError("Silent", "nothing was received for 20 s"))
    until("opened again", lambda: bench.stream.opened == 2)
    assert bench.stream.url == "rtsp://media/s2"


def test_a_camera_goes_to_its_substream_and_back_and_is_failing_at_no_time(tmp_path: Path) -> None:
    """With real readers of real files, which end without end: each is read to its end and opened again."""
    paths = {name: _video(tmp_path / f"{name}.mp4", width) for name, width in (("main", 128), ("sub", 64))}
    bench = Bench(config=replace(CONFIG, frame_rate=FrameRate(1.0, 100.0, 100.0)))
    opened: list[str] = []

    class Endless(Reader):
        def frames(self):
            opened.append(self.url)
            while not self._stopped and self.url == opened[-1]:
                try:
                    yield from super().frames()
                except SourceError:
                    continue

    camera = Camera(
        bench.camera._config,
        paths["main"],
        paths["sub"],
        make_stream=lambda due: Endless(paths["main"], CLOCKS, due=due),
        offers=bench.dispatcher,
        hub=bench.hub,
        metrics=bench.metrics,
        outputs=bench,
    )
    camera.configure(bench.camera._config, {"any": MODEL})
    camera.start(bench.guard)

    def width() -> int:
        latest = bench.hub.latest("gate")
        return latest[0].width if latest else 0

    for name, wide in (("main", 128), ("sub", 64), ("main", 128)):
        camera.ask(Asked(sentence="given", substream=name == "sub"), Room.HOLD, CLOCKS.monotonic())
        until(f"frames of {name}", lambda wide=wide: width() == wide)
        assert camera.state().state == "Live"
    assert opened == [paths["main"], paths["sub"], paths["main"]]
    camera.stop()
    bench.dispatcher.close()
    assert not bench.guard.stop.is_set()


def _video(path: Path, width: int) -> str:
    path.write_bytes(clip(width=width, count=10, container="matroska"))
    return str(path)
