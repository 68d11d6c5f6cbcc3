"""The experiment's model, for Triton's python backend: Y = 2 X after 10 ms, so that clients can check every answer."""

import time

import triton_python_backend_utils as pb_utils

_SECONDS = 0.01


class TritonPythonModel:
    """What Triton's python backend calls."""

    def execute(self, requests):
        """Answer a batch in the time of one request, as a device would."""
        time.sleep(_SECONDS)
        answers = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", array * 2)]))
        return answers
