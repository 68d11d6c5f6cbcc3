"""Every way in which a request can fail has a type of ours, and the type says whether to try again."""

from __future__ import annotations

import json

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import ApiException

from edgedetector.api.errors import OperatorError, PermanentError, RetryError
from edgedetector.cluster import errors

REQUEST = "PATCH /api/v1/namespaces/n/services/s"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RejectedError),
        (401, errors.UnavailableError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (410, errors.ExpiredError),
        (413, errors.RejectedError),
        (422, errors.RejectedError),
        (429, errors.UnavailableError),
        (500, errors.UnavailableError),
        (503, errors.UnavailableError),
        (504, errors.UnavailableError),
        (599, errors.UnavailableError),
    ],
)
def test_an_answer_of_the_api_server(status: int, kind: type[errors.ClusterError]) -> None:
    error = errors.from_status(status, json.dumps({"kind": "Status", "message": "why"}), REQUEST)
    assert type(error) is kind
    assert str(error) == f"{REQUEST}: why"
    assert isinstance(error, RetryError) != isinstance(error, PermanentError)


@pytest.mark.parametrize(
    ("header", "seconds"), [("1", 1.0), ("30", 30.0), ("999999999", errors.MAX_AFTER), ("", 0.0), ("tomorrow", 0.0)]
)
def test_a_server_that_asks_for_patience_is_heard(header: str, seconds: float) -> None:
    error = errors.from_status(429, "", REQUEST, header)
    assert isinstance(error, errors.UnavailableError)
    assert error.after == seconds


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"message": 1}'])
def test_an_answer_that_is_no_status_document(body: str) -> None:
    assert isinstance(errors.from_status(500, body, REQUEST), errors.UnavailableError)


def test_a_long_answer_is_cut_to_what_a_condition_can_hold() -> None:
    error = errors.from_status(422, json.dumps({"message": "x" * 100_000}), REQUEST)
    assert len(str(error)) == errors.MAX_MESSAGE


@pytest.mark.parametrize("status", [403, 405])
def test_a_kind_that_is_on_its_way_out_is_as_good_as_gone(status: int) -> None:
    words = 'servicemonitors "yard" is forbidden: create not allowed while custom resource definition is terminating'
    assert isinstance(errors.from_status(status, json.dumps({"message": words}), REQUEST), errors.NotFoundError)


def test_an_answer_that_quotes_the_whole_object_is_not_repeated() -> None:
    quoted = (
        'EdgeDetector "yard" is invalid: patch: Invalid value: "{\\"url\\":\\"rtsp://user:password@camera\\"}": bad'
    )
    error = errors.from_status(422, json.dumps({"message": quoted}), REQUEST)
    assert isinstance(error, errors.RejectedError)
    assert REQUEST in str(error)
    assert "definition" in str(error)
    assert "password" not in str(error)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ApiException(status=409), errors.ConflictError),
        (TimeoutError(), errors.UnavailableError),
        (aiohttp.ClientConnectionError("secret in the text"), errors.UnavailableError),
        (ConnectionResetError("secret in the text"), errors.UnavailableError),
        (ValueError("secret in the text"), errors.ClusterError),
        (errors.ForbiddenError("already ours"), errors.ForbiddenError),
    ],
)
def test_whatever_the_library_raises_becomes_ours(raised: Exception, kind: type[OperatorError]) -> None:
    error = errors.from_exception(raised, REQUEST)
    assert type(error) is kind
    assert "secret" not in str(error)
