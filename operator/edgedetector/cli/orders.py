"""Orders of measurements to the detector in a pod, through a forwarded port: `trace` and `bench`."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from edgedetector.api import names, trace
from edgedetector.api.wire import InvalidDocumentError, from_json, to_json
from edgedetector.cli.errors import AbsentError, CommandError, UnreachableError
from edgedetector.cli.snapshot import Object, Subject

T = TypeVar("T")

_WAY_OUT: Final[Mapping[int, str]] = {
    HTTPStatus.CONFLICT: "wait for its end",
    HTTPStatus.SERVICE_UNAVAILABLE: "see `kubectl edgedetector status`",
}


def replica(subject: Subject, named: str | None) -> str:
    """Return the inference pod that is meant.

    Raises
    ------
    CommandError
        If there is none, or none of that name.
    """
    there = sorted(one["metadata"]["name"] for one in subject.of(names.COMPONENT_TRITON) if _ready(one))
    if not there:
        way = f"kubectl edgedetector status {subject.name} -n {subject.namespace}"
        raise AbsentError(f"no inference pod of {subject.namespace}/{subject.name} is ready", f"see `{way}`")
    if named is not None and named not in there:
        raise AbsentError(
            f"{named} is no inference pod of {subject.name} that is ready", f"there is: {', '.join(there)}"
        )
    return named or there[0]


def _ready(pod: Object) -> bool:
    found = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in found)


def carried_out(url: str, order: Any, answer: type[T], pod: str, *, seconds: float) -> T:
    """Have a pod carry out an order.

    Parameters
    ----------
    url
        Of what is ordered, at the detector's HTTP server, on this machine; its path names it, e.g. ``/trace``.
    answer
        What is answered.
    seconds
        That the answer may take.

    Raises
    ------
    CommandError
        If it does not: another measurement runs, it cannot, or it does not answer.
    """
    import urllib3  # noqa: PLC0415 - help and completion do without

    what = url.rpartition("/")[2]
    try:
        found = urllib3.request(
            "POST",
            url,
            body=to_json(order).encode(),
            headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=5.0, read=seconds),
            retries=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnreachableError(
            f"pod {pod} has ended the connection ({type(error).__name__}); the {what} ends by itself",
            f"try again, or see `kubectl get pod {pod}`",
        ) from None
    if found.status == HTTPStatus.NOT_FOUND:
        raise CommandError(f"pod {pod} is of a release that cannot {what}", "upgrade the operator, which replaces it")
    text = found.data.decode(errors="replace")
    try:
        if found.status == HTTPStatus.OK:
            return from_json(answer, text)
        said = from_json(trace.Refused, text).message
    except InvalidDocumentError:
        raise CommandError(
            f"pod {pod} answers with something else than a {what}", "upgrade the one that is older"
        ) from None
    raise CommandError(said, _WAY_OUT.get(found.status, ""))


def who() -> str:
    """Return who asks, for those who find it busy."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = "somebody"
    return f"{user}@{platform.node()}"[: trace.LONGEST_NAME]
