"""What a watch tells of a kind, and how it goes on after everything that can end it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from edgedetector.cluster import errors, kinds
from edgedetector.cluster.client import Page
from edgedetector.cluster.watch import ABSENT, BACKOFF, DOUBT, Watch

SERVICES = kinds.of("v1", "Service")


def obj(name: str, version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def event(kind: str, name: str = "a", version: int = 1) -> dict[str, Any]:
    return {"type": kind, "object": obj(name, version)}


class Server:
    """Gives the lists and the streams of a script, in turn: an exception in it is raised."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[str] = []

    def _next(self) -> Any:
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def page(self, _kind: kinds.Kind, _namespace: str, _selector: str, token: str, *, whole: bool) -> Page:
        assert not whole
        self.asked.append(f"list {token}".strip())
        page: Page = self._next()
        return page

    async def events(
        self, _kind: kinds.Kind, _namespace: str, _selector: str, version: str, _seconds: int, *, whole: bool
    ) -> AsyncGenerator[dict[str, Any], None]:
        assert not whole
        self.asked.append(f"watch {version}")
        for found in self._next():
            if isinstance(found, Exception):
                raise found
            yield found


class Told:
    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self) -> None:
        self.said.append("begin")

    def saw(self, found: dict[str, Any]) -> None:
        self.said.append(f"saw {found['metadata']['name']}")

    def end(self) -> None:
        self.said.append("end")

    def gone(self, found: dict[str, Any]) -> None:
        self.said.append(f"gone {found['metadata']['name']}")


async def run(server: Server) -> tuple[Told, list[float]]:
    """Rounds until the script is at its end; what was told, and how long was waited each time."""
    told, waited = Told(), list[float]()

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    watch = Watch(server, SERVICES, "", "", told, random.Random(1), pause=pause)  # type: ignore[arg-type]
    while server.script:
        await watch.round()
    return told, waited


async def test_a_list_of_several_pages_then_events_from_its_version_on() -> None:
    server = Server(
        Page((obj("a"),), "7", "more"),
        Page((obj("b"),), "7", ""),
        [event("MODIFIED", "a", 8), event("DELETED", "b", 9)],
    )
    told, waited = await run(server)
    assert told.said == ["begin", "saw a", "saw b", "end", "saw a", "gone b"]
    assert server.asked == ["list", "list more", "watch 7"]
    assert waited == []


async def test_a_watch_that_the_server_ends_goes_on_at_the_last_version_without_a_list() -> None:
    server = Server(Page((), "7", ""), [event("ADDED", "a", 8), event("BOOKMARK", "", 20)], [event("BOOKMARK", "", 30)])
    told, waited = await run(server)
    assert server.asked == ["list", "watch 7", "watch 20"]
    assert told.said == ["begin", "end", "saw a"]
    assert waited == []


async def test_a_connection_that_breaks_loses_no_event() -> None:
    broken = errors.UnavailableError("gone")
    server = Server(Page((), "7", ""), [event("ADDED", "a", 8), broken], [event("ADDED", "b", 9)])
    told, waited = await run(server)
    assert server.asked == ["list", "watch 7", "watch 8"]
    assert told.said[2:] == ["saw a", "saw b"]
    assert len(waited) == 1


@pytest.mark.parametrize("where", ["the answer", "an event"])
async def test_a_version_that_is_forgotten_is_followed_by_a_list(where: str) -> None:
    expired = errors.ExpiredError("too old")
    server = Server(
        Page((obj("a"),), "7", ""), expired if where == "the answer" else [expired], Page((obj("b"),), "50", ""), []
    )
    told, _ = await run(server)
    assert server.asked == ["list", "watch 7", "list", "watch 50"]
    assert told.said == ["begin", "saw a", "end", "begin", "saw b", "end"]


async def test_a_list_that_expires_between_two_pages_begins_anew() -> None:
    server = Server(Page((obj("a"),), "7", "more"), errors.ExpiredError("too old"), Page((obj("a"),), "8", ""), [])
    told, _ = await run(server)
    assert told.said == ["begin", "saw a", "begin", "saw a", "end"]


async def test_of_a_kind_that_is_not_served_nothing_exists() -> None:
    server = Server(Page((obj("a"),), "7", ""), errors.NotFoundError("no such kind"), Page((), "9", ""), [])
    told, waited = await run(server)
    assert told.said == ["begin", "saw a", "end", "begin", "end", "begin", "end"]
    assert waited[0] == ABSENT


async def test_failures_in_a_row_are_answered_with_patience_and_one_success_ends_it() -> None:
    failures = [errors.UnavailableError("down") for _ in range(12)]
    server = Server(*failures, Page((), "7", ""), [event("BOOKMARK", "", 8)], errors.UnavailableError("down"))
    _, waited = await run(server)
    assert waited[0] <= BACKOFF[0]
    assert BACKOFF[1] / 2 <= waited[11] <= BACKOFF[1]
    assert waited[12] <= BACKOFF[0]


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_circle() -> None:
    _, waited = await run(Server(Page((), "7", ""), [], [], [], []))
    assert len(waited) == 4
    assert waited[3] > waited[0]


async def test_a_server_that_never_comes_to_the_version_is_asked_for_a_list() -> None:
    """Its store was restored: it answers that the version is too large, each time."""
    failures = [errors.UnavailableError("too large") for _ in range(DOUBT)]
    server = Server(Page((obj("a"),), "900", ""), *failures, Page((obj("b"),), "5", ""), [event("BOOKMARK", "", 6)])
    told, _ = await run(server)
    assert server.asked == ["list", *["watch 900"] * DOUBT, "list", "watch 5"]
    assert told.said[-2:] == ["saw b", "end"]
