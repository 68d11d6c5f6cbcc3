"""Build test of the emulated accelerator: a model of the backend `dlnne` loads, and answers the checksum it should.

Usage: emulated_triton.py DEVICE_DIRECTORY, where the package `emulator` and what it needs lie.
"""

import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from tritonserver import await_answer, call, free_port, tritonserver, write_model

CONFIG = """
name: "probe"
backend: "dlnne"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "checksum" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
"""
ROWS = ((1.0, 2.0, 3.0, 4.0), (0.5, 0.0, 0.0, -1.0))


def expected(row: tuple[float, ...]) -> int:
    """Return the documented checksum of one image, worked out without the backend's code."""
    return zlib.crc32(struct.pack("<4f", *row), zlib.crc32(b"IN (4,) float32"))


def main(device_directory: str) -> None:
    """Run the test with a device process of its own."""
    metrics, execute = free_port(), free_port()
    command = [sys.executable, "-m", "emulator.device", "-a", f":{metrics}", "--execute-port", str(execute)]
    device = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": device_directory})
    try:
        await_answer(f"http://127.0.0.1:{metrics}/metrics", device)
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), "probe", CONFIG, {"probe.engine": "{}"})
            with tritonserver(Path(folder), EMULATED_ACCELERATOR_ADDRESS=f"127.0.0.1:{execute}") as url:
                call(url + "/repository/models/probe/load", {})
                tensor = {"name": "IN", "shape": [len(ROWS), 4], "datatype": "FP32", "data": ROWS}
                seen = call(url + "/models/probe/infer", {"inputs": [tensor]})["outputs"][0]["data"]
        if seen != [expected(row) for row in ROWS]:
            raise SystemExit(f"checksums {seen}, expected {[expected(row) for row in ROWS]}")
        print(f"checksums are right: {seen}")
    finally:
        device.terminate()
        device.wait(timeout=30)


if __name__ == "__main__":
    main(sys.argv[1])
