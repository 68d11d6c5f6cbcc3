"""What can go wrong with Triton, as types whose name says what to do.

    TritonError
    ├── UnavailableError     retry: nobody answers, or the model is not loaded (yet)
    ├── DeadlineError        retry: no answer in time
    ├── RefusedError         permanent: the protocol is restricted and the key is missing or wrong
    └── RejectedError        the user's: the request or the model's configuration is wrong

`translate` is the only place where an error of the gRPC client becomes one of these.
"""

from __future__ import annotations

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


def translate(operation: str, code: str, message: str) -> TritonError:
    """Return our error for a gRPC status.

    Parameters
    ----------
    operation
        What was tried, e.g. ``load people``.
    code
        Name of the gRPC status code, with or without the prefix ``StatusCode.``.
    message
        Triton's words; only the first line is kept.
    """
    text = f"{operation}: {message.strip().splitlines()[0].rstrip('; ') if message.strip() else code}"
    if _RESTRICTED in message:
        return RefusedError(text)
    return _BY_CODE.get(code.removeprefix("StatusCode."), RejectedError)(text)
