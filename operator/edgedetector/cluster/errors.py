"""What can go wrong between the operator and the API server, in our words.

    ClusterError
    +- Unavailable   the server, the network or its limits: try again later
    |  +- Expired    the version from which a watch was to go on is forgotten: list again
    +- Conflict      somebody was faster: look again, then try again
    +- NotFound      the object, its namespace or its whole kind is not there, or the kind is on its way out
    +- Forbidden     RBAC, Pod Security or quota says no: an administrator has to act
    +- Rejected      the server does not accept what we sent: a bug of ours or a setting of the user

Nothing outside this package sees an exception of the client library.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from edgedetector.api import conditions
from edgedetector.api.errors import OperatorError, PermanentError, RetryError

# A server's answer can quote a whole object; the end of such a text helps nobody in a condition.
MAX_MESSAGE = 500
# How an API server refuses to create objects of a kind that is on its way out.
_TERMINATING = "not allowed while custom resource definition is terminating"
# Before the whole object, of which a field may hold a password: such a text goes nowhere.
_QUOTES_ALL = "patch: Invalid value"
_UNFIT = "the patched object does not fit its definition, which may be of another release"
# Seconds of patience that are granted at most: nobody is to put a detector aside for good.
MAX_AFTER = 60.0


class ClusterError(OperatorError):
    """An API request failed; the text names the request and the server's reason."""

    reason = conditions.REASON_APPLY_FAILED
    code = "Error"
    """Label of the error in metrics."""


class UnavailableError(ClusterError, RetryError):
    """The API server did not answer or asked for patience."""

    reason = conditions.REASON_RETRYING
    code = "Unavailable"
    after: float = 0.0
    """Seconds of patience that the server asked for."""


class ExpiredError(UnavailableError):
    """What was asked to be continued is too old."""

    code = "Expired"


class ConflictError(ClusterError, RetryError):
    """The object changed or was replaced under our hands."""

    reason = conditions.REASON_RETRYING
    code = "Conflict"


class NotFoundError(ClusterError, RetryError):
    """The object, its namespace or its kind does not exist."""

    reason = conditions.REASON_RETRYING
    code = "NotFound"


class ForbiddenError(ClusterError, PermanentError):
    """The operator may not do this: RBAC, Pod Security admission or a quota."""

    reason = conditions.REASON_APPLY_FAILED
    code = "Forbidden"


class RejectedError(ClusterError, PermanentError):
    """The API server calls the request invalid."""

    reason = conditions.REASON_APPLY_FAILED
    code = "Rejected"


_BY_STATUS: dict[int, type[ClusterError]] = {
    HTTPStatus.BAD_REQUEST: RejectedError,
    HTTPStatus.UNAUTHORIZED: UnavailableError,  # tokens rotate: the next request carries the new one
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.METHOD_NOT_ALLOWED: RejectedError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: ExpiredError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: RejectedError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: RejectedError,
    HTTPStatus.UNPROCESSABLE_ENTITY: RejectedError,
    HTTPStatus.TOO_MANY_REQUESTS: UnavailableError,
}


def from_status(status: int, body: str, request: str, retry_after: str = "") -> ClusterError:
    """Return our error for an HTTP answer of the API server; unknown statuses are worth another try.

    `retry_after` is the header of that name, of which only the form in seconds is known to API servers.
    """
    text = _message(status, body)
    kind = NotFoundError if _TERMINATING in text else _BY_STATUS.get(status, UnavailableError)
    error = kind(f"{request}: {_UNFIT if _QUOTES_ALL in text else text}"[:MAX_MESSAGE])
    if isinstance(error, UnavailableError) and retry_after.isdecimal():
        error.after = min(float(retry_after[:6]), MAX_AFTER)
    return error


def from_exception(error: Exception, request: str) -> ClusterError:
    """Return our error for whatever the client library raised."""
    if isinstance(error, ClusterError):
        return error
    if isinstance(error, ApiException):
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
        return from_status(error.status or 0, body, request)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return UnavailableError(f"{request}: no answer in time")
    if isinstance(error, (aiohttp.ClientError, OSError, json.JSONDecodeError)):  # the last: cut off, or a proxy's page
        return UnavailableError(f"{request}: {type(error).__name__}")
    return ClusterError(f"{request}: {type(error).__name__}")


def _message(status: int, body: str) -> str:
    try:
        document = json.loads(body)
        return str(document["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
