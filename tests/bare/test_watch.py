"""Lists, events and conditional writes against a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests import apiserver as bare

from edgedetector.api import names
from edgedetector.cluster import converge, errors, kinds
from edgedetector.cluster.client import PAGE, Client
from edgedetector.cluster.watch import Watch

MAPS, MONITORS = kinds.of("v1", "ConfigMap"), kinds.of("monitoring.coreos.com/v1", "ServiceMonitor")
MANY = PAGE + 20


@pytest.fixture(scope="module")
def server() -> Iterator[bare.Server]:
    """A server of its own, since it begins without the kinds for monitoring."""
    with bare.start() as running:
        for place in ("many", "one", "writes"):
            running.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
        yield running


class Objects(dict[str, dict[str, Any]]):
    """What a watch told, by uid."""

    def __init__(self) -> None:
        self._listed: set[str] = set()

    def begin(self) -> None:
        self._listed = set()

    def saw(self, obj: dict[str, Any]) -> None:
        self[obj["metadata"]["uid"]] = obj
        self._listed.add(obj["metadata"]["uid"])

    def end(self) -> None:
        for uid in set(self) - self._listed:
            del self[uid]

    def gone(self, obj: dict[str, Any]) -> None:
        self.pop(obj["metadata"]["uid"], None)

    @property
    def names(self) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.values()}


@contextlib.asynccontextmanager
async def following(client: Client, kind: kinds.Kind, place: str, objects: Objects) -> AsyncIterator[None]:
    async def soon(_seconds: float) -> None:
        await asyncio.sleep(0.1)

    watch = Watch(client, kind, place, f"{names.LABEL_MANAGED_BY}=test", objects, random.Random(1), pause=soon)
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: str, condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within 30 s: {what}")


def config_map(name: str, place: str, **data: str) -> dict[str, Any]:
    labels = {names.LABEL_MANAGED_BY: "test", names.LABEL_DETECTOR: "yard"}
    metadata = {"name": name, "namespace": place, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_more_objects_than_a_page_then_what_becomes_of_them(server: bare.Server, client: Client) -> None:
    server.apply(*(config_map(f"map-{number}", "many", big="x" * 1000) for number in range(MANY)))
    objects = Objects()
    async with following(client, MAPS, "many", objects):
        await until("all are told", lambda: len(objects) == MANY)
        assert not any("data" in obj for obj in objects.values())  # metadata alone
        server.delete(config_map("map-0", "many"))
        server.apply(config_map("new", "many"))
        await until("events are told", lambda: "map-0" not in objects.names and "new" in objects.names)
    server.delete(config_map("map-1", "many"))  # while nobody watches
    async with following(client, MAPS, "many", objects):
        await until("what vanished is told", lambda: "map-1" not in objects.names)
    assert len(objects) == MANY - 1


async def test_a_kind_that_comes_goes_and_comes_back(server: bare.Server, client: Client) -> None:
    objects = Objects()
    crds = bare.monitoring_crds("stub")
    monitor = {**config_map("monitor", "one"), "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor"}
    async with following(client, MONITORS, "one", objects):
        server.define(*crds)
        server.apply(monitor)
        await until("it is told once its kind is served", lambda: objects.names == {"monitor"})
        server.delete(crds[0])
        await until("nothing of a kind that is not served is left", lambda: not objects)
        bare.until("the definition is gone", lambda: server.get(server.path(crds[0])) is None)
        server.define(*crds)
        server.apply(monitor)
        await until("it is told again", lambda: objects.names == {"monitor"})


async def test_what_is_new_is_made_only_if_nobody_has_the_name(server: bare.Server, client: Client) -> None:
    wanted = config_map("wanted", "writes", ours="1")
    wanted["metadata"]["ownerReferences"] = [
        {"apiVersion": names.API_VERSION, "kind": "EdgeDetector", "name": "yard", "uid": "1"}
    ]
    made = await converge.converge(client, [wanted], (), "1", "edgedetector")
    assert made.applied == ("ConfigMap/wanted: new",)
    again = await converge.converge(client, [wanted], made.children, "1", "edgedetector")
    blind = await converge.converge(client, [wanted], (), "1", "edgedetector")
    assert (again.applied, blind.applied) == ((), ())

    stranger = config_map("theirs", "writes", theirs="1")
    server.apply(stranger)
    mine = {**wanted, "metadata": {**wanted["metadata"], "name": "theirs"}}
    outcome = await converge.converge(client, [mine], (), "1", "edgedetector")
    assert outcome.taken == ("ConfigMap theirs",)
    assert server.get(server.path(stranger))["data"] == {"theirs": "1"}


async def test_what_was_replaced_since_the_look_is_not_applied_over(server: bare.Server, client: Client) -> None:
    wanted = config_map("replaced", "writes", ours="1")
    seen = await client.apply(wanted, "edgedetector")
    server.delete(wanted)
    server.apply(config_map("replaced", "writes", theirs="1"))
    with pytest.raises(errors.ConflictError):
        await client.apply(wanted, "edgedetector", only={"uid": seen["metadata"]["uid"]})
    assert server.get(server.path(wanted))["data"] == {"theirs": "1"}


async def test_a_list_from_memory_has_what_was_just_written(client: Client) -> None:
    selector = f"{names.LABEL_DETECTOR}=yard"
    for number in range(30):
        body = config_map("again", "writes", count=str(number))
        await client.apply(body, "edgedetector")
        listed = await client.list_known(MAPS, "writes", selector)
        assert [obj["data"] for obj in listed if obj["metadata"]["name"] == "again"] == [{"count": str(number)}]
