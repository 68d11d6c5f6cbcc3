"""Build test of the detector image: video is decoded with the right pixels, its libraries fit, no GPL code is in it.

Usage: detector.py VIDEO MIRRORED PICTURES: two H.264 files, of which the second is the first mirrored, and what
pictures.py made with PyAV's own wheel: files, digests of their pictures, and the wheel itself.
"""

import importlib
import importlib.metadata
import io
import itertools
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pictures
import tritonclient.grpc
from av._core import library_meta
from av.codec.hwaccel import hwdevices_available

FRAMES = 5
VIDEO_FRAMES = 30
SIZE = (96, 64)
TOLERANCE = 3.0
"""Mean error of lossy coding in grey levels; a wrong plane or stride is tens."""
LICENCE = "LGPL version 2.1 or later"
REFUSED = ("--enable-gpl", "--enable-nonfree", "--enable-version3", "x264", "x265")
ROUNDS = 2


def grey_ramp(index: int) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Return a BGR picture whose grey rises from left to right, brighter from frame to frame."""
    ramp = np.linspace(40 + 10 * index, 180 + 10 * index, SIZE[0], dtype=np.uint8)
    return np.repeat(np.tile(ramp, (SIZE[1], 1))[:, :, None], 3, axis=2)


def check_pixels() -> None:
    """Decode a few known pictures, as JPEGs one after the other: the image holds no video encoder."""
    data = io.BytesIO(b"".join(cv2.imencode(".jpg", grey_ramp(index))[1].tobytes() for index in range(FRAMES)))
    with av.open(data, format="mjpeg") as source:
        found = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
    errors = [float(np.abs(picture.astype(int) - grey_ramp(i)).mean()) for i, picture in enumerate(found)]
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


def check_licence() -> None:
    """Ask each library of FFmpeg under which licence it was configured, and look for files that are not to be there."""
    for name, meta in library_meta.items():
        refused = [word for word in REFUSED if word in meta["configuration"]]
        if meta["license"] != LICENCE or refused:
            raise SystemExit(f"{name}: {meta['license']}, configured with {' '.join(refused) or 'nothing wrong'}")
    found = [str(path) for top in ("/opt", "/usr") for path in Path(top).rglob("libx26*")]
    if found or {"libx264", "libx265"} & av.codecs_available:
        raise SystemExit(f"GPL encoders are in the image: {', '.join(found) or 'as codecs'}")
    folder = Path(av.__file__).parent.parent / "av.libs"
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libavcodec" in line}
    ours = [path for path in mapped if path.startswith(str(folder))]
    if len(ours) != 1 or not (folder / "doc" / "COPYING.LGPLv2.1").stat().st_size:
        raise SystemExit(f"PyAV runs on {', '.join(ours) or 'no library of its folder'}")
    print(f"FFmpeg: {LICENCE}, libavcodec {library_meta['libavcodec']['version']}, {hwdevices_available()}")


def check_same_pictures(folder: Path) -> None:
    """Decode what the wheel encoded: the same pictures, bit by bit, in every codec."""
    expected = json.loads((folder / "digests.json").read_text())
    for name, wanted in expected.items():
        found = pictures.digests(folder / name)
        if found != wanted or len(wanted) != pictures.COUNT:
            same = sum(one == other for one, other in zip(found, wanted, strict=False))
            raise SystemExit(f"{name}: {len(found)} pictures, {same} of {len(wanted)} as the wheel decodes them")
    print(f"the same pictures as PyAV's wheel decodes, {pictures.COUNT} each: {', '.join(expected)}")


def compare_speed(path: str, folder: Path) -> None:
    """Print the ratio of decoding times: a look, no verdict, as other builds run beside this one."""
    command = [sys.executable, str(Path(pictures.__file__)), "time", path]
    wheel = {**os.environ, "PYTHONPATH": str(folder / "wheel")}
    spent: dict[bool, list[float]] = {False: [], True: []}
    for own in [True, False] * ROUNDS:
        environment = dict(os.environ) if own else wheel
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        spent[own].append(float(done.stdout))
    ours, theirs = min(spent[True]), min(spent[False])
    print(f"CPU of decoding {Path(path).name}: {ours:.2f} s, the wheel {theirs:.2f} s, ratio {ours / theirs:.2f}")


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


def main(path: str, mirrored: str, made: Path) -> None:
    """Run the test; anything wrong ends it with an error."""
    check_pixels()
    check_video(path, mirrored)
    check_licence()
    check_same_pictures(made)
    compare_speed(path, made)
    check_tensors()
    modules = [name for part in ("api", "triton", "detector", "media") for name in import_all(f"edgedetector.{part}")]
    if "readline" in sys.modules:  # GPL, and part of Debian's Python (licences.toml)
        raise SystemExit("one of our modules imports readline")
    version = importlib.metadata.version("edgedetector")
    print(f"edgedetector {version}: av {av.__version__}, cv2 {cv2.__version__}, {len(modules)} modules import")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
