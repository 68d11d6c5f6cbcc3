"""What a PyAV decodes, as digests, so that two builds of FFmpeg can be compared picture by picture.

Usage, of a PyAV that has encoders: pictures.py make VIDEO DIRECTORY
writes the first pictures of VIDEO in each codec of CODECS, and digests.json: what this PyAV decodes of each file.

Usage: pictures.py time VIDEO
prints the CPU seconds that decoding VIDEO takes, one thread, pictures not converted.
"""

import hashlib
import itertools
import json
import sys
import time
from pathlib import Path

import av

COUNT = 60
CODECS = {
    "h264": ("libx264", {"bf": "3", "g": "20", "preset": "medium"}),  # B-frames, CABAC, 8x8 transform
    "h264-interlaced": ("libx264", {"g": "20", "x264-params": "tff=1"}),
    "hevc": ("libx265", {"x265-params": "log-level=error:keyint=20"}),
    "mpeg4": ("mpeg4", {"g": "20"}),
    "mjpeg": ("mjpeg", {"qscale": "3"}),
    "vp8": ("libvpx", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
}
"""Codecs that cameras send: file name -> encoder, its options."""


def digests(path: Path) -> list[str]:
    """Return a digest of every picture's planes, with its format and size."""
    found = []
    with av.open(str(path)) as source:
        for frame in source.decode(video=0):
            whole = hashlib.sha256(f"{frame.format.name} {frame.width} {frame.height} ".encode())
            for plane, part in zip(frame.planes, frame.format.components, strict=False):
                rows = memoryview(plane)
                for row in range(part.height):  # a line may be longer than the picture is wide
                    whole.update(rows[row * plane.line_size : row * plane.line_size + part.width])
            found.append(whole.hexdigest())
    return found


def encode(video: Path, target: Path, encoder: str, options: dict[str, str]) -> None:
    """Write the first COUNT pictures of `video`."""
    with av.open(str(video)) as source, av.open(str(target), "w") as output:
        stream = output.add_stream(encoder, rate=10, options=options)
        like = source.streams.video[0]
        stream.width, stream.height = like.width, like.height
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for frame in itertools.islice(source.decode(video=0), COUNT):
            picture = frame.reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = frame.pts, frame.time_base
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def make(video: Path, directory: Path) -> None:
    """Write every file and what is in it."""
    for name, (encoder, options) in CODECS.items():
        encode(video, directory / f"{name}.mkv", encoder, options)
    found = {path.name: digests(path) for path in sorted(directory.glob("*.mkv"))}
    (directory / "digests.json").write_text(json.dumps(found))
    print(", ".join(f"{name}: {len(pictures)} pictures" for name, pictures in found.items()))


def decoding_time(video: Path) -> float:
    """Return the CPU seconds that decoding takes."""
    with av.open(str(video)) as source:
        source.streams.video[0].codec_context.thread_count = 1
        started = time.process_time()
        for _ in source.decode(video=0):
            pass
        return time.process_time() - started


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(decoding_time(Path(sys.argv[2])))
