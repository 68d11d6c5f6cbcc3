"""Build test of the detector image: video is decoded with the right pixels, its libraries fit, no GPL code is in it.

Usage: detector.py VIDEO MIRRORED, two H.264 files, of which the second is the first mirrored.
"""

import importlib
import importlib.metadata
import io
import itertools
import pkgutil
import sys

import av
import cv2
import numpy as np
import tritonclient.grpc

FRAMES = 5
VIDEO_FRAMES = 30
SIZE = (96, 64)
TOLERANCE = 3.0
"""Mean error of lossy coding in grey levels; a wrong plane or stride is tens."""


def grey_ramp(index: int) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Return a BGR picture whose grey rises from left to right, brighter from frame to frame."""
    ramp = np.linspace(40 + 10 * index, 180 + 10 * index, SIZE[0], dtype=np.uint8)
    return np.repeat(np.tile(ramp, (SIZE[1], 1))[:, :, None], 3, axis=2)


def check_pixels() -> None:
    """Encode and decode a few known pictures; as mjpeg, because the image holds no H.264 encoder."""
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as output:
        stream = output.add_stream("mjpeg", rate=10, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for index in range(FRAMES):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(grey_ramp(index), format="bgr24")))
        output.mux(stream.encode())
    data.seek(0)
    with av.open(data) as source:
        pictures = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
    errors = [float(np.abs(picture.astype(int) - grey_ramp(i)).mean()) for i, picture in enumerate(pictures)]
    if len(errors) != FRAMES or max(errors) > TOLERANCE:
        raise SystemExit(f"decoded {len(errors)} frames with errors {errors}")
    print(f"decoded {FRAMES} frames, mean error {max(errors):.2f} grey levels")


def check_video(path: str, mirrored: str) -> None:
    """Decode real H.264 video; the second file's pictures are the first one's, mirrored."""
    films = []
    for name in (path, mirrored):
        with av.open(name) as source:
            frames = itertools.islice(source.decode(video=0), VIDEO_FRAMES)
            films.append([frame.to_ndarray(format="gray").astype(int) for frame in frames])
    if [len(film) for film in films] != [VIDEO_FRAMES, VIDEO_FRAMES]:
        raise SystemExit(f"decoded {[len(film) for film in films]} pictures, expected {VIDEO_FRAMES} of each")
    for one, other in zip(*films, strict=True):
        apart, mirror = np.abs(one - other).mean(), np.abs(one - other[:, ::-1]).mean()
        if not mirror < TOLERANCE < apart:
            raise SystemExit(f"pictures differ by {apart:.1f} grey levels, mirrored by {mirror:.1f}")
    print(f"decoded 2 x {VIDEO_FRAMES} pictures of {films[0][0].shape}")


def check_no_gpl() -> None:
    """Open each GPL encoder of PyAV's wheel: their code is gone, so that is an error."""
    for name in ("libx264", "libx265"):
        with av.open(io.BytesIO(), "w", format="matroska") as output:
            stream = output.add_stream(name, rate=10)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            try:
                stream.encode(av.VideoFrame.from_ndarray(grey_ramp(0), format="bgr24"))
            except av.error.ExternalError:
                continue
        raise SystemExit(f"{name} encodes: its GPL library is in the image")


def check_tensors() -> None:
    """Put a picture into a Triton request and into a JPEG: the libraries agree on numpy."""
    tensor = tritonclient.grpc.InferInput("IMAGE", [1, SIZE[1], SIZE[0], 3], "UINT8")
    tensor.set_data_from_numpy(grey_ramp(0)[None])
    done, jpeg = cv2.imencode(".jpg", grey_ramp(0))
    if not done or cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape != (SIZE[1], SIZE[0], 3):
        raise SystemExit("OpenCV does not encode JPEG")


def import_all(package: str) -> list[str]:
    """Import every module below `package`; a missing dependency or a broken import ends the test."""
    root = importlib.import_module(package)
    names = [one.name for one in pkgutil.walk_packages(root.__path__, package + ".")]
    for name in names:
        importlib.import_module(name)
    return names


def main(path: str, mirrored: str) -> None:
    """Run the test; anything wrong ends it with an error."""
    check_pixels()
    check_video(path, mirrored)
    check_no_gpl()
    check_tensors()
    modules = [name for part in ("api", "triton", "detector", "media") for name in import_all(f"edgedetector.{part}")]
    version = importlib.metadata.version("edgedetector")
    print(f"edgedetector {version}: av {av.__version__}, cv2 {cv2.__version__}, {len(modules)} modules import")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
