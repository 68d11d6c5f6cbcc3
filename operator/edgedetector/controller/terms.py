"""From an EdgeDetector and its profile to what the tuner is told, and from what it found to what is planned. Pure.

What stands on record is somebody's text by the time that it is read: another release may have written it, for another
specification. So it counts only for what it was made from, and within the bounds of now.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.dataplane import Probe, ServingConfig
from edgedetector.api.quantities import parse_quantity
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.cluster.ownership import owned_by
from edgedetector.observe import words
from edgedetector.plan import post_processing, shared_memory
from edgedetector.plan.triton_config import Knobs as PlannedKnobs
from edgedetector.tuning.decision import ProbeReport
from edgedetector.tuning.ledger import Attempt, Ledger, sound
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Goal, Limits, Mode, Situation
from edgedetector.tuning.window import Configuration, Knobs

if TYPE_CHECKING:
    from edgedetector.api.edgedetector import BoundsSpec, EdgeDetector
    from edgedetector.api.models import ModelSpec
    from edgedetector.api.observation import Observation
    from edgedetector.api.profile import AcceleratorProfile
    from edgedetector.cluster.client import Object

SLACK: Final = 10.0
"""Seconds after the end of a probe's ttl at which it is over for sure: the kubelet brings a renewal within one."""
CHANGING: Final = timedelta(seconds=30)
"""In which pods take what was accepted or withdrawn: a reload takes 2 s, on a busy box ten times that."""
NO_DEVICE: Final = math.inf
"""Bytes. Where models run on the host's processors there is no memory of a device to be filled."""

MOST_SIZES: Final = 16
"""Preferred batch sizes; as many as the definition allows."""
OFF: Final = "Off"
_DIGITS: Final = 16
_CPU: Final = "KIND_CPU"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be served now, as far as it depends on tuning."""

    accepted: ServingConfig
    probe: Probe | None = None
    ledger: Ledger | None = None
    """Of this start; None: tuning has not begun from it."""
    known: Mapping[str, Configuration] = field(default_factory=dict)
    """Id of a serving configuration that a pod may have -> knobs by model."""
    passing: frozenset[str] = frozenset()
    """Ids of those that a pod may have on its way between two, without anything being the matter."""
    until: float = 0.0
    """Seconds since the epoch, until when there are such, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Published:
    """What pods are told to serve, as it stands in the cluster."""

    id: str
    """Of the accepted configuration."""
    at: float
    """When that was last written, seconds since the epoch; 0: not known."""


def mode(detector: EdgeDetector) -> Mode | None:
    """Return what the tuner may do; None: nobody asks it."""
    wanted = detector.spec.tuning.mode
    if wanted == OFF or detector.suspend:
        return None
    return Mode.FROZEN if detector.frozen else Mode(wanted)


def start_of(detector: EdgeDetector, profile: AcceleratorProfile, *, former: bool = False) -> str:
    """Return a digest of all that would make what tuning found meaningless: other engines, another place to begin.

    Parameters
    ----------
    former
        As it was before the instances of post-processing were tuned.
    """
    models = [
        [
            model.name,
            _plain(model.source),
            model.backend or profile.spec.triton.backend,
            model.model_file,
            model.max_batch_size,
            [[tensor.name, tensor.dims, tensor.data_type] for tensor in (*model.inputs, *model.outputs)],
            model.post_processing is not None if former or not (count := _steps(model)) else count,
        ]
        for model in detector.spec.models
    ]
    content = [profile.name, profile.spec.triton.instance_kind, _plain(detector.spec.serving), models]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:_DIGITS]


def _steps(model: ModelSpec) -> int:
    """Return with how many instances of its post-processing tuning starts; 0: they are not tuned.

    On the accelerator they are not: there they take of the same time and memory as the model.
    """
    post = model.post_processing
    return post.instances if post is not None and post_processing.on_processors(post) else 0


def specified(detector: EdgeDetector) -> dict[str, Knobs]:
    """Return what the specification says of each model."""
    usual = plan.specified(detector)
    return {
        model.name: Knobs(
            instances=usual.instances,
            max_batch_size=model.max_batch_size,
            preferred_batch_sizes=usual.preferred_batch_sizes if model.max_batch_size > 0 else (),
            max_queue_delay_microseconds=usual.max_queue_delay_microseconds if model.max_batch_size > 0 else 0,
            post_processing=_steps(model),
        )
        for model in detector.spec.models
    }


def situation(
    detector: EdgeDetector, profile: AcceleratorProfile, asked: Mode, ledger: Ledger | None, pods: int = 1
) -> Situation:
    """Return everything that is not measured, for so many inference pods."""
    tuning = detector.spec.tuning
    usual = detector.spec.serving.preferred_batch_sizes
    steps = tuning.bounds.of_post_processing if any(map(_steps, detector.spec.models)) else None
    return Situation(
        start=specified(detector),
        engines={
            model.name: Engine(
                largest_batch=model.max_batch_size,
                preferred=tuple(sorted({size for size in usual if size <= model.max_batch_size})),
                region=float(shared_memory.row(model)),
                tensors=float(shared_memory.row(model)),
                fixed_batch=model.post_processing is not None,
                post_region=float(shared_memory.inner_row(model)) if _steps(model) else 0.0,
            )
            for model in detector.spec.models
        },
        goal=Goal(tuning.objective.goal),
        limits=Limits(
            latency=tuning.objective.latency.max.total_seconds(),
            percentile=tuning.objective.latency.percentile,
            accelerator=1.0 - tuning.headroom.accelerator,
            host=1.0 - tuning.headroom.cpu,
            memory=memory(detector, profile),
            min_instances=tuning.bounds.instances.min,
            max_instances=tuning.bounds.instances.max,
            max_queue_delay_microseconds=tuning.bounds.max_queue_delay // timedelta(microseconds=1),
            min_post_processing=steps.min if steps else 0,
            max_post_processing=steps.max if steps else 0,
        ),
        cameras=math.ceil(len(detector.spec.cameras) / max(1, pods)),
        cameras_by_model=_cameras(detector, pods),
        in_place=profile.spec.can("instanceChangeInPlace"),
        coexisting=profile.spec.can("coexistingReload"),
        mode=asked,
        accepted=_accepted(ledger, detector) if ledger is not None else None,
    )


def _cameras(detector: EdgeDetector, pods: int) -> dict[str, int]:
    """Return how many cameras of a pod each model serves about, those for which it may stand in under overload too."""
    spec = detector.spec
    wanted = [set(camera.models or spec.usual_models) for camera in spec.cameras]
    stands = {model.name: {model.name} | {o.name for o in spec.models if o.smaller_variant == model.name}
              for model in spec.models}  # fmt: skip
    return {
        name: math.ceil(sum(not names.isdisjoint(each) for each in wanted) / max(1, pods))
        for name, names in stands.items()
    }


def memory(detector: EdgeDetector, profile: AcceleratorProfile) -> float | None:
    """Return the bytes of the accelerator that are stated; None: nowhere."""
    for stated in (detector.spec.tuning.bounds.accelerator_memory, profile.spec.memory):
        if size := parse_quantity(stated):
            return float(size)
    on_host = not profile.spec.resource.name and profile.spec.triton.instance_kind == _CPU
    return NO_DEVICE if on_host else None


def find(children: Iterable[Object], detector: str) -> Object | None:
    """Return the live ConfigMap of the record, whosoever it is."""
    name = names.tuning(detector)
    return next((obj for obj in children if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == name), None)


def published(children: Iterable[Object], detector: str, manager: str) -> Published | None:
    """Return what pods are told to serve, from the live ConfigMap; None if there is none that can be read."""
    name = names.serving(detector)
    live = next((obj for obj in children if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == name), None)
    try:
        config = from_json(ServingConfig, ((live or {}).get("data") or {}).get(names.FILE_ACCEPTED, ""))
    except InvalidDocumentError:
        return None
    entries = (live or {})["metadata"].get("managedFields") or ()
    times = [entry["time"] for entry in entries if entry.get("manager") == manager and "time" in entry]
    return Published(config.id, max((datetime.fromisoformat(time).timestamp() for time in times), default=0.0))


def read(obj: Object | None, detector: EdgeDetector, profile: AcceleratorProfile) -> Ledger | None:
    """Return what is on record of this very start; None: nothing that counts."""
    if obj is None or not owned_by(obj, detector.uid):
        return None
    try:
        ledger = from_json(Ledger, (obj.get("data") or {}).get(names.FILE_RECORD, ""))
    except InvalidDocumentError:
        return None
    models = {model.name for model in detector.spec.models}
    start, former = start_of(detector, profile), start_of(detector, profile, former=True)
    if ledger.accepted.keys() != models or ledger.start not in (start, former) or not sound(ledger):
        return None
    return ledger if ledger.start == start else _of_now(ledger, detector, start)


def _of_now(ledger: Ledger, detector: EdgeDetector, start: str) -> Ledger:
    """Return what was written before the instances of post-processing were tuned: they were as specified.

    A trial of then is over, and what pods may still be leaving is not known.
    """
    accepted = {
        name: dataclasses.replace(knobs, post_processing=specified(detector)[name].post_processing)
        for name, knobs in ledger.accepted.items()
    }
    return dataclasses.replace(ledger, start=start, accepted=accepted, attempt=None, former=(), recommended=None)


def remembered(obj: Object | None) -> State:
    """Return the search's own memory, the empty one if it cannot be read: then it begins with what is accepted."""
    try:
        return from_json(State, ((obj or {}).get("data") or {}).get(names.FILE_STATE, ""))
    except InvalidDocumentError:
        return State()


def document(
    detector: EdgeDetector, profile: AcceleratorProfile, hosts: tuple[str, ...], knobs: Configuration
) -> ServingConfig:
    """Return what pods are told in order to serve with these knobs."""
    return plan.serving_config(detector, profile, hosts, knobs=_planned(knobs, detector))


def served(
    detector: EdgeDetector,
    profile: AcceleratorProfile,
    hosts: tuple[str, ...],
    record: Object | None,
    now: float,
    *,
    published: Published | None = None,
) -> Terms:
    """Return what is to be served.

    Parameters
    ----------
    published
        What pods are told so far; None: nothing.

    Raises
    ------
    InvalidSpecError
        If a model cannot be served as the specification says; never because of what is on record.
    """

    def config(knobs: Configuration) -> ServingConfig:
        return document(detector, profile, hosts, knobs)

    usual, ledger = specified(detector), read(record, detector, profile)
    untuned = plan.serving_config(detector, profile, hosts)
    if ledger is None:
        return Terms(untuned, known={untuned.id: usual})
    wanted = usual if detector.spec.tuning.mode == OFF else _accepted(ledger, detector)
    attempt, probe = _attempt(ledger, detector, now), None
    accepted = config(wanted)
    known: dict[str, Configuration] = {untuned.id: usual}
    known |= {config(one).id: one for one in (*ledger.former, ledger.accepted) if _fits(one, detector)}
    tried = ledger.attempt
    if tried is not None and _fits(tried.configuration, detector):
        serving = config(tried.configuration)
        known[serving.id] = tried.configuration
        probe = Probe(tried.id, tried.pod, tried.ttl, tried.renewal, serving) if attempt is not None else None
    known[accepted.id] = wanted
    until = _until(ledger, accepted, published, now)
    return Terms(accepted, probe, ledger, known, frozenset(known) if now < until else frozenset(), until)


def probe_report(ledger: Ledger | None, answers: Mapping[str, Observation | None], now: float) -> ProbeReport | None:
    """Return what the pod on trial says of its probe; None: it is gone or does not answer.

    One whose time is over is so wherever its pod is, which ended it by itself.
    """
    attempt = ledger.attempt if ledger is not None else None
    if attempt is None:
        return None
    answer = answers.get(attempt.pod)
    if answer is not None and answer.probe_id == attempt.id:
        return ProbeReport(attempt.id, words.line(answer.probe_outcome), words.line(answer.probe_message))
    if attempt.outlived(now, SLACK):
        return ProbeReport(attempt.id, "Expired", "its time is over")
    return ProbeReport(attempt.id, "") if answer is not None else None


def is_tuned(detector: EdgeDetector, ledger: Ledger | None) -> bool:
    """Tell whether something other than the specification's own knobs is accepted."""
    off = detector.spec.tuning.mode == OFF
    return ledger is not None and not off and _accepted(ledger, detector) != specified(detector)


def _until(ledger: Ledger, accepted: ServingConfig, published: Published | None, now: float) -> float:
    """Return until when pods may be on their way: after a change, and from a trial until its end is noted.

    A change is what tuning decides, and what a user does by switching it off or on, or by other bounds: of that the
    ConfigMap tells, which is about to say something else or has lately begun to. Times that lie far ahead are wrong and
    count for nothing; the API server's clock may be a little ahead.
    """
    tried, patience = ledger.attempt, CHANGING.total_seconds()
    ends = [
        since + patience for since in (ledger.changed, published.at if published else 0.0) if since <= now + patience
    ]
    if tried is not None:
        ends.append(tried.renewed + tried.ttl + SLACK + patience)
    if published is not None and published.id != accepted.id:
        ends.append(now + patience)
    return max(ends, default=0.0)


def _attempt(ledger: Ledger, detector: EdgeDetector, now: float) -> Attempt | None:
    """Return the trial that is to go on."""
    attempt = ledger.attempt
    if attempt is None or mode(detector) != Mode.AUTO or attempt.outlived(now, SLACK):
        return None
    return attempt if _fits(attempt.configuration, detector) else None


def _accepted(ledger: Ledger, detector: EdgeDetector) -> dict[str, Knobs]:
    """Return what is accepted; the specification's own knobs where that is out of the bounds of now."""
    return dict(ledger.accepted) if _fits(ledger.accepted, detector) else specified(detector)


def _fits(wanted: Configuration, detector: EdgeDetector) -> bool:
    """Tell whether a configuration may be served: that of the specification itself, or one within the bounds."""
    usual, bounds = specified(detector), detector.spec.tuning.bounds
    if wanted.keys() != usual.keys():
        return False
    models = {model.name: model for model in detector.spec.models}
    return all(knobs == usual[name] or _bounded(knobs, models[name], bounds) for name, knobs in wanted.items())


def _bounded(knobs: Knobs, model: ModelSpec, bounds: BoundsSpec) -> bool:
    largest, sizes = knobs.max_batch_size, knobs.preferred_batch_sizes
    batches = 0 <= largest <= model.max_batch_size
    if model.post_processing is not None:
        batches = largest == model.max_batch_size
    steps, count = bounds.of_post_processing, knobs.post_processing
    return (
        batches
        and (max(1, steps.min) <= count <= steps.max if _steps(model) else count == 0)
        and max(1, bounds.instances.min) <= knobs.instances <= bounds.instances.max
        and list(sizes) == sorted({size for size in sizes if 0 < size <= max(1, largest)})
        and len(sizes) <= MOST_SIZES
        and 0 <= knobs.max_queue_delay_microseconds <= bounds.max_queue_delay // timedelta(microseconds=1)
    )


def _planned(wanted: Configuration, detector: EdgeDetector) -> dict[str, PlannedKnobs]:
    return {
        model.name: PlannedKnobs(
            instances=knobs.instances,
            preferred_batch_sizes=knobs.preferred_batch_sizes,
            max_queue_delay_microseconds=knobs.max_queue_delay_microseconds,
            max_batch_size=None if model.post_processing is not None else knobs.max_batch_size,
            post_processing=knobs.post_processing or None,
        )
        for model in detector.spec.models
        if (knobs := wanted.get(model.name)) is not None
    }


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if value is not None else None
