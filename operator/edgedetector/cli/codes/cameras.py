"""ED05xx: cameras and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli.codes.base import Case, Code, Fields, Severity
from edgedetector.cli.codes.reasons import on
from edgedetector.cli.codes.specification import LINK, USABLE
from edgedetector.cli.snapshot import Object, age
from edgedetector.status.cameras import BROKEN, CONNECTING, LIVE, UNAUTHORIZED

SHORTEST: Final = 1.0
"""Seconds below which a rate is that of a keyframe or of none."""
LASTING: Final = 60.0
"""Seconds that a camera may connect, or be live without a result: a restart takes less."""


def _cameras(case: Case) -> Iterator[Object]:
    yield from case.subject.status.get("cameras") or ()


def _found(case: Case, camera: Object) -> Fields:
    name = camera["name"]
    where = f"camera {name} of EdgeDetector {case.subject.namespace}/{case.subject.name}"
    return {"object": where, "camera": name, "said": camera.get("message") or camera.get("reason") or camera["state"]}


def _lasting(case: Case, camera: Object) -> bool:
    since = age(case.snapshot, camera.get("since", ""))
    return since is not None and since > LASTING


def unauthorized(case: Case) -> Iterator[Fields]:
    """Yield cameras that refuse the password."""
    for camera in _cameras(case):
        if camera.get("state") == UNAUTHORIZED:
            yield {**_found(case, camera), "secret": _secret(case, camera["name"])}


def _secret(case: Case, name: str) -> str:
    for camera in case.subject.spec.get("cameras") or ():
        for key in ("credentialsSecretRef", "urlSecretRef", "substreamUrlSecretRef"):
            if camera.get("name") == name and key in camera:
                return str(camera[key]["name"])
    return "NAME"


def failing(case: Case) -> Iterator[Fields]:
    """Yield cameras that give no picture; what a missing Secret holds is ED0309."""
    for camera in _cameras(case):
        if camera.get("state") in BROKEN - {UNAUTHORIZED} and camera.get("reason") != c.REASON_SECRET_MISSING:
            yield _found(case, camera)


def without_results(case: Case) -> Iterator[Fields]:
    """Yield cameras with a picture of which nothing is inferred."""
    for camera in _cameras(case):
        quiet = camera.get("state") == LIVE and not camera.get("detecting") and not camera.get("degraded")
        if quiet and _lasting(case, camera):
            yield _found(case, camera)


def connecting(case: Case) -> Iterator[Fields]:
    """Yield cameras that never come to an end of connecting."""
    for camera in _cameras(case):
        if camera.get("state") == CONNECTING and _lasting(case, camera):
            yield _found(case, camera)


def degraded(case: Case) -> Iterator[Fields]:
    """Yield what cameras give up."""
    found = case.subject.condition(c.DEGRADED)
    if found.get("status") == c.TRUE:
        yield {"said": found.get("message", "")}


def link_full(case: Case) -> Iterator[Fields]:
    """Yield that the measured streams take most of the link."""
    traffic = case.subject.traffic
    if traffic is not None and traffic.seconds >= SHORTEST and traffic.total > USABLE * LINK:
        rate = f"{traffic.total * 8 / 1e6:.0f} Mbit/s"
        yield {"rate": rate, "count": len(traffic.streams), "seconds": f"{traffic.seconds:.0f}"}


CODES: Final = (
    Code(
        "ED0501",
        "A camera refuses the password",
        Severity.ERROR,
        "{said}",
        "correct Secret {secret} in namespace {namespace} (keys username and password, or the URL); cameras often lock"
        " an account after some attempts",
        unauthorized,
    ),
    Code(
        "ED0502",
        "A camera gives no picture",
        Severity.ERROR,
        "{said}",
        "see whether the camera is up and its address right; where NetworkPolicies are enforced and it is named by a"
        " Secret: spec.networkPolicy.cameras",
        failing,
    ),
    Code(
        "ED0503",
        "A camera is live and nothing is inferred",
        Severity.WARNING,
        "{camera} has a picture, and no frame of it was inferred for ten seconds",
        "see ED04xx and ED06xx; `kubectl edgedetector status {name} -n {namespace}` says whether the model is ready",
        without_results,
    ),
    Code(
        "ED0504",
        "A camera does not come to connect",
        Severity.WARNING,
        "{said}",
        "see the media server's log: kubectl -n {namespace} logs -l"
        " edgedetector.dev/detector={name},app.kubernetes.io/component=media --all-containers",
        connecting,
    ),
    Code(
        "ED0505",
        "The cameras fill the network link",
        Severity.WARNING,
        "{count} streams bring {rate}, measured over {seconds} s, of a link of 1 Gbit/s",
        "use sub-streams (substreamUrl, detectionStream: Substream), lower the cameras' bit rate, or use a faster link",
        link_full,
    ),
    Code(
        "ED0506",
        "Cameras give way under overload",
        Severity.WARNING,
        "{said}",
        "lower frame rates, use sub-streams or a smallerVariant, or add an accelerator; status.capacity says what"
        " limits the box",
        degraded,
    ),
    Code(
        "ED0507",
        "An output does not deliver",
        Severity.ERROR,
        "{said}",
        "mend the broker or server that the words name, or correct spec.outputs",
        on(c.REASON_OUTPUT_FAILING),
    ),
)
