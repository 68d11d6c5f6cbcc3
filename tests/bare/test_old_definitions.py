"""A new operator over the definitions of an older release, which nobody has upgraded."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import apiserver as bare
from tests.unit.status.views import resource

from edgedetector.cluster import errors
from edgedetector.cluster.client import Client
from edgedetector.status import compose, document

FIRST_LIGHT = Path(__file__).parents[1] / "e2e" / "data" / "first-light.tar.xz"
CAMERA = "rtsp://camera:554/main"
NOW = "2026-11-22T12:00:00Z"


def definitions() -> list[dict[str, Any]]:
    with tarfile.open(FIRST_LIGHT) as archive:
        found = [archive.extractfile(name) for name in archive.getnames() if "/files/crds/" in name]
        return [yaml.safe_load(file.read()) for file in found if file is not None]


@pytest.fixture(scope="module")
def server() -> Iterator[bare.Server]:
    """A server of its own, since it has other definitions."""
    with bare.start() as running:
        running.define(*definitions())
        running.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "site"}})
        yield running


@pytest.fixture
def made(server: bare.Server) -> dict[str, Any]:
    """A detector as the API server knows it."""
    body = resource()
    body["metadata"] = {"name": "yard", "namespace": "site"}
    body["spec"]["cameras"] = [{"name": "gate", "url": CAMERA}]
    body.pop("status", None)
    server.apply(body)
    live: dict[str, Any] = server.get(server.path(body))
    return live


async def test_a_status_is_written_though_a_field_of_it_is_not_known(made: dict[str, Any], client: Client) -> None:
    wanted = document.status(made, compose.judge_pending(), None, NOW) | {"appliedGeneration": 1}
    after = await client.replace_status(made, wanted, "edgedetector")
    assert after["status"]["conditions"] == wanted["conditions"]
    assert "appliedGeneration" not in after["status"], "these definitions know the field: the test proves nothing"


def test_where_the_api_server_quotes_the_whole_object_our_error_does_not(
    server: bare.Server, made: dict[str, Any]
) -> None:
    """So it answers to an unknown field if it is asked to be strict."""
    path = server.path(made) + "/status?fieldValidation=Strict"
    patch = [{"op": "add", "path": "/status", "value": {"appliedGeneration": 1}}]
    with pytest.raises(bare.RefusedError) as refused:
        server.request("PATCH", path, patch, "application/json-patch+json")
    assert CAMERA in refused.value.message
    error = errors.from_status(refused.value.status, json.dumps({"message": refused.value.message}), "PATCH yard")
    assert isinstance(error, errors.RejectedError)
    assert str(error).startswith("PATCH yard: ")
    assert CAMERA not in str(error)
