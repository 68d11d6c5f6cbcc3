"""Config container of the media pod: `python -m edgedetector.media`."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from pathlib import Path

from edgedetector.api import names
from edgedetector.go2rtc.container import CONFIG_FILE, CREDENTIALS_DIRECTORY
from edgedetector.go2rtc.render import API_PORT
from edgedetector.media.process import Go2rtc
from edgedetector.media.server import Server
from edgedetector.media.supervisor import PASS_SECONDS, Paths, Supervisor
from edgedetector.media.traffic import Traffic
from edgedetector.media.video import VideoServer


def main() -> None:
    """Serve until SIGTERM."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    paths = Paths(
        arguments.media, arguments.secrets, arguments.config, arguments.credentials, arguments.config.with_name("key")
    )
    supervisor = Supervisor(paths, Go2rtc(port=arguments.go2rtc_port), time.monotonic)
    traffic = Traffic(arguments.go2rtc_port, lambda: supervisor.labels)
    server = Server(arguments.port, supervisor, traffic.exposition)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    video = VideoServer(arguments.video_port, arguments.go2rtc_port, lambda: supervisor.streams)
    threading.Thread(target=video.serve_forever, name="video", daemon=True).start()
    # A pass that raises ends the process: the kubelet starts it again and says so, go2rtc goes on meanwhile.
    while not stop.is_set():
        supervisor.step()
        stop.wait(PASS_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgedetector.media", description=__doc__)
    parser.add_argument("--media", type=Path, default=Path(names.DIR_MEDIA, names.FILE_MEDIA))
    parser.add_argument("--secrets", type=Path, default=Path(names.DIR_SECRETS))
    parser.add_argument("--config", type=Path, default=Path(CONFIG_FILE))
    parser.add_argument("--credentials", type=Path, default=Path(CREDENTIALS_DIRECTORY))
    parser.add_argument("--port", type=int, default=names.PORT_GO2RTC_API)
    parser.add_argument("--video-port", type=int, default=names.PORT_MEDIA_VIDEO)
    parser.add_argument("--go2rtc-port", type=int, default=API_PORT)
    return parser


if __name__ == "__main__":
    main()
