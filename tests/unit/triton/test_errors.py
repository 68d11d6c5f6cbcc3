"""Words of a real Triton (24.10) about models that it refuses, and what is left of them for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.triton.errors import field, readable

FAILED = "load failed for model 'people': version 1 is at UNAVAILABLE state: "


@pytest.mark.parametrize(
    ("message", "cause", "about"),
    [
        (
            FAILED + "Invalid argument: unable to find backend library for backend 'nosuch', try specifying runtime on"
            " the model configuration.;\n",
            "unable to find backend library for backend 'nosuch'",
            "backend",
        ),
        (
            FAILED + "Internal: ValueError: weights are broken\n\nAt:\n  /models/people/1/model.py(7): initialize\n;\n",
            "ValueError: weights are broken (1/model.py, line 7)",
            "",
        ),
        (
            FAILED + "Internal: ValueError: unable to load model 'people', configuration expects datatype TYPE_FP32 for"
            " input 'x', model provides TYPE_FP16\n\nAt:\n  /opt/backends/python/utils.py(9): add_input\n"
            "  /models/people/1/model.py(8): auto_complete_config\n;\n",
            (
                "ValueError: unable to load model 'people', configuration expects datatype TYPE_FP32 for input 'x',"
                " model provides TYPE_FP16 (1/model.py, line 8)"
            ),
            "inputs[x]",
        ),
        (
            FAILED + "Internal: SyntaxError: invalid syntax (model.py, line 1);\n",
            "SyntaxError: invalid syntax (model.py, line 1)",
            "",
        ),
        (
            FAILED
            + "Invalid argument: instance group gpu_0 of model gpu has kind KIND_GPU but no GPUs are available;\n",
            "instance group gpu_0 of model gpu has kind KIND_GPU but no GPUs are available",
            "",
        ),
        (
            FAILED + "Invalid argument: model input NHWC/NCHW require 3 dims for people;\n",
            "model input NHWC/NCHW require 3 dims for people",
            "inputs[].format",
        ),
        (
            FAILED + "Invalid argument: [request id: <id_unknown>] unexpected shape for input 'x' for model 'people'."
            " Expected [-1,4], got [1,5]. NOTE: Setting a non-zero max_batch_size in the model config;\n",
            "unexpected shape for input 'x' for model 'people'. Expected [-1,4], got [1,5]",
            "inputs[x]",
        ),
        (
            FAILED + "Invalid argument: failed to run warmup sample 'w': Failed to process the request(s) for model"
            " 'people_0_0', message: RuntimeError: no such thing\n\nAt:\n  /models/people/1/model.py(4): execute\n; ;",
            "at the warm-up: RuntimeError: no such thing (1/model.py, line 4)",
            "warmup",
        ),
        (
            FAILED + "Internal: Stub process 'people_0_0' is not healthy.;\n",
            "Stub process 'people_0_0' is not healthy",
            "",
        ),
        (
            "failed to load 'people', failed to poll from model repository",
            "Triton refuses its configuration; Triton's log has the reason in the line 'Poll failed'",
            "",
        ),
        (
            FAILED
            + "Internal: Unable to initialize shared memory key 'region' to requested size (1048576 bytes). If you"
            " are running Triton inside docker, use '--shm-size' flag to control the shared memory region size. Each"
            " Python backend model instance requires at least 1 MB of shared memory. Error: No space left;\n",
            "Unable to initialize shared memory key 'region' to requested size (1048576 bytes). Error: No space left",
            "",
        ),
        ("", "", ""),
    ],
)
def test_what_is_left_of_a_refusal(message: str, cause: str, about: str) -> None:
    assert readable(message) == cause
    assert field(cause) == about


@given(st.text(max_size=500))
def test_whatever_triton_says_is_one_line(message: str) -> None:
    assert "\n" not in readable(message)
