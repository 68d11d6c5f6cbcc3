"""A site of cameras and a media pod without Kubernetes: the real go2rtc, the real config container's parts."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bench.media_topology import video

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.api.wire import to_json
from edgedetector.go2rtc import container
from edgedetector.media.process import Go2rtc
from edgedetector.media.supervisor import Paths, Supervisor
from edgedetector.media.video import MOST, VideoServer

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(what: str, probe: Callable[[], T], seconds: float = 20.0) -> T:
    """Poll until `probe` gives something true, and fail showing the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"{what}: last answer {answer!r}"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="session")
def go2rtc_binary() -> str:
    """Path of go2rtc; session-wide because a cold build takes half a minute."""
    build = [sys.executable, str(ROOT / "tests/e2e/node/build.py"), "go2rtc"]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cameras play; session-wide because it never changes."""
    path = tmp_path_factory.mktemp("video") / "loop.h264"
    video.main(path, group=5)
    return path


@dataclass
class Cameras:
    """Cameras cam0 to cam3 behind one address."""

    port: int
    control: int

    def url(self, number: int) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam{number}"

    def sessions(self, number: int) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/sessions") as answer:
            return [item for item in json.load(answer)["sessions"] if item["path"] == f"cam{number}"]

    def require(self, number: int, password: str) -> None:
        url = f"http://127.0.0.1:{self.control}/credentials?path=cam{number}&user=admin&password={password}"
        urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()


@pytest.fixture
def cameras(loop: Path) -> Iterator[Cameras]:
    site = Cameras(free_port(), free_port())
    command = [sys.executable, str(ROOT / "bench/media_topology/camera.py"), "--video", str(loop), "--paths", "4"]
    with subprocess.Popen([*command, "--port", str(site.port), "--control", str(site.control)]) as process:
        wait_for("cameras", lambda: answers(site.control))
        yield site
        process.kill()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Pod:
    """The media pod's volumes and processes."""

    root: Path
    binary: str
    rtsp: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    supervisor: Supervisor = field(init=False)
    video: VideoServer | None = None

    def __post_init__(self) -> None:
        (self.root / "run").mkdir()
        (self.root / "secrets").mkdir()
        self.restart_config_container()

    @property
    def log(self) -> Path:
        return self.root / "go2rtc.log"

    def restart_config_container(self) -> None:
        run = self.root / "run"
        paths = Paths(
            self.root / "media.json", self.root / "secrets", run / "go2rtc.yaml", run / "credentials", run / "key"
        )
        self.supervisor = Supervisor(paths, Go2rtc(port=self.api), time.monotonic)

    def configure(self, generation: int, *cameras: MediaCamera) -> None:
        (self.root / "media.json").write_text(to_json(MediaConfig(generation, cameras)))

    def put_secret(self, name: str, **values: str) -> None:
        directory = self.root / "secrets" / name
        directory.mkdir(exist_ok=True)
        for key, value in values.items():
            (directory / key).write_text(value)

    def start(self, minimum_uptime: int = 0) -> subprocess.Popen[bytes]:
        """Start go2rtc as its container would, on ports of this test's own."""
        arguments = [
            item.replace(str(Path(container.CONFIG_FILE).parent), str(self.root / "run"))
            for item in container.server("go2rtc")["args"]
        ]
        ports = {"api": {"listen": f"127.0.0.1:{self.api}"}, "rtsp": {"listen": f"127.0.0.1:{self.rtsp}"}}
        environment = os.environ | {
            "CREDENTIALS_DIRECTORY": str(self.root / "run/credentials"),
            "MINIMUM_UPTIME_SECONDS": str(minimum_uptime),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*container.server("go2rtc")["command"][:-1], self.binary, *arguments, "-config", json.dumps(ports)],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return self.process

    def until(self, what: str, condition: Callable[[], T], seconds: float = 20.0) -> T:
        """Do passes until the condition holds."""

        def probe() -> T:
            self.supervisor.step()
            return condition()

        return wait_for(what, probe, seconds)

    def until_ready(self, generation: int) -> None:
        def ready() -> bool:
            return self.supervisor.state.ready and self.supervisor.state.generation == generation

        self.until(f"generation {generation}", ready)
        wait_for("RTSP", lambda: answers(self.rtsp))  # go2rtc answers its API a moment before

    def serve_video(self, most: int = MOST) -> int:
        """Serve video as the config container does, and return the port."""
        self.video = VideoServer(0, self.api, lambda: self.supervisor.streams, most=most)
        threading.Thread(target=self.video.serve_forever, daemon=True).start()
        return int(self.video.server_address[1])

    def stop(self) -> None:
        if self.video is not None:
            self.video.shutdown()
            self.video.server_close()
            self.video = None
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def go2rtc(self) -> int:
        """Process id of go2rtc, the child of the container's shell."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0


@pytest.fixture
def pod(tmp_path: Path, go2rtc_binary: str) -> Iterator[Pod]:
    media_pod = Pod(tmp_path, go2rtc_binary)
    yield media_pod
    media_pod.stop()
