"""The API server of the cluster in use, without a process a question: for tests that look several times a second."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from kubernetes import client as kubernetes
from kubernetes import config as kubeconfig

import cluster as driver
from edgedetector.api import names
from edgedetector.cluster import kinds

Object = dict[str, Any]

TIMEOUT: Final = 30.0
"""Seconds for one request."""
MERGE: Final = "application/merge-patch+json"
_lock = threading.Lock()


class RefusedError(RuntimeError):
    """The API server said no, in its own words."""


def get(kind: kinds.Kind, namespace: str, name: str) -> Object | None:
    """Return an object, None if it does not exist."""
    return request("GET", kind.path(namespace, name))


def items(kind: kinds.Kind, namespace: str, selector: str = "") -> list[Object]:
    """Return the objects of a kind that carry these labels."""
    head = {"apiVersion": kind.api_version, "kind": kind.kind}
    query = [("labelSelector", selector)] if selector else []
    found = request("GET", kind.path(namespace), query=query) or {"items": []}
    return [head | item for item in found["items"]]


def patch(kind: kinds.Kind, namespace: str, name: str, body: Object, subresource: str = "") -> Object | None:
    """Change an object as a person does: with a merge patch under another name than the operator's."""
    path = kind.path(namespace, name, subresource)
    return request("PATCH", path, body, MERGE, query=[("fieldManager", "somebody")])


def delete(kind: kinds.Kind, namespace: str, name: str) -> None:
    """Delete an object; what it owns goes in the background."""
    request("DELETE", kind.path(namespace, name), {"propagationPolicy": "Background"})


def children(namespace: str, detector: str, child_kinds: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Object]:
    """Return the children of a detector by kind and name."""
    selector = f"{names.LABEL_DETECTOR}={detector}"
    found = [obj for kind in child_kinds for obj in items(kinds.of(*kind), namespace, selector)]
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}


def request(
    method: str,
    path: str,
    body: Any = None,
    content_type: str = "application/json",
    query: Iterable[tuple[str, str]] = (),
) -> Any:
    """Send one request and return the parsed answer, None for what does not exist.

    Raises
    ------
    RefusedError
        If the API server refuses it.
    """
    client = _client()
    serialized = client.param_serialize(
        method,
        path,
        query_params=list(query),
        header_params={"Accept": "application/json", "Content-Type": content_type},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = client.call_api(*serialized, _request_timeout=TIMEOUT)
    text: str = answer.read().decode()
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(f"{method} {path}: {answer.status} {text[:500]}")
    return json.loads(text)


def _client() -> kubernetes.ApiClient:
    with _lock:  # two threads at once would make two
        return _connected()


@functools.cache
def _connected() -> kubernetes.ApiClient:
    driver.check_context()
    return kubeconfig.new_client_from_config(str(driver.kubeconfig()))
