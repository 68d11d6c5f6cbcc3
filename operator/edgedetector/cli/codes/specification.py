"""ED00xx: what an EdgeDetector as it is written says wrong, of files before anything is applied."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from edgedetector import plan
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.quantities import format_bytes, parse_quantity
from edgedetector.cli import schema
from edgedetector.cli.codes.base import Case, Code, Fields, Scope, Severity
from edgedetector.plan import shared_memory

LINK: Final = 125e6
"""Bytes a second of the network link to a box: 1 Gbit/s, as edge boxes have."""
USABLE: Final = 0.8
"""Share of a link that streams may take on average: keyframes come in bursts, and headers take some."""
MAIN: Final = 1e6
"""Bytes a second of a main stream of which nothing is measured: 8 Mbit/s, 1080p as cameras are delivered."""
SUB: Final = 125e3
"""Of a sub-stream: 1 Mbit/s."""
MANY: Final = 8
"""Cameras from which it matters how each is decoded or batched."""

_SECRET_WORDS: Final = re.compile(r"(?i)^(pass(word|wd)?|pwd|token|secret|api_?key|auth|access_?key)$")
_PLAIN_BROKER: Final = "mqtt://"


def misfit(case: Case) -> Iterator[Fields]:
    """Yield fields that the API server would refuse."""
    hidden = {field for field, _ in _clear(case)}
    for one in schema.misfits(case.subject.obj, "EdgeDetector"):
        if not one.unknown and one.field not in hidden:
            yield {"field": one.field, "problem": one.problem}


def unknown(case: Case) -> Iterator[Fields]:
    """Yield fields that the definition does not know."""
    for one in schema.misfits(case.subject.obj, "EdgeDetector"):
        if one.unknown:
            help_ = f"write {one.meant}" if one.meant else "remove it"
            yield {"field": one.field, "help": help_}


def contradiction(case: Case) -> Iterator[Fields]:
    """Yield the first rule that the specification breaks; what the schema says is said there."""
    if any(not one.unknown for one in schema.misfits(case.subject.obj, "EdgeDetector")):
        return
    try:
        EdgeDetector.parse(case.subject.obj)
    except InvalidSpecError as error:
        if error.field not in {_rule_field(case, field) for field, _ in _clear(case)}:
            yield {"field": error.field, "problem": error.problem, "help": error.remedy or "correct it"}


def _rule_field(case: Case, field: str) -> str:
    """Return how the rules call a field: entries of lists by name."""

    def named(match: re.Match[str]) -> str:
        entries = case.subject.spec.get(match.group(1)) or ()
        return f"{match.group(1)}[{entries[int(match.group(2))].get('name', '')}]"

    return re.sub(r"(cameras|models)\[(\d+)\]", named, field)


def clear_credentials(case: Case) -> Iterator[Fields]:
    """Yield addresses with a password in them; the address itself is never repeated."""
    for field, what in _clear(case):
        yield {"field": field, "what": what}


def _clear(case: Case) -> Iterator[tuple[str, str]]:
    for field, url in _urls(case.subject.spec, "spec"):
        try:
            parts = urlsplit(url)
            keys = [key for key, value in parse_qsl(parts.query) if value and _SECRET_WORDS.match(key)]
        except ValueError:
            continue
        if parts.password or (parts.username and "@" in parts.netloc):
            yield field, "a user name or password before its host"
        elif keys:
            yield field, f"a value of {keys[0]} in its query"


def _urls(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(entry, str) and key.lower().endswith("url"):
                yield f"{where}.{key}", entry
            else:
                yield from _urls(entry, f"{where}.{key}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _urls(entry, f"{where}[{index}]")


def no_profile_in_files(case: Case) -> Iterator[Fields]:
    """Yield a profile that neither the files nor this release bring; of the cluster ED0201 tells."""
    if not case.snapshot.live and case.profile and case.subject.profile is None:
        known = ", ".join(sorted(case.snapshot.cluster.profiles or ()))
        yield {"known": known or "none"}


def unplannable(case: Case) -> Iterator[Fields]:
    """Yield why the operator could not serve the models as specified."""
    detector, profile = case.detector, case.accelerator
    if detector is None or profile is None:
        return
    hosts = tuple(filter(None, (urlsplit(url).hostname for _, url in _urls(case.subject.spec.get("models"), "spec"))))
    try:
        plan.serving_config(detector, profile, hosts)
    except InvalidSpecError as error:
        yield {"field": error.field, "problem": error.problem, "help": error.remedy or "correct it"}


def shared_memory_small(case: Case) -> Iterator[Fields]:
    """Yield that requests need more of /dev/shm than the profile gives."""
    detector, profile = case.detector, case.accelerator
    if detector is None or profile is None:
        return
    try:
        need = shared_memory.need(detector.spec.models, plan.serving_config(detector, profile))
    except InvalidSpecError:
        return
    size = parse_quantity(profile.spec.triton.shared_memory)
    if need > size:
        mebibytes = format_bytes(parse_quantity(f"{-(-need // (1 << 20))}Mi"))
        yield {"need": mebibytes, "size": profile.spec.triton.shared_memory}


def delay_over_objective(case: Case) -> Iterator[Fields]:
    """Yield a queue delay that takes half of the latency objective or more."""
    detector = case.detector
    if detector is None:
        return
    objective = detector.spec.tuning.objective.latency.max
    delay = detector.spec.serving.max_queue_delay
    if delay * 2 >= objective:
        yield {"delay": _ms(delay.total_seconds()), "objective": _ms(objective.total_seconds())}


def equal_priorities(case: Case) -> Iterator[Fields]:
    """Yield that nobody has said which camera gives way first."""
    detector = case.detector
    if detector is None or len(detector.spec.cameras) < 2 or not detector.spec.degradation.enabled:  # noqa: PLR2004
        return
    priorities = {camera.priority for camera in detector.spec.cameras}
    if len(priorities) == 1:
        yield {"count": len(detector.spec.cameras), "priority": priorities.pop()}


def link_too_narrow(case: Case) -> Iterator[Fields]:
    """Yield that the cameras' streams are estimated to need more than the link carries; measured is ED0505."""
    detector = case.detector
    if detector is None or case.subject.traffic is not None:
        return
    mains = sum(1 for camera in detector.spec.cameras if reads_main(camera))
    subs = len(detector.spec.cameras) - mains
    need = mains * MAIN + subs * SUB
    if need > USABLE * LINK:
        yield {"mains": mains, "subs": subs, "need": _mbit(need), "room": _mbit(USABLE * LINK), "link": _mbit(LINK)}


def reads_main(camera: Any) -> bool:
    """Return whether detection reads a camera's main stream."""
    has_sub = bool(camera.substream_url or camera.substream_url_secret_ref)
    return not has_sub or camera.detection_stream == "Main"


def plain_broker(case: Case) -> Iterator[Fields]:
    """Yield a broker to which credentials travel in clear."""
    detector = case.detector
    mqtt = detector.spec.outputs.mqtt if detector is not None else None
    if mqtt is not None and mqtt.credentials_secret_ref is not None and mqtt.url.startswith(_PLAIN_BROKER):
        yield {}


def same_stream(case: Case) -> Iterator[Fields]:
    """Yield cameras that are one and the same."""
    detector = case.detector
    cameras = detector.spec.cameras if detector is not None else ()
    counted = Counter(camera.url for camera in cameras if camera.url)
    for url, count in counted.items():
        if count > 1:
            yield {"cameras": ", ".join(camera.name for camera in cameras if camera.url == url)}


def no_batches(case: Case) -> Iterator[Fields]:
    """Yield models that many cameras use one frame at a time."""
    detector = case.detector
    if detector is None or len(detector.spec.cameras) < MANY:
        return
    for model in detector.spec.models:
        if model.max_batch_size <= 1:
            yield {"model": model.name, "count": len(detector.spec.cameras)}


def memory_not_stated(case: Case) -> Iterator[Fields]:
    """Yield that tuning will try nothing that needs memory, since nobody says how much there is; live is ED0703."""
    detector, profile = case.detector, case.accelerator
    if case.snapshot.live or detector is None or profile is None or detector.spec.tuning.mode == "Off":
        return
    stated = parse_quantity(detector.spec.tuning.bounds.accelerator_memory) or parse_quantity(profile.spec.memory)
    on_host = not profile.spec.resource.name and profile.spec.triton.instance_kind == "KIND_CPU"
    if not stated and not on_host and not profile.spec.can("memoryKnown"):
        yield {}


def nobody_protected(case: Case) -> Iterator[Fields]:
    """Yield that overload may pause every camera."""
    detector = case.detector
    if detector is None or not detector.spec.cameras:
        return
    ladder = detector.spec.degradation
    highest = max(camera.priority for camera in detector.spec.cameras)
    if ladder.enabled and "PauseCameras" in ladder.steps and highest < ladder.protected_priority:
        yield {"highest": highest, "protected": ladder.protected_priority}


def main_streams(case: Case) -> Iterator[Fields]:
    """Yield that many cameras are decoded in full for want of a sub-stream."""
    detector = case.detector
    cameras = detector.spec.cameras if detector is not None else ()
    without = [camera.name for camera in cameras if not camera.substream_url and not camera.substream_url_secret_ref]
    if len(without) >= MANY:
        yield {"count": len(without), "first": ", ".join(without[:3])}


def suspended(case: Case) -> Iterator[Fields]:
    """Yield that nothing is meant to run."""
    if case.subject.spec.get("suspend") is True:
        yield {}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"


def _mbit(bytes_a_second: float) -> str:
    return f"{bytes_a_second * 8 / 1e6:.0f} Mbit/s"


_SPEC: Final = Scope.SPECIFICATION

CODES: Final = (
    Code(
        "ED0001",
        "A field does not fit the definition",
        Severity.ERROR,
        "{field} {problem}",
        "correct {field}; `kubectl explain edgedetector.spec` describes every field",
        misfit,
        _SPEC,
    ),
    Code(
        "ED0002",
        "A field is not known",
        Severity.ERROR,
        "{field} is no field of an EdgeDetector, so it would be dropped or refused",
        "{help}",
        unknown,
        _SPEC,
    ),
    Code(
        "ED0003",
        "The specification contradicts itself",
        Severity.ERROR,
        "{field} {problem}",
        "{help}",
        contradiction,
        _SPEC,
    ),
    Code(
        "ED0004",
        "A password stands in clear in an address",
        Severity.ERROR,
        "{field} has {what}: everybody who may read the EdgeDetector reads it",
        "put it into a Secret and name that (credentialsSecretRef, urlSecretRef or tokenSecretRef); then change the"
        " password, which is known now",
        clear_credentials,
        _SPEC,
    ),
    Code(
        "ED0005",
        "The profile is in no file",
        Severity.WARNING,
        "spec.acceleratorProfile names {profile}, which neither the files nor this release bring (known: {known})",
        "correct spec.acceleratorProfile, or give the profile's file too; it may be in the cluster",
        no_profile_in_files,
        _SPEC,
    ),
    Code(
        "ED0006",
        "The models cannot be served as specified",
        Severity.ERROR,
        "{field} {problem}",
        "{help}",
        unplannable,
        _SPEC,
    ),
    Code(
        "ED0007",
        "Shared memory is smaller than the requests need",
        Severity.WARNING,
        "requests of the models need {need} of shared memory, profile {profile} gives {size}; frames will travel in"
        " messages",
        "raise spec.triton.sharedMemory of AcceleratorProfile {profile} to {need} or more, or lower"
        " serving.preferredBatchSizes or serving.instances",
        shared_memory_small,
        _SPEC,
    ),
    Code(
        "ED0008",
        "The queue delay takes the latency objective",
        Severity.WARNING,
        "serving.maxQueueDelay is {delay} of an objective of {objective}",
        "lower spec.serving.maxQueueDelay (1ms is usual; 100us often does), or raise spec.tuning.objective.latency.max",
        delay_over_objective,
        _SPEC,
    ),
    Code(
        "ED0009",
        "All cameras have the same priority",
        Severity.INFO,
        "{count} cameras have priority {priority}: under overload it is chance which of them gives way first",
        "set spec.cameras[].priority, highest for those that matter most; from degradation.protectedPriority on they"
        " are never paused",
        equal_priorities,
        _SPEC,
    ),
    Code(
        "ED0010",
        "The cameras may need more than the network link carries",
        Severity.WARNING,
        "estimated {need} ({mains} main streams of 8 and {subs} sub-streams of 1 Mbit/s) of the {room} that a link of"
        " {link} has for streams",
        "set substreamUrl for the cameras that are read in full, lower their bit rate, use a faster link, or share the"
        " cameras out over several boxes",
        link_too_narrow,
        _SPEC,
    ),
    Code(
        "ED0011",
        "Credentials go to the broker in clear",
        Severity.WARNING,
        "spec.outputs.mqtt.url is mqtt:// and credentialsSecretRef is set",
        "use mqtts:// (and caSecretRef for a certificate of your own)",
        plain_broker,
        _SPEC,
    ),
    Code(
        "ED0012",
        "Two cameras are the same",
        Severity.WARNING,
        "{cameras} have the same url: it is read, decoded and inferred once for each",
        "keep one of them, with the models, zones and classes of all",
        same_stream,
        _SPEC,
    ),
    Code(
        "ED0013",
        "Many cameras share a model that takes no batches",
        Severity.WARNING,
        "model {model} has no maxBatchSize above 1, and {count} cameras",
        "compile the model for batches and set spec.models[{model}].maxBatchSize (the engine's largest, e.g. 8)",
        no_batches,
        _SPEC,
    ),
    Code(
        "ED0014",
        "Nobody states the accelerator's memory",
        Severity.INFO,
        "neither spec.tuning.bounds.acceleratorMemory nor profile {profile} says how much memory the accelerator has,"
        " and no verified figure does: tuning will add no instances",
        "set spec.tuning.bounds.acceleratorMemory to the card's memory, e.g. 8Gi",
        memory_not_stated,
        _SPEC,
    ),
    Code(
        "ED0015",
        "Overload may pause every camera",
        Severity.INFO,
        "the highest camera priority is {highest}, degradation.protectedPriority is {protected}",
        "give the cameras that must never pause a priority of {protected} or more, or leave PauseCameras out of"
        " degradation.steps",
        nobody_protected,
        _SPEC,
    ),
    Code(
        "ED0016",
        "Many cameras have no sub-stream",
        Severity.INFO,
        "{count} cameras are decoded in full ({first}, ...): a sub-stream costs about a quarter",
        "set substreamUrl (or substreamUrlSecretRef) where the camera has a second, smaller stream",
        main_streams,
        _SPEC,
    ),
    Code(
        "ED0017",
        "The EdgeDetector is suspended",
        Severity.INFO,
        "spec.suspend is true: nothing runs, as is wanted",
        "set spec.suspend to false to have it run: kubectl -n {namespace} patch edgedetector {name} --type merge -p"
        ' \'{{"spec": {{"suspend": false}}}}\'',
        suspended,
        _SPEC,
    ),
)
