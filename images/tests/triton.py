"""Build test of a Triton image: a real tritonserver loads a python model, and the values of its answers are right.

Usage: triton.py SERVER_VERSION. READY would not be enough: with numpy 2 the python backend silently answers with
outputs of 0 bytes.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_SECONDS = 60.0

MODEL = """
import cv2
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
            scale = pb_utils.get_input_tensor_by_name(request, "SCALE").as_numpy()
            grey = np.stack([cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in image])
            mean = (grey.reshape(len(grey), -1).mean(axis=1, keepdims=True) * scale).astype(np.float32)
            responses.append(pb_utils.InferenceResponse(
                [pb_utils.Tensor("GREY", grey), pb_utils.Tensor("MEAN", mean)]))
        return responses
"""

CONFIG = """
name: "probe"
backend: "python"
max_batch_size: 4
input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
input [ { name: "SCALE" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "GREY" data_type: TYPE_UINT8 dims: [ -1, -1 ] }, { name: "MEAN" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def free_port() -> int:
    """Return a free port; builds may share the machine's network, hence no fixed ports."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(url: str, body: dict[str, Any] | None = None) -> bytes:
    """Return the answer's body; POST when there is a body to send. HTTPError carries what the server said."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
            return answer.read()  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error


def wait_until_ready(server: "subprocess.Popen[bytes]", url: str) -> None:
    """Poll until the server is ready; its end or a minute is an error."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"tritonserver ended with {server.returncode}")
        try:
            with urllib.request.urlopen(url + "/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"tritonserver was not ready within {START_SECONDS:.0f} s")


def check_values(url: str) -> None:
    """Two 2x2 images, grey 0, 10, 20, 30 and all 200; scales 1 and 0.5."""
    pixels = [[[[v, v, v] for v in row] for row in image] for image in ([[0, 10], [20, 30]], [[200, 200], [200, 200]])]
    request = {
        "inputs": [
            {"name": "IMAGE", "shape": [2, 2, 2, 3], "datatype": "UINT8", "data": pixels},
            {"name": "SCALE", "shape": [2, 1], "datatype": "FP32", "data": [[1.0], [0.5]]},
        ]
    }
    outputs = {one["name"]: one for one in json.loads(call(url + "/models/probe/infer", request))["outputs"]}
    expected = {"GREY": ([2, 2, 2], [0, 10, 20, 30, 200, 200, 200, 200]), "MEAN": ([2, 1], [15.0, 100.0])}
    seen = {name: (one["shape"], one["data"]) for name, one in outputs.items()}
    if seen != expected:
        raise SystemExit(f"wrong values: {seen}, expected {expected}")
    print(f"values are right: {seen}")


def main(version: str) -> None:
    """Run the test against the tritonserver on the PATH."""
    http, grpc, metrics = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{http}/v2"
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "probe"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(MODEL)
        (model / "config.pbtxt").write_text(CONFIG)
        command = ["tritonserver", f"--model-repository={folder}", "--model-control-mode=explicit"]
        command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
        server = subprocess.Popen(command)
        try:
            wait_until_ready(server, url)
            seen = json.loads(call(url))["version"]
            if seen != version:
                raise SystemExit(f"this is Triton {seen}, expected {version}")
            call(url + "/repository/models/probe/load", {})
            check_values(url)
        finally:
            server.terminate()
            server.wait(timeout=60)


if __name__ == "__main__":
    main(sys.argv[1])
