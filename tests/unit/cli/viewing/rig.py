"""A site without a cluster: real go2rtc with our media pod's configuration, the detector's own reader, hub and server.

What stands in for the model looks for the bright figure in the frames that it really gets, so a box is where the figure
was in that frame. What stands in for the API server is the world of the command line's other tests.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from tests.unit.cli.worlds import World, pod
from tests.unit.media.conftest import Pod, answers, free_port, wait_for

from edgedetector.api import names
from edgedetector.api.dataplane import CameraState, MediaCamera
from edgedetector.cli.gather import Wanted, gather
from edgedetector.cli.server import Place
from edgedetector.cli.snapshot import Snapshot, Subject
from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.page import source
from edgedetector.cli.viewing.relay import Relay
from edgedetector.detector import web
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.frame import Clocks
from edgedetector.detector.health import Stillness
from edgedetector.detector.inference import Detection
from edgedetector.detector.opening import SourceError
from edgedetector.detector.outputs.secretfiles import SecretFile
from edgedetector.detector.reader import Reader

ROOT = Path(__file__).parents[4]
WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 10, 8
CAMERAS = ("gate", "dock")
CLOCKS = Clocks(time.monotonic, time.time)
assert Stillness


def scene(number: int) -> Any:
    """A yard at dusk, and a figure in white that walks through it: RGB uint8 [HEIGHT, WIDTH, 3]."""
    down = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    picture = np.array([62, 78, 96]) * (1 - down) + np.array([92, 86, 76]) * down
    picture = np.broadcast_to(picture, (HEIGHT, WIDTH, 3)).copy()
    picture[150:158] = (70, 66, 60)
    for post in range(12, WIDTH, 56):
        picture[110:200, post : post + 7] = (66, 60, 54)
    picture[60:190, 430:600] = (84, 96, 104)
    picture[90:130, 455:495] = picture[90:130, 530:570] = (120, 132, 128)
    left = round(40 + (WIDTH - 120) * (0.5 - 0.5 * np.cos(2 * np.pi * number / (RATE * SECONDS))))
    picture[176:306, left : left + 44] = (236, 236, 230)
    return picture.astype(np.uint8)


def video(path: Path) -> None:
    """Write the loop that the cameras play, with a keyframe a second."""
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 500_000
        stream.codec_context.gop_size = RATE
        stream.options = {
            "tune": "zerolatency",
            "preset": "veryfast",
            "sc_threshold": "0",
            "x264-params": "slices=1:sliced-threads=0:repeat-headers=1",
        }
        for number in range(RATE * SECONDS):
            frame = av.VideoFrame.from_ndarray(scene(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def figure(image: Any) -> tuple[Detection, ...]:
    """Find the figure in a frame."""
    rows, columns = np.nonzero(image[:, :, 2] > 190)
    if not len(rows):
        return ()
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    return (Detection("person", 0.93, box),)


class Inference:
    """An inference pod's data plane as far as a page sees it: a thread a camera, and the server of events."""

    def __init__(self, rtsp: int, streams: dict[str, str], token: SecretFile | None = None) -> None:
        self.hub = Hub()
        self.states: dict[str, CameraState] = {}
        self.server = web.private(("127.0.0.1", 0), self.hub, lambda: token)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self.server.run, args=(self._stop,))]
        for camera, stream in streams.items():
            self._state(camera, "Connecting", "the stream is opened")
            url = f"rtsp://127.0.0.1:{rtsp}/{stream}"
            self._threads.append(threading.Thread(target=self._camera, args=(camera, url)))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _state(self, camera: str, state: str, message: str = "") -> None:
        if camera not in self.states or self.states[camera].state != state:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            live = state == "Live"
            self.states[camera] = CameraState(camera, state, "", message, now, detecting=live)

    def _camera(self, camera: str, url: str) -> None:
        while not self._stop.is_set():
            reader = Reader(url, CLOCKS)
            watch = threading.Thread(target=self._stalls, args=(camera, reader, over := threading.Event()))
            watch.start()
            try:
                for frame in reader.frames():
                    self._found(camera, frame)
                    if self._stop.is_set():
                        reader.stop()
            except SourceError as error:
                self._state(camera, "Failing", f"the camera does not answer: {error}")
            over.set()
            watch.join()
            self._stop.wait(1)

    def _stalls(self, camera: str, reader: Reader, over: threading.Event) -> None:
        while not over.wait(0.5):
            if self._stop.is_set():
                reader.stop()
            results = self.hub.latest(camera)
            if results and time.time() - results[0].captured > 3.0:
                self._state(camera, "Stalled", "no frame for three seconds: is the camera on, and its cable in?")

    def _found(self, camera: str, frame: Any) -> None:
        image = frame.picture.to_ndarray(format="rgb24")
        age = time.monotonic() - frame.arrived
        result = Result(
            *(camera, "people", image.shape[1], image.shape[0], lambda: image, frame.pts, frame.captured, age, age),
            figure(image),
        )
        self._state(camera, "Live")
        self.hub.publish(result)


class Rig:
    """The whole site, and what happens to it."""

    def __init__(self, root: Path, binary: str, token: SecretFile | None = None) -> None:
        self.world = World()
        self.pod = Pod(root, binary)
        self.port, self.control = free_port(), free_port()
        self.loop = root / "loop.h264"
        video(self.loop)
        self.camera: subprocess.Popen[bytes] | None = None
        self.media = "yard-media-1"
        self.entered: list[tuple[str, int]] = []
        self.token = token
        self.world.pods = [self.world.pods[0], self.world.pods[1]]

    def start(self) -> None:
        self.cameras_on()
        subject = Subject(self.world.detector)
        self.streams = {camera: source(subject, camera).stream for camera in CAMERAS}
        urls = {camera: f"rtsp://127.0.0.1:{self.port}/cam{place}" for place, camera in enumerate(CAMERAS)}
        self.pod.configure(1, *(MediaCamera(self.streams[camera], urls[camera], camera=camera) for camera in CAMERAS))
        self.pod.supervisor.step()
        self.pod.start()
        self.pod.until_ready(1)
        self.video = self.pod.serve_video()
        self.inference = Inference(self.pod.rtsp, self.streams, self.token)

    def close(self) -> None:
        self.inference.close()
        self.pod.stop()
        self.cameras_off()

    def cameras_on(self) -> None:
        command = [sys.executable, str(ROOT / "bench/media_topology/camera.py"), "--video", str(self.loop)]
        command += ["--paths", "2", "--spread", "--port", str(self.port), "--control", str(self.control)]
        self.camera = subprocess.Popen(command)
        wait_for("cameras", lambda: answers(self.control))

    def cameras_off(self) -> None:
        if self.camera is not None:
            self.camera.kill()
            self.camera.wait()
            self.camera = None

    def replace_media_pod(self) -> None:
        """As when it is rolled: another name, other ports, and those of the old one are gone."""
        self.pod.stop()
        self.pod.api = free_port()
        self.media = "yard-media-2"
        self.world.pods[1] = pod(self.media, "media", ("go2rtc", "config"))
        self.pod.restart_config_container()
        self.pod.start()
        self.pod.until_ready(1)
        self.video = self.pod.serve_video()

    # As the command line sees it

    def look(self) -> Snapshot:
        seen = self.world.states["yard-triton-1"]
        cameras = tuple(self.inference.states.values())
        self.world.states["yard-triton-1"] = replace(seen, cameras=cameras)
        self.world.clock = datetime.now(UTC)
        return gather(self.world, Wanted("site", "yard", pods=True), now=self.world.clock)

    @contextlib.contextmanager
    def forward(self, _place: Place, _namespace: str, name: str, port: int) -> Iterator[str]:
        self.entered.append((name, port))
        ports = {
            (self.media, names.PORT_MEDIA_VIDEO): self.video,
            ("yard-triton-1", names.PORT_DETECTOR_EVENTS): self.inference.server.server_address[1],
        }
        yield f"http://127.0.0.1:{ports[name, port]}"

    def relay(self, token: str = "") -> Relay:
        place = Place(self.world, "site")
        return Relay(self.look, Links(lambda name, port: self.forward(place, "site", name, port)), lambda: token)
