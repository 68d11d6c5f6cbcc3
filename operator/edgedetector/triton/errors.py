"""What can go wrong with Triton, as types whose name says what to do.

    TritonError
    ├── UnavailableError     retry: nobody answers, or the model is not loaded (yet)
    │   └── UnknownRegionError       retry: Triton was restarted and knows no region of ours
    ├── DeadlineError        retry: no answer in time
    ├── RefusedError         permanent: the protocol is restricted and the key is missing or wrong
    ├── SharedMemoryError    permanent: no memory can be shared; requests without it work
    │   ├── SharedMemoryDisabledError     Triton's command line forbids it
    │   ├── SharedMemoryUnreachableError  Triton does not see the region
    │   └── SharedMemoryFullError         the tmpfs has no room
    └── RejectedError        the user's: the request or the model's configuration is wrong
        ├── RegionExistsError         a region of that name is registered
        ├── RegionInUseError          a request still holds the region that shall go
        └── OutputTooLargeError       the model gives more than its outputs say

`translate` is the only place where an error of the gRPC client becomes one of these.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final


class TritonError(Exception):
    """An operation on Triton failed; the message names operation, model and Triton's own words."""

    retry: ClassVar[bool] = False
    answered: bool = False
    """Whether Triton itself said so. Otherwise the request may still run there, and write its outputs."""


class UnavailableError(TritonError):
    """Nobody answers at the address, or the model has no version that is ready."""

    retry = True


class UnknownRegionError(UnavailableError):
    """Triton does not know a region that was registered, so it is another process than before."""


class DeadlineError(TritonError):
    """No answer within the time-out of the operation."""

    retry = True


class RefusedError(TritonError):
    """The protocol is restricted, and the call came without the right key."""


class RejectedError(TritonError):
    """Triton understood and said no: an unknown model, a wrong tensor, a configuration that does not load."""


class RegionExistsError(RejectedError):
    """A region of that name is registered already."""


class RegionInUseError(RejectedError):
    """A request holds a region that shall go; Triton lets go of it a moment after it has answered."""


class OutputTooLargeError(RejectedError):
    """A model gives more than the outputs of its specification say."""


class SharedMemoryError(TritonError):
    """No memory can be shared with Triton; requests that carry their tensors work."""


class SharedMemoryDisabledError(SharedMemoryError):
    """Triton was started without the flag that shared memory needs."""


class SharedMemoryUnreachableError(SharedMemoryError):
    """Triton cannot open a region: it has another /dev/shm, or runs as another user."""


class SharedMemoryFullError(SharedMemoryError):
    """The tmpfs has no room for a region; the message says what to raise."""


# Triton answers a restricted protocol with UNAVAILABLE and these words (src/grpc/grpc_utils.h), so the code
# alone would look like a server that is still starting.
# For the others the words say more than the code: versions differ in the code.
_BY_WORDS: Final[tuple[tuple[re.Pattern[str], type[TritonError], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, advice)
    for pattern, kind, advice in (
        (r"protocol is restricted", RefusedError, ""),
        (
            r"shared memory is disabled|allow-client-shm",
            SharedMemoryDisabledError,
            "; add --allow-client-shm=true to triton.arguments of the AcceleratorProfile",
        ),
        (
            r"unable to open shared memory region",
            SharedMemoryUnreachableError,
            "; detector and Triton need one volume at /dev/shm and one user",
        ),
        (r"unable to find (system )?shared memory region", UnknownRegionError, ""),
        (r"shared memory region .* already in manager", RegionExistsError, ""),
        (r"unregister shared memory region .* in use", RegionInUseError, ""),
        (
            r"shared memory size specified with the request for output",
            OutputTooLargeError,
            "; the model gives more than the dims of this output say",
        ),
    )
)

_BY_CODE: Final[dict[str, type[TritonError]]] = {
    "UNAVAILABLE": UnavailableError,
    "NOT_FOUND": UnavailableError,  # the answer about a model that is not loaded
    "CANCELLED": UnavailableError,
    "RESOURCE_EXHAUSTED": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "PERMISSION_DENIED": RefusedError,
    "UNAUTHENTICATED": RefusedError,
}

# Codes that gRPC itself gives when a connection ends or time is up: with these only Triton's own words are an answer.
_BROKEN: Final = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"})
_TRITONS_WORDS: Final = re.compile(
    r"request id:|unknown model|no available versions|maximum queue size|timeout expired|protocol is restricted"
    r"|stopped accepting|shared memory|not ready",
    re.IGNORECASE,
)
_RESET: Final = "RST_STREAM"  # gRPC's own INTERNAL

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
    name = code.removeprefix("StatusCode.")
    said = readable(message) or code
    known = next(((kind, advice) for words, kind, advice in _BY_WORDS if words.search(message)), None)
    kind, advice = known or (_BY_CODE.get(name, RejectedError), "")
    error = kind(f"{operation}: {said}{advice}")
    error.answered = _answered(name, message)
    return error


def _answered(code: str, message: str) -> bool:
    if code in _BROKEN:
        return bool(_TRITONS_WORDS.search(message))
    return _RESET not in message
