"""What can go wrong with Triton, as types whose name says what to do.

    TritonError
    ├── UnavailableError     retry: nobody answers, or the model is not loaded (yet)
    ├── DeadlineError        retry: no answer in time
    ├── RefusedError         permanent: the protocol is restricted and the key is missing or wrong
    └── RejectedError        the user's: the request or the model's configuration is wrong

`translate` is the only place where an error of the gRPC client becomes one of these.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final


class TritonError(Exception):
    """An operation on Triton failed; the message names operation, model and Triton's own words."""

    retry: ClassVar[bool] = False


class UnavailableError(TritonError):
    """Nobody answers at the address, or the model has no version that is ready."""

    retry = True


class DeadlineError(TritonError):
    """No answer within the time-out of the operation."""

    retry = True


class RefusedError(TritonError):
    """The protocol is restricted, and the call came without the right key."""


class RejectedError(TritonError):
    """Triton understood and said no: an unknown model, a wrong tensor, a configuration that does not load."""


# Triton answers a restricted protocol with UNAVAILABLE and these words (src/grpc/grpc_utils.h), so the code
# alone would look like a server that is still starting.
_RESTRICTED: Final = "protocol is restricted"

_BY_CODE: Final[dict[str, type[TritonError]]] = {
    "UNAVAILABLE": UnavailableError,
    "NOT_FOUND": UnavailableError,  # the answer about a model that is not loaded
    "CANCELLED": UnavailableError,
    "RESOURCE_EXHAUSTED": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "PERMISSION_DENIED": RefusedError,
    "UNAUTHENTICATED": RefusedError,
}


# What Triton puts before the cause: the model, which the operation names, and the layers that it came through.
_LAYERS: Final = re.compile(
    r"^(?:load failed for model '[^']*': |version \d+ is at [A-Z]+ state: |\[request id: [^\]]*\] "
    r"|(?:Internal|Invalid argument|Not found|Unavailable|Unsupported|Unknown|Already exists): "
    r"|Failed to process the request\(s\) for model '[^']*', message: )+"
)
_WARM_UP: Final = re.compile(r"^failed to run warmup sample '[^']*': ")
_ADVICE: Final = re.compile(
    r",? (?:NOTE: |try specifying runtime on the model configuration).*"
    r"|(?<=\.) If you are running Triton inside docker.*?\.(?= Error: )"
)
_OPAQUE: Final = "failed to poll from model repository"
# In the traceback behind the cause, innermost first: the line of the model's own code.
_LINE: Final = re.compile(r"^\s+\S*/(\d+/[\w.-]+\.py)\((\d+)\)", re.MULTILINE)


def readable(message: str) -> str:
    """Return the cause in one line, without the layers that it came through, with the line of the model's own code."""
    cause, _, trace = message.strip().partition("\n")
    cause = _LAYERS.sub("", cause)
    if _OPAQUE in cause:
        return "Triton refuses its configuration; Triton's log has the reason in the line 'Poll failed'"
    if _WARM_UP.match(cause):
        cause = "at the warm-up: " + _LAYERS.sub("", _WARM_UP.sub("", cause))
    cause = _ADVICE.sub("", cause).rstrip("; .")
    found = _LINE.search(trace)
    return f"{cause} ({found[1]}, line {found[2]})" if found else cause


# Triton's words -> the field of the model's specification that they are about.
_FIELDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), field)
    for pattern, field in (
        (r"unable to find backend|unexpected platform|must specify .?backend", "backend"),
        (r"\bNHWC/NCHW\b", "inputs[].format"),
        (r"\binput '(?P<tensor>[^']+)'", "inputs[{tensor}]"),
        (r"\boutput '(?P<tensor>[^']+)'", "outputs[{tensor}]"),
        (r"\d inputs?\b|\bmodel input\b", "inputs"),
        (r"\d outputs?\b|\bmodel output\b", "outputs"),
        (r"max_batch_size|\bbatch size\b", "maxBatchSize"),
        (r"at the warm-up", "warmup"),
    )
)


def field(cause: str) -> str:
    """Return the path of the field below the model's specification that a cause is about, "" where it names none."""
    for pattern, path in _FIELDS:
        if found := pattern.search(cause):
            return path.format(**found.groupdict())
    return ""


def translate(operation: str, code: str, message: str) -> TritonError:
    """Return our error for a gRPC status.

    Parameters
    ----------
    operation
        What was tried, e.g. ``load people``.
    code
        Name of the gRPC status code, with or without the prefix ``StatusCode.``.
    message
        Triton's words; what is kept of them is `readable`.
    """
    text = f"{operation}: {readable(message) or code}"
    if _RESTRICTED in message:
        return RefusedError(text)
    return _BY_CODE.get(code.removeprefix("StatusCode."), RejectedError)(text)
