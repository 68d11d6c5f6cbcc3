"""Requests to the API server, on plain dicts.

The typed models of the client library refuse partial objects, and its dynamic client discovers what the table in
`kinds` already says. So this uses only the transport and authentication of `kubernetes.aio`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from edgedetector.cluster import errors, kinds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from kubernetes.aio.client import ApiClient
    from kubernetes.aio.client.rest import RESTResponse

Object = dict[str, Any]

# Seconds; a pass has a deadline of its own, this one ends a request on a connection that died silently.
REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=20.0)

# Objects of one answer: whole EdgeDetectors have some 10 kB, and five times that once they are parsed.
PAGE: Final = 100

_JSON: Final = "application/json"
# Metadata alone: a watch that only says which object changed needs no more, and a Deployment has ten times as much.
_HEAD: Final = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_HEADS: Final = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: tuple[Object, ...]
    version: str
    """Of the whole list: a watch goes on from here."""
    token: str
    """Asks for the rest; empty if there is none."""


class Client:
    """The few requests that the operator makes. Every failure is a `ClusterError`.

    Parameters
    ----------
    api
        Authenticated transport.
    on_request
        Called after each request with the verb, the kind, the outcome ("ok" or the error's code) and the seconds.
    """

    def __init__(self, api: ApiClient, on_request: Callable[[str, str, str, float], None] | None = None) -> None:
        self._api = api
        self._on_request = on_request or (lambda _verb, _kind, _outcome, _seconds: None)
        self._newest: dict[kinds.Kind, int] = {}
        """The newest version of each kind that an answer or an event has shown."""

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        """Return the object, or None if it does not exist."""
        try:
            return await self._request("GET", kind, kind.path(namespace, name))
        except errors.NotFoundError:
            return None

    async def list(
        self, kind: kinds.Kind, namespace: str = "", selector: str = "", fields: str = ""
    ) -> tuple[Object, ...]:
        """Return the objects that carry the labels and fields; an empty namespace means all of them."""
        query = _present(labelSelector=selector, fieldSelector=fields)
        return await self._list(kind, namespace, query)

    async def list_known(self, kind: kinds.Kind, namespace: str, selector: str) -> tuple[Object, ...]:
        """Return the objects that carry the labels, at least as new as anything that this client was told of the kind.

        The API server answers from its memory. A list of the newest state makes it read the whole namespace from its
        store. What somebody else changed in this very moment will be an event.
        """
        query = [("labelSelector", selector)]
        newest = self._newest.get(kind)
        if newest is None:
            return await self._list(kind, namespace, query)
        query += [("resourceVersion", str(newest)), ("resourceVersionMatch", "NotOlderThan")]
        try:
            return await self._list(kind, namespace, query)
        except errors.UnavailableError:
            self._newest.pop(kind, None)  # versions have begun anew, should the server have lost its store
            raise

    async def _list(self, kind: kinds.Kind, namespace: str, query: Iterable[tuple[str, str]]) -> tuple[Object, ...]:
        answer = await self._request("GET", kind, kind.path(namespace), query=query)
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        return tuple(head | item for item in answer.get("items") or ())

    async def page(
        self, kind: kinds.Kind, namespace: str, selector: str, token: str = "", *, whole: bool = False
    ) -> Page:
        """Return some of the objects that carry the labels; of each only its metadata, unless it is wanted whole."""
        query = [("limit", str(PAGE)), *_present(labelSelector=selector, **{"continue": token})]
        answer = await self._request("GET", kind, kind.path(namespace), query=query, accept=_JSON if whole else _HEADS)
        metadata = answer["metadata"]
        items = tuple(answer.get("items") or ())
        for item in items:
            self._note(kind, item)
        return Page(items, metadata["resourceVersion"], metadata.get("continue", ""))

    async def each(self, kind: kinds.Kind, namespace: str = "", selector: str = "") -> AsyncGenerator[Object, None]:
        """Yield all objects that carry the labels without ever holding all of them."""
        token, more = "", True
        while more:
            page = await self.page(kind, namespace, selector, token, whole=True)
            for item in page.items:
                yield item
            token, more = page.token, bool(page.token)

    async def events(
        self, kind: kinds.Kind, namespace: str, selector: str, version: str, seconds: int, *, whole: bool = False
    ) -> AsyncGenerator[Object, None]:
        """Yield what happens to the objects after a version, for so many seconds or until the server ends it.

        Raises
        ------
        ExpiredError
            If the server does not remember that version any more.
        """
        path, request = kind.path(namespace), f"WATCH {kind.path(namespace)}"
        query = [*_present(labelSelector=selector), ("watch", "true"), ("allowWatchBookmarks", "true")]
        query += [("resourceVersion", version), ("timeoutSeconds", str(seconds))]
        started, outcome = time.monotonic(), "ok"
        patience = aiohttp.ClientTimeout(sock_connect=REQUEST_TIMEOUT.total, sock_read=seconds + 10.0)
        try:
            answer = await self._send("GET", path, query=query, accept=_JSON if whole else _HEAD, patience=patience)
            try:
                async for line in answer.response.content:
                    event: Object = json.loads(line)
                    if event["type"] == "ERROR":
                        raise errors.from_status(event["object"].get("code", 0), json.dumps(event["object"]), request)
                    if event["type"] != "BOOKMARK":
                        self._note(kind, event["object"])
                    yield event
            finally:
                answer.response.close()
        except Exception as error:  # noqa: BLE001 - as in `_request`
            ours = errors.from_exception(error, request)
            outcome = ours.code
            raise ours from None
        finally:
            self._on_request("WATCH", kind.kind, outcome, time.monotonic() - started)

    async def apply(self, body: Object, manager: str, only: Mapping[str, str] | None = None) -> Object:
        """Server-side apply, taking over fields that others hold; an unknown field is an error.

        `only` are a UID or a resourceVersion: an object with others is left as it is, with a `ConflictError`.
        """
        kind = kinds.of(body["apiVersion"], body["kind"])
        metadata = {**body["metadata"], **(only or {})}
        body = {**body, "metadata": metadata}
        path = kind.path(metadata.get("namespace", ""), metadata["name"])
        query = [("fieldManager", manager), ("force", "true"), ("fieldValidation", "Strict")]
        try:
            after = await self._request("PATCH", kind, path, body=body, content_type=_APPLY, query=query)
        except errors.RejectedError as error:
            # So the API server says that there is an object of this name with another UID.
            if only and "uid" in only and "metadata.uid: " in str(error):
                raise errors.ConflictError(str(error)) from None
            raise
        self._note(kind, after)
        return after

    async def delete(self, obj: Object) -> None:
        """Delete exactly this object: one that has taken its name meanwhile is left alone."""
        kind, metadata = kinds.of(obj["apiVersion"], obj["kind"]), obj["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
        }
        try:
            await self._request("DELETE", kind, kind.path(metadata.get("namespace", ""), metadata["name"]), body=body)
        except (errors.NotFoundError, errors.ConflictError):
            return  # gone, or another one: either way the object meant is no more

    async def replace_status(self, obj: Object, status: Object, manager: str) -> Object:
        """Make the status exactly this one, whoever wrote what into it before.

        Definitions may be older than the operator, which does not install them everywhere: a field that they do not
        know is dropped, since a status without it is better than none.
        """
        kind, metadata = kinds.of(obj["apiVersion"], obj["kind"]), obj["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"], "status")
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        query = [("fieldManager", manager), ("fieldValidation", "Warn")]
        return await self._request("PATCH", kind, path, body=patch, content_type=_JSON_PATCH, query=query)

    async def annotate(self, obj: Object, annotations: dict[str, str], manager: str) -> None:
        """Set annotations of an object that may vanish at any moment."""
        kind, metadata = kinds.of(obj["apiVersion"], obj["kind"]), obj["metadata"]
        body = {"metadata": {"uid": metadata["uid"], "annotations": annotations}}
        path = kind.path(metadata.get("namespace", ""), metadata["name"])
        try:
            await self._request("PATCH", kind, path, body=body, content_type=_MERGE, query=[("fieldManager", manager)])
        except (errors.NotFoundError, errors.ConflictError):
            return

    async def create(self, body: Object) -> Object:
        """Create an object."""
        kind = kinds.of(body["apiVersion"], body["kind"])
        return await self._request("POST", kind, kind.path(body["metadata"].get("namespace", "")), body=body)

    async def served(self, api_version: str, wanted: Iterable[str]) -> frozenset[str]:
        """Return which of the wanted kinds the API server lets one create in this group version right now.

        A kind whose definition is being deleted is still listed: it can be read and deleted, and not created.
        """
        path = kinds.Kind(api_version, "APIResourceList", "").path().rstrip("/")
        try:
            answer = await self._request("GET", kinds.Kind(api_version, "APIResourceList", ""), path)
        except errors.NotFoundError:
            return frozenset()
        found = (item for item in answer.get("resources") or () if "/" not in item["name"])
        return frozenset(item["kind"] for item in found if "create" in item["verbs"]) & frozenset(wanted)

    def _note(self, kind: kinds.Kind, answer: Object) -> None:
        """Remember the version of an object if it is newer; they are numbers that grow, in common for a kind.

        Not the version of a list or a bookmark: that is one of the whole store, which the server's memory of a kind in
        which nothing happens may never come to.
        """
        version: str = (answer.get("metadata") or {}).get("resourceVersion", "")
        if version.isdecimal() and int(version) > self._newest.get(kind, 0):
            self._newest[kind] = int(version)

    async def _request(
        self,
        method: str,
        kind: kinds.Kind,
        path: str,
        *,
        body: Any = None,
        content_type: str = _JSON,
        query: Iterable[tuple[str, str]] = (),
        accept: str = _JSON,
    ) -> Object:
        request = f"{method} {path}"
        started, outcome = time.monotonic(), "ok"
        try:
            answer = await self._send(method, path, body=body, content_type=content_type, query=query, accept=accept)
            parsed: Object = json.loads(await answer.read())  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - the one place where errors become ours
            ours = errors.from_exception(error, request)
            outcome = ours.code
            raise ours from None  # the library's exception holds headers and bodies: never into a log
        else:
            return parsed
        finally:
            self._on_request(method, kind.kind, outcome, time.monotonic() - started)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = _JSON,
        query: Iterable[tuple[str, str]],
        accept: str,
        patience: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
    ) -> RESTResponse:
        """Return the answer with its body unread; one that is no success is our error."""
        serialized = await self._api.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._api.call_api(*serialized, _request_timeout=patience)
        if not 200 <= answer.status <= 299:  # noqa: PLR2004 - what HTTP calls success
            said: str = (await answer.read()).decode(errors="replace")  # type: ignore[no-untyped-call]
            after = answer.headers.get("Retry-After", "")
            raise errors.from_status(answer.status, said, f"{method} {path}", after)
        return answer


def _present(**parameters: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters.items() if value]
