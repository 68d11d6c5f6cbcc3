"""The client over real HTTP against a server that says what it was asked, or misbehaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client as kubernetes

from edgedetector.cluster import errors, kinds
from edgedetector.cluster.client import PAGE, Client

SERVICES = kinds.of("v1", "Service")


class Server:
    """Notes requests and answers with `status` and `body`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], str, Any]] = []
        self.status, self.body = 200, {"items": [{"metadata": {"name": "a"}}]}
        self.drop = False
        self.lines: list[Any] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        content = request.headers.get("Content-Type", "")
        self.requests.append((request.method, request.path, dict(request.query), content, body))
        if self.lines:
            text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in self.lines)
            return web.Response(text=text, content_type="application/json")
        if self.drop:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(self.body, status=self.status)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        configuration = kubernetes.Configuration()
        configuration.host = str(running.make_url("")).rstrip("/")
        async with kubernetes.ApiClient(configuration) as api:
            yield Client(api)


async def test_a_list_carries_the_kind_that_the_server_leaves_out(server: Server, client: Client) -> None:
    found = await client.list(SERVICES, "n", "a=b")
    assert found == ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}},)
    assert server.requests[0][:3] == ("GET", "/api/v1/namespaces/n/services", {"labelSelector": "a=b"})


async def test_an_apply_is_strict_and_takes_over(server: Server, client: Client) -> None:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}}
    await client.apply(body, "me")
    assert server.requests == [
        (
            "PATCH",
            "/api/v1/namespaces/n/services/s",
            {"fieldManager": "me", "force": "true", "fieldValidation": "Strict"},
            "application/apply-patch+yaml",
            body,
        )
    ]


async def test_a_delete_means_one_object_and_no_successor_of_its_name(server: Server, client: Client) -> None:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n", "uid": "1"}}
    server.status, server.body = 409, {"message": "the UID in the precondition does not match"}
    await client.delete(obj)
    assert server.requests[0][4]["preconditions"] == {"uid": "1"}


async def test_a_status_is_replaced_whole_and_only_on_the_object_meant(server: Server, client: Client) -> None:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n", "uid": "1"}}
    await client.replace_status(obj, {"a": 1}, "me")
    method, path, _, content, body = server.requests[0]
    assert (method, path, content) == ("PATCH", "/api/v1/namespaces/n/services/s/status", "application/json-patch+json")
    assert server.requests[0][2]["fieldValidation"] == "Warn", "older definitions lack a field, and that is no reason"
    assert body == [
        {"op": "test", "path": "/metadata/uid", "value": "1"},
        {"op": "add", "path": "/status", "value": {"a": 1}},
    ]


async def test_a_missing_object_is_none_and_a_missing_group_serves_nothing(server: Server, client: Client) -> None:
    server.status, server.body = 404, {"message": "not found"}
    assert await client.get(SERVICES, "n", "s") is None
    assert await client.served(kinds.MONITORING_API, kinds.OPTIONAL) == frozenset()


async def test_a_kind_that_cannot_be_created_is_not_served(server: Server, client: Client) -> None:
    """So the API server lists one whose definition is being deleted; a subresource may bear any kind's name."""
    monitor = {"name": "servicemonitors", "kind": "ServiceMonitor", "verbs": ["delete", "get", "list", "watch"]}
    rule = {"name": "prometheusrules", "kind": "PrometheusRule", "verbs": ["create", "get", "list", "patch"]}
    below = {"name": "others/monitor", "kind": "ServiceMonitor", "verbs": ["create"]}
    server.body = {"resources": [monitor, rule, below]}
    assert await client.served(kinds.MONITORING_API, kinds.OPTIONAL) == {"PrometheusRule"}


async def test_each_object_that_carries_the_labels_comes_page_by_page(server: Server, client: Client) -> None:
    server.body = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}
    assert [obj async for obj in client.each(SERVICES, "n", "a=b")] == server.body["items"]
    assert server.requests[0][2] == {"limit": str(PAGE), "labelSelector": "a=b"}


async def test_a_connection_that_breaks_is_worth_another_try(server: Server, client: Client) -> None:
    server.drop = True
    with pytest.raises(errors.UnavailableError):
        await client.list(SERVICES, "n")


async def test_a_refusal_names_the_request_and_the_reason(server: Server, client: Client) -> None:
    server.status, server.body = 403, {"message": "services is forbidden"}
    with pytest.raises(errors.ForbiddenError, match=r"GET /api/v1/namespaces/n/services: services is forbidden"):
        await client.list(SERVICES, "n")


async def test_a_watch_gives_events_and_ends_with_the_servers_word(server: Server, client: Client) -> None:
    first = {"type": "ADDED", "object": {"metadata": {"name": "a"}}}
    server.lines = [first, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}]
    events = client.events(SERVICES, "n", "a=b", "7", 60)
    assert await anext(events) == first
    with pytest.raises(errors.ExpiredError, match="too old"):
        await anext(events)
    _, path, query, _, _ = server.requests[0]
    assert (path, query["resourceVersion"], query["labelSelector"]) == ("/api/v1/namespaces/n/services", "7", "a=b")


async def test_a_watch_that_is_cut_off_in_the_middle_of_a_line_is_no_defect(server: Server, client: Client) -> None:
    server.lines = ['{"type": "ADD']
    with pytest.raises(errors.UnavailableError):
        _ = [event async for event in client.events(SERVICES, "n", "a=b", "7", 60)]


async def test_a_page_says_how_to_go_on(server: Server, client: Client) -> None:
    server.body = {"metadata": {"resourceVersion": "7", "continue": "token"}, "items": [{"metadata": {"name": "a"}}]}
    page = await client.page(SERVICES, "n", "a=b")
    assert (page.version, page.token, len(page.items)) == ("7", "token", 1)
    await client.page(SERVICES, "n", "a=b", page.token)
    assert [query.get("continue") for _, _, query, _, _ in server.requests] == [None, "token"]


async def test_a_list_that_may_come_from_memory_is_as_new_as_what_was_told_before(
    server: Server, client: Client
) -> None:
    async def asked() -> tuple[str | None, str | None]:
        await client.list_known(SERVICES, "n", "a=b")
        query = server.requests[-1][2]
        return query.get("resourceVersion"), query.get("resourceVersionMatch")

    assert await asked() == (None, None)
    server.body = {"metadata": {"resourceVersion": "1000"}, "items": [{"metadata": {"resourceVersion": "9"}}]}
    await client.page(SERVICES, "n", "a=b")
    assert await asked() == ("9", "NotOlderThan")
    server.body = {"metadata": {"resourceVersion": "12", "name": "a"}, "items": []}
    await client.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "n"}}, "me")
    assert await asked() == ("12", "NotOlderThan")


async def test_a_server_whose_versions_begin_anew_is_asked_for_its_newest_state(server: Server, client: Client) -> None:
    server.body = {"metadata": {"resourceVersion": "900"}, "items": [{"metadata": {"resourceVersion": "900"}}]}
    await client.page(SERVICES, "n", "a=b")
    server.status = 504  # "Too large resource version", after three seconds
    with pytest.raises(errors.UnavailableError):
        await client.list_known(SERVICES, "n", "a=b")
    server.status = 200
    await client.list_known(SERVICES, "n", "a=b")
    assert "resourceVersion" not in server.requests[-1][2]
