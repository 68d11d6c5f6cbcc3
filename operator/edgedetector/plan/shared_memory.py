"""How much of /dev/shm a detector's requests need. Pure.

The same arithmetic as the pod's (`detector.batching.capacity`, `triton.tensors.layout`), which the operator cannot
import, since its image has neither numpy nor Triton's client; a test holds the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from edgedetector.api import names
from edgedetector.api.dataplane import ModelServing, ServingConfig
from edgedetector.api.models import ModelSpec, TensorSpec
from edgedetector.plan.post_processing import outputs

_ITEM_BYTES: Final = {
    **dict.fromkeys(("BOOL", "UINT8", "INT8"), 1),
    **dict.fromkeys(("UINT16", "INT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("UINT32", "INT32", "FP32"), 4),
    **dict.fromkeys(("UINT64", "INT64", "FP64"), 8),
}
_ALIGNMENT: Final = 64
_PAGE: Final = 4096
_PYTHON: Final = 1 << 20
"""Bytes that a python model takes at its start, and by which it takes more (24.10, counted in /dev/shm)."""
_REQUESTS_PER_INSTANCE: Final = 2
_MOST_REQUESTS: Final = 16


def need(models: Iterable[ModelSpec], serving: ServingConfig) -> int:
    """Return bytes for all requests that can be on their way at once, as the models are served now.

    Not in it: what Triton's backends take for themselves but for post-processing, and the regions of requests that were
    never answered.
    """
    served = {model.name: model for model in serving.models}
    return sum(
        model_need(model, served[model.name], served.get(names.post_processing(model.name)))
        for model in models
        if model.name in served
    )


def model_need(model: ModelSpec, serving: ModelServing, post: ModelServing | None = None) -> int:
    """Return bytes of one model's regions: a file a request, each with room for a whole batch.

    With post-processing, also what Triton's python backend takes for each of its instances: the batch that it works on,
    which goes to its process through /dev/shm and comes back, in whole mebibytes.
    """
    instances = post.instances if post else 0
    requests = max(1, min(_MOST_REQUESTS, _REQUESTS_PER_INSTANCE * serving.instances + instances))
    results = outputs(model.post_processing) if model.post_processing else model.outputs
    region = _size((*model.inputs, *results), _rows(model, serving))
    inner = _PYTHON + _size((*model.outputs, *results), _rows(model, serving))
    return requests * _aligned(region, _PAGE) + instances * _aligned(inner, _PYTHON)


def row(model: ModelSpec) -> int:
    """Return bytes of one frame in a request, inputs and results."""
    results = outputs(model.post_processing) if model.post_processing else model.outputs
    return _size((*model.inputs, *results), 1)


def inner_row(model: ModelSpec) -> int:
    """Return bytes of one frame in an instance of the post-processing: raw outputs and results; 0 without any."""
    post = model.post_processing
    return _size((*model.outputs, *outputs(post)), 1) if post else 0


def _size(tensors: Iterable[TensorSpec], rows: int) -> int:
    return sum(_aligned(rows * _item(tensor), _ALIGNMENT) for tensor in tensors)


def _rows(model: ModelSpec, serving: ModelServing) -> int:
    if model.max_batch_size <= 0 or not all(_fixed(tensor) for tensor in model.inputs):
        return 1
    batch = min(max(serving.preferred_batch_sizes, default=serving.max_batch_size), serving.max_batch_size)
    return max(1, min(batch, model.max_batch_size))


def _item(tensor: TensorSpec) -> int:
    """Return bytes of one row; a tensor of variable dims or of strings travels in the message."""
    return math.prod(tensor.dims) * _ITEM_BYTES[tensor.data_type] if _fixed(tensor) else 0


def _fixed(tensor: TensorSpec) -> bool:
    return tensor.data_type in _ITEM_BYTES and all(dim > 0 for dim in tensor.dims)


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to
