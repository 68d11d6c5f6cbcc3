"""A camera whose stream and model become smaller and larger again, with a real tritonserver: one object, one number."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from bench.calibration import tritonserver

from edgedetector.api.dataplane import Decoder, DetectorCamera, DetectorModel, FrameRate, Tensor
from edgedetector.detector.asked import Asked
from edgedetector.detector.batching import Capacity
from edgedetector.detector.camera import CLOCKS, Camera
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.dispatch import Dispatcher
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.frame import Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.presence import Crossing
from edgedetector.detector.rates import Room
from edgedetector.detector.reading import Reading
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions

pytestmark = pytest.mark.tritonserver

KEY = "s3cret"
RESTRICTED = f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin={KEY}"
PATIENCE = 60.0  # seconds; far more than anything here takes
SIZES = {"people": (96, 128), "people-small": (48, 64)}

# The box around all that is bright.
CODE = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            images = pb.get_input_tensor_by_name(request, "image").as_numpy()
            boxes = []
            for image in images:
                rows, columns = np.nonzero(image[..., 0] > 127)
                boxes.append([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
            count = len(images)
            found = {"boxes": np.array(boxes, np.float32), "scores": np.full((count, 1), 0.9, np.float32),
                     "classes": np.zeros((count, 1), np.int32)}
            answers.append(pb.InferenceResponse([pb.Tensor(name, value) for name, value in found.items()]))
        return answers
"""
CONFIG = """
name: "{name}" backend: "python" max_batch_size: 4
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] }} ]
output [ {{ name: "boxes" data_type: TYPE_FP32 dims: [ 1, 4 ] }}, {{ name: "scores" data_type: TYPE_FP32 dims: [ 1 ] }},
         {{ name: "classes" data_type: TYPE_INT32 dims: [ 1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""
OUTPUTS = (Tensor("boxes", (1, 4), "FP32"), Tensor("scores", (1,), "FP32"), Tensor("classes", (1,), "INT32"))


def model(name: str, variant: str = "") -> Model:
    image = Tensor("image", (*SIZES[name], 3), "UINT8")
    config = DetectorModel(name, (image,), OUTPUTS, Decoder("none", ("person",), 0.1), 4, smaller_variant=variant)
    return Model(config)


MODELS = {"people": model("people", "people-small"), "people-small": model("people-small")}
CONFIG_OF_CAMERA = DetectorCamera("gate", "s0", ("people",), FrameRate(1.0, 1.0, 1.0), substream="s1")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a tritonserver with both models. Module, since a start takes seconds."""
    repository: Path = tmp_path_factory.mktemp("models")
    for name, (height, width) in SIZES.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(CODE)
        (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name, height=height, width=width))
    directory = tmp_path_factory.mktemp("triton") / "server"
    directory.mkdir()
    arguments = (RESTRICTED, "--disable-auto-complete-config")
    with (
        tritonserver.running(tritonserver.prepare(), directory, repository, *arguments) as server,
        Client(server.grpc, key=KEY) as found,
    ):
        for name in SIZES:
            found.load(name)
        yield found


class Scene:
    """A stream of a walker, in more pixels at one URL than at the other; two seconds lie between its frames."""

    def __init__(self) -> None:
        self.url, self.keyframes_only = "", False
        self.steps: queue.Queue[int] = queue.Queue()
        self.arrived = CLOCKS.monotonic()

    def frames(self) -> Iterator[Frame]:
        url = self.url
        while True:
            step = self.steps.get(timeout=PATIENCE)
            if step < 0:
                raise SourceError("StreamEnded", "the test is over")
            if self.url != url:
                self.steps.put(step)
                return
            self.arrived += 2.0
            yield Frame(walker(step, 640 if url.endswith("/s0") else 320), step, self.arrived, CLOCKS.wall())

    def reading(self) -> Reading:
        return Reading()

    def stop(self) -> None:
        """Nothing to stop."""


def walker(step: int, width: int) -> av.VideoFrame:
    """Somebody a sixth of the picture wide and half as high as it, who goes a twentieth to the right each step."""
    height = width * 3 // 4
    pixels = np.zeros((height, width, 3), np.uint8)
    left = width * (2 + step) // 20
    pixels[height // 4 : height * 3 // 4, left : left + width // 6] = 255
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def until(what: str, good: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


class World:
    """One camera, through a real Triton."""

    def __init__(self, client: Client) -> None:
        self.scene, self.hub, self.guard, metrics = Scene(), Hub(), Guard(), Metrics()
        self.told: list[tuple[str, str, int]] = []
        self.dispatcher = Dispatcher(
            client,
            regions=Regions(),
            start=lambda name, work: self.guard.start(name, work, essential=False),
            stage=lambda name: Stopwatch(CLOCKS, lambda spent: metrics.spent(name, spent)),
            clock=CLOCKS.monotonic,
        )
        self.dispatcher.configure(MODELS, dict.fromkeys(MODELS, Capacity(1, 1)), {"gate": 0})
        self.camera = Camera(
            CONFIG_OF_CAMERA,
            "rtsp://media/s0",
            "rtsp://media/s1",
            make_stream=lambda _due: self.scene,
            offers=self.dispatcher,
            hub=self.hub,
            metrics=metrics,
            outputs=self,
        )
        self.camera.configure(CONFIG_OF_CAMERA, MODELS)

    def publish(self, _camera: str, model: str, events: list[Crossing]) -> None:
        self.told += [(model, event.kind, event.id) for event in events]

    def see(self, step: int, asked: Asked) -> Result:
        self.camera.ask(asked, Room.HOLD, CLOCKS.monotonic())
        self.scene.steps.put(step)
        until(f"a result of step {step}", lambda: bool(self.hub.latest("gate")) and self._newest().pts == step)
        return self._newest()

    def _newest(self) -> Result:
        (result,) = self.hub.latest("gate")
        return result


def test_a_walker_is_the_same_in_fewer_pixels_and_by_a_smaller_model_and_after(client: Client) -> None:
    world = World(client)
    world.camera.start(world.guard)
    smaller = Asked(sentence="given", substream=True, variants=world.camera.variants)
    seen = [world.see(step, smaller if 4 <= step < 8 else Asked()) for step in range(12)]
    assert [(one.model, one.variant, one.width) for one in seen] == [
        *[("people", "", 640)] * 4,
        *[("people", "people-small", 320)] * 4,
        *[("people", "", 640)] * 4,
    ]
    assert [one.ids for one in seen] == [(1,)] * 12
    for step, one in enumerate(seen):
        left, top, right, bottom = (value / one.width for value in one.detections[0].box)
        # To a pixel and a half of the smaller input.
        assert (left, top) == pytest.approx(((2 + step) / 20, 3 / 16), abs=1.5 / 64)
        assert (right - left, bottom - top) == pytest.approx((1 / 6, 3 / 8), abs=3 / 64)
    assert world.told == [("people", "enter", 1)]
    world.camera.stop()
    world.scene.steps.put(-1)
    world.dispatcher.close()
    assert not world.guard.stop.is_set()
