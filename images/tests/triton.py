"""Build test of a Triton image: a real tritonserver loads a python model, and the values of its answers are right.

Usage: triton.py SERVER_VERSION. READY would not be enough: with numpy 2 the python backend silently answers with
outputs of 0 bytes.
"""

import sys
import tempfile
from pathlib import Path

from tritonserver import call, tritonserver, write_model

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


def check_values(url: str) -> None:
    """Two 2x2 images, grey 0, 10, 20, 30 and all 200; scales 1 and 0.5."""
    pixels = [[[[v, v, v] for v in row] for row in image] for image in ([[0, 10], [20, 30]], [[200, 200], [200, 200]])]
    request = {
        "inputs": [
            {"name": "IMAGE", "shape": [2, 2, 2, 3], "datatype": "UINT8", "data": pixels},
            {"name": "SCALE", "shape": [2, 1], "datatype": "FP32", "data": [[1.0], [0.5]]},
        ]
    }
    answer = call(url + "/models/probe/infer", request)
    seen = {one["name"]: (one["shape"], one["data"]) for one in answer["outputs"]}
    expected = {"GREY": ([2, 2, 2], [0, 10, 20, 30, 200, 200, 200, 200]), "MEAN": ([2, 1], [15.0, 100.0])}
    if seen != expected:
        raise SystemExit(f"wrong values: {seen}, expected {expected}")
    print(f"values are right: {seen}")


def main(version: str) -> None:
    """Run the test against the tritonserver on the PATH."""
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), "probe", CONFIG, {"model.py": MODEL})
        with tritonserver(Path(folder)) as url:
            seen = call(url)["version"]
            if seen != version:
                raise SystemExit(f"this is Triton {seen}, expected {version}")
            call(url + "/repository/models/probe/load", {})
            check_values(url)


if __name__ == "__main__":
    main(sys.argv[1])
