"""Triton over HTTP, as a script uses it: the image in the body, the boxes in the answer. For one thread."""

from __future__ import annotations

from typing import Any

import tritonclient.http


class Triton:
    """A client for one model."""

    def __init__(self, address: str, model: str) -> None:
        self._client = tritonclient.http.InferenceServerClient(address)
        self._model = model

    def infer(self, image: Any) -> Any:
        """Return the boxes of one uint8 image [height, width, 3]."""
        tensor = tritonclient.http.InferInput("image", [1, *image.shape], "UINT8")
        tensor.set_data_from_numpy(image[None])
        return self._client.infer(self._model, [tensor]).as_numpy("boxes")
