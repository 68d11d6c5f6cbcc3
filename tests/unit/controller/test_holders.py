"""One look at all pods serves every detector that waits for an accelerator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from tests.unit.controller.test_told import GPU, holding

from edgedetector.cluster import kinds
from edgedetector.controller.holders import FREE, HELD, Holders


class Pods:
    """Gives these pods, one by one, and counts how often it was asked."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods, self.asked = list(pods), list[str]()

    async def each(self, _kind: kinds.Kind, namespace: str, _selector: str) -> AsyncGenerator[dict[str, Any], None]:
        self.asked.append(namespace)
        for pod in self.pods:
            await asyncio.sleep(0)
            yield pod


class Site:
    """Holders on a clock that stands still until it is set."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.now, self.client = 100.0, Pods(*pods)
        self.holders = Holders(lambda: self.now)

    async def ask(self, own: str = "site/yard", *namespaces: str, lacking: str = GPU) -> tuple[str, ...]:
        found = await self.holders.of(self.client, namespaces, [lacking], own)  # type: ignore[arg-type]
        return found.get(lacking, ())


async def test_many_detectors_at_once_share_one_look() -> None:
    site = Site(holding("site-b", "dock"), holding("site-c", "yard"))
    found = await asyncio.gather(*(site.ask(f"site/{number}") for number in range(10)))
    assert set(found) == {("site-b/dock", "site-c/yard")}
    assert site.client.asked == [""]
    assert await site.ask("site-b/dock") == ("site-c/yard",), "nobody waits for himself"


async def test_an_answer_is_good_for_a_while_and_that_nobody_has_it_for_a_shorter_one() -> None:
    site = Site(holding("site-b", "dock"))
    await site.ask()
    site.client.pods.clear()
    site.now += HELD - 1
    assert await site.ask() == ("site-b/dock",)
    site.now += 1
    assert await site.ask() == ()
    site.client.pods.append(holding("site-c", "gate"))
    site.now += FREE - 1
    assert await site.ask() == ()
    site.now += 1
    assert await site.ask() == ("site-c/gate",)


async def test_only_the_namespaces_that_are_served_are_looked_into() -> None:
    site = Site()
    await site.ask("site/yard", "site", "site-b")
    assert site.client.asked == ["site", "site-b"]


async def test_nobody_is_asked_while_nothing_is_lacking() -> None:
    site = Site(holding("site-b", "dock"))
    assert await site.holders.of(site.client, (), (), "site/yard") == {}  # type: ignore[arg-type]
    assert site.client.asked == []
