"""Make the loop that the cameras play: 640x360, 10 pictures a second, a keyframe every 2 s, about 300 kbit/s.

python video.py loop.h264
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FRAME_RATE, GROUP, SECONDS = 640, 360, 10, 20, 8


def main(path: Path, group: int = GROUP) -> None:
    """Write the loop; `group` is the number of pictures from one keyframe to the next."""
    random = np.random.default_rng(0)
    scene = random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 300_000
        stream.codec_context.gop_size = group
        # One slice a picture and no B-frames: a picture is a unit that needs only what came before it.
        stream.options = {
            "tune": "zerolatency",
            "preset": "veryfast",
            "sc_threshold": "0",
            "x264-params": "slices=1:sliced-threads=0:repeat-headers=1",
        }
        for number in range(FRAME_RATE * SECONDS):
            picture = np.roll(scene, 4 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
