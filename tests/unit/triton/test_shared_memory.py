"""Regions on the real /dev/shm and on a real tmpfs of 1 MB."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgedetector.triton.shared_memory import DIRECTORY, Region, Regions

SOURCE = str(Path(__file__).parents[3] / "operator")


@pytest.fixture
def region() -> Iterator[Region]:
    made = Regions().create(1 << 16)
    yield made
    made.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def maker(body: str) -> str:
    return f"""
import sys
sys.path.insert(0, {SOURCE!r})
from pathlib import Path
from edgedetector.triton.errors import SharedMemoryFullError
from edgedetector.triton.shared_memory import Regions
{body}"""


def test_a_region_is_its_user_s_alone_and_has_all_its_pages(region: Region) -> None:
    found = (DIRECTORY / region.name).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_blocks * 512 >= found.st_size == 1 << 16


def test_what_is_written_is_in_the_file(region: Region) -> None:
    np.frombuffer(region.memory, np.uint8)[:3] = [1, 2, 3]
    assert (DIRECTORY / region.name).read_bytes()[:4] == bytes([1, 2, 3, 0])


def test_names_differ_within_and_between_processes() -> None:
    made = [factory.create(4096) for factory in (Regions(), Regions()) for _ in range(3)]
    for region in made:
        region.close()
    assert len({region.name for region in made}) == 6


def test_arrays_outlive_their_region(region: Region) -> None:
    array = np.frombuffer(region.memory, np.uint8)
    region.close()
    array[:] = 7
    assert array.sum() == 7 * len(array)
    assert not (DIRECTORY / region.name).exists()


def test_nothing_is_left_after_a_thousand_regions(tmp_path: Path) -> None:
    factory, before = Regions(tmp_path), descriptors()
    for _ in range(1000):
        region = factory.create(1 << 14)
        array = np.frombuffer(region.memory, np.uint8)
        array[0] = 1
        region.close()
        region.close()  # twice is once
        del array, region
    assert descriptors() == before
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_killed_process_s_regions_are_swept_and_a_living_one_s_stay(tmp_path: Path) -> None:
    code = maker(f"""
region = Regions(Path({str(tmp_path)!r})).create(4096)
print(region.name, flush=True)
sys.stdin.read()""")
    killed, living = (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    names = [process.stdout.readline().strip() for process in (killed, living)]
    (tmp_path / "edgedetector-tensors-of-somebody-else").write_text("kept")
    (tmp_path / "triton_python_backend_shm_region_1").write_text("kept")
    own = Regions(tmp_path)
    mine = own.create(4096)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    assert own.sweep() == (names[0],)
    assert {path.name for path in tmp_path.iterdir()} == {
        names[1], mine.name, "edgedetector-tensors-of-somebody-else", "triton_python_backend_shm_region_1"
    }  # fmt: skip
    living.communicate()
    assert own.sweep() == (names[1],)
    mine.close()


def test_only_other_processes_regions_without_a_file_are_left(tmp_path: Path) -> None:
    own, other = Regions(tmp_path, "0" * 16), Regions(tmp_path, "1" * 16)
    gone, there, mine = other.create(4096), other.create(4096), own.create(4096)
    gone.close()
    mine.close()
    assert own.left([gone.name, there.name, mine.name, "edgedetector-tensors-x", "input0"]) == (gone.name,)
    there.close()


def test_a_full_tmpfs_is_an_error_that_says_what_to_raise_and_no_signal(tmp_path: Path) -> None:
    code = maker(f"""
folder = Path({str(tmp_path)!r})
regions = Regions(folder)
first = regions.create(600_000)
try:
    regions.create(600_000)
except SharedMemoryFullError as error:
    print(error)
print(len(list(folder.iterdir())))
first.close()
again = regions.create(600_000)
again.memory[:] = bytes(600_000)
print("whole")""")
    mounted = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", code]
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not make a mount namespace")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    words, files, whole = ended.stdout.splitlines()
    assert words == (
        f"no room for 0.6 MB in {tmp_path} (No space left on device), which has 1.0 MB in all;"
        " raise triton.sharedMemory of the AcceleratorProfile"
    )
    assert (files, whole) == ("1", "whole")
