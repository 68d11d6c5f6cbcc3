"""The serving configuration that a specification asks for, and the ConfigMap that carries the one in force."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import FetchedFile, ModelServing, Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.models import ModelSpec
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import parse_quantity
from edgedetector.api.wire import to_json
from edgedetector.plan import post_processing, sources
from edgedetector.plan.common import COMPONENT_SERVING, COMPONENT_TUNING, config_map, detector_metadata
from edgedetector.plan.triton_config import Knobs, render

ID_LENGTH = 16
"""Hexadecimal digits of an id: 64 bits, far beyond the number of configurations that one detector ever has."""
_NONE: Final[Mapping[str, Knobs]] = MappingProxyType({})


def serving_config(
    detector: EdgeDetector,
    profile: AcceleratorProfile,
    hosts: tuple[str, ...] = (),
    *,
    knobs: Mapping[str, Knobs] = _NONE,
) -> ServingConfig:
    """Return the configuration of `spec.serving`, or of what tuning found; its id is a hash of the content.

    Parameters
    ----------
    hosts
        Hosts from which models may be fetched, besides Services of the detector's namespace.
    knobs
        By model, in place of those of `spec.serving`.

    Raises
    ------
    InvalidSpecError
        If a model cannot be served so, e.g. a preferred batch size above the model's maximum.
    """
    usual = specified(detector)

    def served(model: ModelSpec) -> tuple[ModelServing, ...]:
        fetched = sources.fetched(model, model_file(model, profile), detector.namespace, hosts)
        first = model_serving(model, knobs.get(model.name, usual), profile, fetched)
        steps = knobs.get(model.name, usual).post_processing
        return (first, *post_processing_serving(detector, model, profile, hosts, instances=steps))

    return identified(tuple(entry for model in detector.spec.models for entry in served(model)))


def specified(detector: EdgeDetector) -> Knobs:
    """Return the knobs of `spec.serving`, which are those of each model."""
    serving = detector.spec.serving
    return Knobs(
        instances=serving.instances,
        preferred_batch_sizes=tuple(sorted(set(serving.preferred_batch_sizes))),
        max_queue_delay_microseconds=serving.max_queue_delay // timedelta(microseconds=1),
    )


def post_processing_serving(
    detector: EdgeDetector,
    model: ModelSpec,
    profile: AcceleratorProfile,
    hosts: tuple[str, ...] = (),
    *,
    instances: int | None = None,
) -> tuple[ModelServing, ...]:
    """Return how a model's post-processing is served, and then the ensemble of the two; empty if it has none.

    Parameters
    ----------
    instances
        Of the post-processing; None: as many as the specification asks for.
    """
    post = post_processing.model_of(model, detector.spec)
    if post is None or model.post_processing is None:
        return ()
    count = model.post_processing.instances if instances is None else instances
    kind = post_processing.instance_kind(post, profile)
    builtin = model.post_processing.builtin
    return (
        ModelServing(
            name=post.name,
            instances=count,
            preferred_batch_sizes=(),
            max_batch_size=post.max_batch_size,
            max_queue_delay_microseconds=0,
            # Requests come in batches already. Joined, several would wait for one instance while others idle.
            config=render(
                post,
                Knobs(instances=count),
                backend=post.backend,
                instance_kind=kind,
                model_file=post.model_file,
                joined=False,
            ),
            files={} if builtin else _files(post, post.model_file),
            fetched=sources.fetched(post, post.model_file, detector.namespace, hosts),
            builtin=builtin,
        ),
        ModelServing(
            name=names.pipeline(model.name),
            instances=0,
            preferred_batch_sizes=(),
            max_batch_size=model.max_batch_size,
            max_queue_delay_microseconds=0,
            config=post_processing.ensemble(model, post),
            platform=names.ENSEMBLE,
        ),
    )


def identified(models: tuple[ModelServing, ...]) -> ServingConfig:
    """Return the configuration of these models with its id."""
    content = to_json(ServingConfig(id="", models=models))
    return ServingConfig(id=hashlib.sha256(content.encode()).hexdigest()[:ID_LENGTH], models=models)


def model_serving(
    model: ModelSpec, knobs: Knobs, profile: AcceleratorProfile, fetched: tuple[FetchedFile, ...] = ()
) -> ModelServing:
    """Return how one model is served with these knobs and the files that the pod fetches for it.

    Raises
    ------
    InvalidSpecError
        If the knobs do not fit the model, or its source lacks the main file.
    """
    triton = profile.spec.triton
    file = model_file(model, profile)
    return ModelServing(
        name=model.name,
        instances=knobs.instances,
        preferred_batch_sizes=knobs.preferred_batch_sizes if model.max_batch_size > 0 else (),
        max_batch_size=knobs.largest(model),
        max_queue_delay_microseconds=knobs.max_queue_delay_microseconds if model.max_batch_size > 0 else 0,
        config=render(
            model,
            knobs,
            backend=model.backend or triton.backend,
            instance_kind=triton.instance_kind,
            model_file=file,
        ),
        files=_files(model, file),
        fetched=fetched,
        size_limit=int(parse_quantity(triton.model_size_limit)),
    )


def model_file(model: ModelSpec, profile: AcceleratorProfile) -> str:
    """Return the name of a model's main file, in its source and in the repository."""
    # Not str.format: a profile's text is never used as a template.
    return model.model_file or profile.spec.triton.model_file.replace("{model}", model.name)


def serving_map(detector: EdgeDetector, accepted: ServingConfig, probe: Probe | None) -> dict[str, Any]:
    """Return ConfigMap NAME-serving; without a probe it lacks the probe's key."""
    data = {names.FILE_ACCEPTED: to_json(accepted)}
    if probe is not None:
        data[names.FILE_PROBE] = to_json(probe)
    return config_map(
        detector_metadata(detector, names.serving(detector.name), COMPONENT_SERVING),
        data,
        "spec.models",
        "give some of the models to another EdgeDetector, or shorten their parameters",
    )


def tuning_map(detector: EdgeDetector, record: str, state: str) -> dict[str, Any]:
    """Return ConfigMap NAME-tuning: what has come of tuning, and what the search remembers, both as JSON.

    It is no child that a specification asks for: whoever tunes writes it, and pruning passes over it.
    """
    return config_map(
        detector_metadata(detector, names.tuning(detector.name), COMPONENT_TUNING),
        {names.FILE_RECORD: record, names.FILE_STATE: state},
        "spec.models",
        "tune fewer models in one EdgeDetector",
    )


def _files(model: ModelSpec, main: str) -> dict[str, str]:
    if model.source.http is not None:
        return {}
    items = model.source.config_map.items if model.source.config_map else ()
    if items and main not in {item.path for item in items}:
        raise InvalidSpecError(
            f"{names.model_field(model.name)}.source.configMap.items",
            f"bring no file {main}, the model's main file",
            "add it, or name another one in modelFile",
        )
    paths = sorted({item.path for item in items}) or [main]
    return {f"1/{path}": path for path in paths}
