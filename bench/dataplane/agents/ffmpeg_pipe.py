"""As Frigate takes frames: an ffmpeg for each camera that decodes, and raw yuv420p through a pipe.

The arguments are Frigate's defaults (`frigate/ffmpeg_presets.py` at 00b5120: preset-rtsp-generic, default scale; the
global and the detect output arguments of its configuration reference). Each frame that is due is read, converted to
RGB and scaled to the model's input; with `http` it goes to Triton as `opencv_http` sends it, without it no further.
Task: streams (name -> URL), ffmpeg, rate, width, height, size; http and model, if it is to infer.
"""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Any

import cv2
import numpy as np
from bench.dataplane.agents.answering import answer, task
from bench.dataplane.agents.http import Triton

prepared: dict[str, int] = {}


def command(url: str, wanted: dict[str, Any]) -> list[str]:
    """Return how ffmpeg is called."""
    rate, width, height = wanted["rate"], wanted["width"], wanted["height"]
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        wanted["ffmpeg"], "-hide_banner", "-loglevel", "warning", "-threads", "2",
        "-avoid_negative_ts", "make_zero", "-fflags", "+genpts+discardcorrupt", "-rtsp_transport", "tcp",
        "-timeout", "10000000", "-use_wallclock_as_timestamps", "1", "-i", url,
        "-r", f"{rate:g}", "-vf", f"fps={rate:g},scale={width}:{height}",
        "-threads", "2", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:",
    ]  # fmt: skip


def follow(name: str, pipe: Any, wanted: dict[str, Any]) -> None:
    width, height, size = wanted["width"], wanted["height"], wanted["size"]
    planes, image = np.empty((height * 3 // 2, width), np.uint8), np.empty((size, size, 3), np.uint8)
    triton = Triton(wanted["http"], wanted["model"]) if "http" in wanted else None
    while pipe.readinto(planes.reshape(-1)) == planes.size:
        cv2.resize(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), (size, size), dst=image)
        if triton is not None:
            triton.infer(image)
        prepared[name] += 1


def main() -> None:
    wanted = task()
    running = []
    for name, url in wanted["streams"].items():
        prepared[name] = 0
        # From this thread: who dies with its parent dies with the parent's thread.
        started = subprocess.Popen(command(url, wanted), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        running.append(started)
        threading.Thread(target=follow, args=(name, started.stdout, wanted), daemon=True).start()
    answer(lambda: {"inferred": dict(prepared)})
    for started in running:
        started.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
