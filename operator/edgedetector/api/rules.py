"""The rules of the CRD that are repeated here, because an older CRD may be installed.

Repeated is what the operator would plan wrongly without, and what keeps passwords out of objects and pods off their
node's own addresses. The rest (bounds, patterns, keys of maps) is the API server's: what gets past an older schema is
refused where it is used, by Triton or by the API server when a child is applied, and becomes a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from edgedetector.api import urls
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.quantities import parse_quantity

if TYPE_CHECKING:
    from edgedetector.api.edgedetector import CameraSpec, DetectorSpec
    from edgedetector.api.models import ModelSource, ModelSpec, PostProcessingSpec


BUILTIN_HEADS: Final = ("yolov8", "yolov11", "yolov5")
BUILTIN_TYPES: Final = ("FP16", "FP32")
"""What the post-processing that is shipped reads."""
BUILTIN_OUTPUTS: Final = frozenset({"boxes", "scores", "classes", "count"})
"""What it gives: names of `plan.post_processing.BUILTIN_OUTPUTS`."""

LONGEST_WAIT: Final = 10
"""Seconds in Triton's queue that a target may be: the longest queue delay that tuning may choose, too."""
LEAST_TARGET: Final = Decimal("0.001")
"""Of an autoscaler: it calculates in thousandths, and takes less for one."""
SMALLEST_ZONE: Final = 1e-6
"""Share of the picture that a zone must have: below any camera's pixel. The data plane has the same bound."""

_SHARE_REFUSED: Final = (
    "averageValue must be a share of at least 1m and at most 1, e.g. 800m for four fifths of what one replica serves"
)
_WAIT_REFUSED: Final = (
    f"averageValue of QueueTime must be seconds of at least 1m and at most {LONGEST_WAIT}, e.g. 10m for 10 ms"
)


def check(spec: DetectorSpec) -> None:
    """Check what a spec says against itself.

    Raises
    ------
    InvalidSpecError
        For the first rule that is broken; the message never repeats an address.
    """
    for field, problem, remedy in _broken(spec):
        raise InvalidSpecError(field, problem, remedy)


def _broken(spec: DetectorSpec) -> Iterator[tuple[str, str, str]]:
    """Yield field, problem and remedy of each rule that is broken."""
    if not spec.models:
        yield "spec.models", "is empty", "add a model"
    for model in spec.models:
        yield from _broken_by_model(model, f"spec.models[{model.name}]")
    yield from _broken_by_variants(spec)
    names = {model.name for model in spec.models}
    for camera in spec.cameras:
        where = f"spec.cameras[{camera.name}]"
        yield from _broken_by_camera(camera, where)
        if not names.issuperset(camera.models):
            yield f"{where}.models", "names a model that spec.models lacks", "correct the name"
        used = [model for model in spec.models if not camera.models or model.name in camera.models]
        known = {label for model in used for label in model.decoder.labels}
        if all(model.decoder.labels for model in used) and not known.issuperset(camera.classes):
            yield f"{where}.classes", "names a class that is no label of the camera's models", "correct the name"
    if spec.scaling.max_replicas < spec.scaling.min_replicas:
        yield "spec.scaling.maxReplicas", "is below minReplicas", "raise it"
    yield from _broken_by_metrics(spec)
    yield from _broken_by_outputs(spec)
    containers = {"triton": spec.resources.triton, "detector": spec.resources.detector, "media": spec.resources.media}
    for container, resources in containers.items():
        for name in resources.contradictions:
            yield f"spec.resources.{container}.requests.{name}", "is above the limit", "lower it or raise the limit"


def _broken_by_metrics(spec: DetectorSpec) -> Iterator[tuple[str, str, str]]:
    """Yield what keeps the autoscaler's figures from being followed, and targets that ask for a replica a frame."""
    scaling, where = spec.scaling, "spec.scaling.metrics"
    if scaling.metrics and scaling.max_replicas == scaling.min_replicas:
        yield (
            where,
            "are read by an autoscaler, and there is none",
            "raise maxReplicas above minReplicas or remove them",
        )
    if scaling.metrics and not spec.monitoring.enabled:
        yield where, "are recorded by rules that monitoring leaves out", "set spec.monitoring.enabled to true"
    for metric in scaling.metrics:
        value, waits = metric.target.average_value, metric.name == "QueueTime"
        if value is not None and not LEAST_TARGET <= parse_quantity(value) <= (LONGEST_WAIT if waits else 1):
            yield f"{where}[{metric.name}].target", _WAIT_REFUSED if waits else _SHARE_REFUSED, "correct it"


def _broken_by_model(model: ModelSpec, where: str) -> Iterator[tuple[str, str, str]]:
    yield from _broken_by_source(model.source, f"{where}.source")
    if not model.inputs or not model.outputs:
        yield where, "needs at least one input and one output", "describe the model's tensors"
    elif model.post_processing:
        yield from _broken_by_post_processing(model, model.post_processing, f"{where}.postProcessing")


def _broken_by_source(source: ModelSource, where: str) -> Iterator[tuple[str, str, str]]:
    if sum(kind is not None for kind in (source.config_map, source.persistent_volume_claim, source.http)) != 1:
        yield where, "needs exactly one of configMap, persistentVolumeClaim and http", "keep one of them"
    if source.http:
        yield from _misfit(urls.MODEL, f"{where}.http", "url", source.http.url)


def _broken_by_post_processing(
    model: ModelSpec, post: PostProcessingSpec, where: str
) -> Iterator[tuple[str, str, str]]:
    if bool(post.builtin) == (post.source is not None):
        yield where, "needs exactly one of builtin and source", "keep one of the two"
    if post.instances < 1:
        yield f"{where}.instances", "is below 1", "raise it"
    if post.builtin:
        yield from _broken_by_builtin(model, post, where)
    elif post.source is not None:
        yield from _broken_by_source(post.source, f"{where}.source")
        if not post.outputs:
            yield f"{where}.outputs", "is empty", "write what the model of source gives"
        if _shared(model, (tensor.name for tensor in post.outputs)):
            yield f"{where}.outputs", "has the name of one of the model's inputs", "give it another one"


def _broken_by_builtin(model: ModelSpec, post: PostProcessingSpec, where: str) -> Iterator[tuple[str, str, str]]:
    if model.decoder.type not in BUILTIN_HEADS:
        remedy = "correct decoder.type, or remove postProcessing where the model gives finished boxes"
        yield f"{where}.builtin", "reads the heads yolov8, yolov11 and yolov5", remedy
    if model.outputs[0].data_type not in BUILTIN_TYPES:
        remedy = "correct its dataType or name a source"
        yield f"{where}.builtin", "reads the first output as FP16 or FP32", remedy
    if _shared(model, BUILTIN_OUTPUTS):
        remedy = "give that input another name in the model, or name a source"
        yield f"{where}.builtin", "has an output with the name of one of the model's inputs", remedy
    if post.outputs or post.backend or post.model_file or post.parameters:
        yield where, "has fields of a source beside builtin, which has its own", "remove them"


def _shared(model: ModelSpec, outputs: Iterable[str]) -> bool:
    """Return whether an output has the name of an input: in Triton's ensemble the two would be one tensor."""
    return not {tensor.name for tensor in model.inputs}.isdisjoint(outputs)


def _broken_by_variants(spec: DetectorSpec) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with smaller variants. One that has none itself can be part of no circle."""
    models = {model.name: model for model in spec.models}
    for model in spec.models:
        where, variant = f"spec.models[{model.name}].smallerVariant", models.get(model.smaller_variant)
        if model.smaller_variant and variant is None:
            yield where, "names a model that spec.models lacks", "correct the name or add the model"
        elif variant is not None and variant.smaller_variant:
            yield where, "names a model that has a smallerVariant itself", "name one that has none"
        elif variant is not None and variant.decoder.labels != model.decoder.labels:
            yield where, "names a model with other labels", "give both the same decoder.labels, in the same order"


def _broken_by_camera(camera: CameraSpec, where: str) -> Iterator[tuple[str, str, str]]:
    if bool(camera.url) == (camera.url_secret_ref is not None):
        yield where, "needs exactly one of url and urlSecretRef", "keep one of the two"
    if camera.substream_url and camera.substream_url_secret_ref:
        yield where, "has substreamUrl and substreamUrlSecretRef", "keep one of the two"
    for zone in camera.zones:
        if any(len(corner) != 2 or not all(0 <= share <= 1 for share in corner) for corner in zone.polygon):  # noqa: PLR2004
            remedy = "write corners as [x, y], shares of the picture between 0 and 1"
            yield f"{where}.zones[{zone.name}].polygon", "has a corner outside of the picture", remedy
        elif zone.area < SMALLEST_ZONE:
            yield f"{where}.zones[{zone.name}].polygon", "has no area", "give it three corners that lie on no line"
    yield from _misfit(urls.CAMERA, where, "url", camera.url)
    yield from _misfit(urls.CAMERA, where, "substreamUrl", camera.substream_url)


def _broken_by_outputs(spec: DetectorSpec) -> Iterator[tuple[str, str, str]]:
    if spec.outputs.mqtt:
        yield from _misfit(urls.MQTT, "spec.outputs.mqtt", "url", spec.outputs.mqtt.url)
    if spec.outputs.webhook:
        yield from _misfit(urls.WEBHOOK, "spec.outputs.webhook", "url", spec.outputs.webhook.url)


def _misfit(kind: urls.Kind, where: str, field: str, url: str) -> Iterator[tuple[str, str, str]]:
    found = kind.misfit(field, url) if url else None
    if found:
        yield f"{where}.{field}", *found
