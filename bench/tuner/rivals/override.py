"""A model's configuration with other knobs, for a load that overrides its file. Pure."""

from __future__ import annotations

from typing import Any

from edgedetector.tuning.window import Knobs


def changed(config: dict[str, Any], knobs: Knobs) -> dict[str, Any]:
    """Return a model's whole configuration with these knobs: what is left out of an override would be gone.

    Without the warm-up, whose batch need not fit: Model Analyzer takes over what it finds, and changes the batch.
    """
    groups = [{**group, "count": knobs.instances} for group in config["instance_group"]]
    kept = {name: value for name, value in config.items() if name not in {"dynamic_batching", "model_warmup"}}
    batch = max(1, knobs.max_batch_size)
    batching: dict[str, Any] = {"max_queue_delay_microseconds": knobs.max_queue_delay_microseconds}
    if knobs.preferred_batch_sizes:
        batching["preferred_batch_size"] = list(knobs.preferred_batch_sizes)
    joined = {"dynamic_batching": batching} if batch > 1 else {}
    return {**kept, **joined, "max_batch_size": batch, "instance_group": groups[:1]}
