"""Triton's config.pbtxt of a model, complete: Triton never merges it with anything.

The text is rendered by a template from values only; a user's string is never part of a template and always quoted.
Fields are those that Triton 23.07 knows, so that one rendering serves every release since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import jinja2

from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.models import ModelSpec, TensorSpec, WarmupSpec

_TENSORS: Final = """\
{% for kind, tensors in (("input", model.inputs), ("output", model.outputs)) %}
{{ kind }} [
{% for tensor in tensors %}
  {
    name: {{ tensor.name | quote }}
    data_type: TYPE_{{ tensor.data_type }}
{% if kind == "input" and tensor.format != "NONE" %}
    format: FORMAT_{{ tensor.format }}
{% endif %}
    dims: [ {{ tensor.dims | join(", ") }} ]
  }{{ "," if not loop.last }}
{% endfor %}
]
{% endfor %}
"""
_MODEL: Final = (
    """\
name: {{ model.name | quote }}
backend: {{ backend | quote }}
max_batch_size: {{ largest }}
default_model_filename: {{ model_file | quote }}
"""
    + _TENSORS
    + """\
instance_group [
  {
    count: {{ knobs.instances }}
    kind: {{ instance_kind }}
  }
]
{% if joined and model.max_batch_size > 0 %}
dynamic_batching {
{% if knobs.preferred_batch_sizes %}
  preferred_batch_size: [ {{ knobs.preferred_batch_sizes | join(", ") }} ]
{% endif %}
  max_queue_delay_microseconds: {{ knobs.max_queue_delay_microseconds }}
}
{% endif %}
{% for batch in warmup_batches %}
model_warmup [
  {
    name: "batch-{{ batch }}"
    batch_size: {{ batch }}
{% for tensor in model.inputs %}
    inputs {
      key: {{ tensor.name | quote }}
      value {
        data_type: TYPE_{{ tensor.data_type }}
        dims: [ {{ tensor | warmup_dims(model.warmup) | join(", ") }} ]
        {{ tensor | warmup_data(model.warmup) }}: true
      }
    }
{% endfor %}
  }
]
{% endfor %}
{% for key, value in parameters %}
parameters {
  key: {{ key | quote }}
  value { string_value: {{ value | quote }} }
}
{% endfor %}
"""
)

# Each step's inputs and outputs, as Triton's maps: the model's name of a tensor -> the ensemble's.
_ENSEMBLE: Final = (
    """\
name: {{ model.name | quote }}
platform: "ensemble"
max_batch_size: {{ model.max_batch_size }}
"""
    + _TENSORS
    + """\
ensemble_scheduling {
{% for step in steps %}
  step [
    {
      model_name: {{ step.model | quote }}
      model_version: -1
{% for kind, tensors in (("input_map", step.inputs), ("output_map", step.outputs)) %}
{% for key, value in tensors.items() %}
      {{ kind }} {
        key: {{ key | quote }}
        value: {{ value | quote }}
      }
{% endfor %}
{% endfor %}
    }
  ]
{% endfor %}
}
"""
)


@dataclass(frozen=True, slots=True)
class Knobs:
    """What tuning turns: instances a replica, batch sizes to wait for (ascending), and how long to wait at most."""

    instances: int = 1
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    max_batch_size: int | None = None
    """Largest batch that Triton joins; None: the model's own, which is never exceeded."""
    post_processing: int | None = None
    """Instances of the model's post-processing; None: as specified."""

    def largest(self, model: ModelSpec) -> int:
        """Return `max_batch_size` of config.pbtxt: 0 is for models without a batch dimension and for them alone."""
        if self.max_batch_size is None or model.max_batch_size <= 0:
            return model.max_batch_size
        return max(1, min(self.max_batch_size, model.max_batch_size))


@dataclass(frozen=True, slots=True)
class Step:
    """A model of an ensemble; its tensors by their name in it -> their name in the ensemble."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def render(
    model: ModelSpec, knobs: Knobs, *, backend: str, instance_kind: str, model_file: str, joined: bool = True
) -> str:
    """Return the text of config.pbtxt.

    Parameters
    ----------
    joined
        Whether Triton joins requests that wait into one batch.

    Raises
    ------
    InvalidSpecError
        If a preferred batch size is above the maximum: Triton would refuse the file.
    """
    limit = knobs.largest(model)
    if limit > 0 and any(size > limit for size in knobs.preferred_batch_sizes):
        raise InvalidSpecError(
            "spec.serving.preferredBatchSizes",
            f"holds a size above maxBatchSize {limit} of model {model.name}",
            "remove it or raise maxBatchSize",
        )
    return _template(_MODEL).render(
        model=model,
        largest=limit,
        knobs=knobs,
        joined=joined,
        backend=backend,
        instance_kind=instance_kind,
        model_file=model_file,
        warmup_batches=_warmup_batches(model, knobs),
        parameters=sorted(model.parameters.items()),
    )


def render_ensemble(model: ModelSpec, steps: Sequence[Step]) -> str:
    """Return the text of config.pbtxt of an ensemble, of which `model` gives name, tensors and largest batch."""
    return _template(_ENSEMBLE).render(model=model, steps=steps)


def quote(text: str) -> str:
    """Return `text` as a string literal of protobuf's text format: octal escapes for all but printable ASCII."""
    printable = range(0x20, 0x7F)
    escaped = (
        chr(byte) if byte in printable and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )
    return '"' + "".join(escaped) + '"'


def _warmup_batches(model: ModelSpec, knobs: Knobs) -> tuple[int, ...]:
    """Return the batch sizes of the warm-up: one frame alone, and the largest batch that is waited for."""
    if not model.warmup.enabled:
        return ()
    largest = max(knobs.preferred_batch_sizes, default=knobs.largest(model)) if model.max_batch_size > 0 else 1
    return (1, largest) if largest > 1 else (1,)


def _warmup_dims(tensor: TensorSpec, warmup: WarmupSpec) -> tuple[int, ...]:
    return tuple(warmup.variable_dimension if dim < 0 else dim for dim in tensor.dims)


def _warmup_data(tensor: TensorSpec, warmup: WarmupSpec) -> str:
    # Triton has no random strings.
    return "random_data" if warmup.data == "Random" and tensor.data_type != "STRING" else "zero_data"


@cache
def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - protobuf text, no HTML; `quote` escapes
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"quote": quote, "warmup_dims": _warmup_dims, "warmup_data": _warmup_data}
    return environment.from_string(text)
