"""Who is woken when a profile or its users change, and whose a profile is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

from edgedetector.cluster import kinds, ownership
from edgedetector.cluster.errors import NotFoundError
from edgedetector.controller import keys
from edgedetector.controller.profiles import ProfileReconciler, Uses

YARD, DOCK = keys.detector("site", "yard"), keys.detector("site", "dock")


class Woken(list[keys.Key]):
    """Keys in the order in which they were woken; `take` empties it."""

    def take(self) -> list[keys.Key]:
        found = list(self)
        self.clear()
        return found


def uses(**profile_of: str) -> tuple[Uses, Woken]:
    """Detectors of the namespace `site` that use these profiles, after everybody was woken for it."""
    woken = Woken()
    found = Uses(woken.append)
    for name, profile in profile_of.items():
        found(keys.detector("site", name), profile)
    woken.clear()
    return found, woken


def test_a_profile_hears_of_users_that_come_go_and_change() -> None:
    found, woken = uses()
    found(YARD, "cpu")
    assert woken.take() == [keys.profile("cpu")]
    found(YARD, "cpu")
    assert woken.take() == []
    found(YARD, "nvidia")
    assert woken.take() == [keys.profile("cpu"), keys.profile("nvidia")]
    found(YARD, "")
    assert woken.take() == [keys.profile("nvidia")]


def test_users_hear_of_another_generation_and_nobody_else_does() -> None:
    found, woken = uses(yard="cpu", dock="nvidia")
    found.saw("cpu", ("uid", 1))
    found.saw("nvidia", ("uid", 1))
    woken.clear()
    found.saw("cpu", ("uid", 1))
    assert woken.take() == []
    found.saw("cpu", ("uid", 2))
    assert woken.take() == [YARD]


def test_users_hear_once_that_their_profile_is_gone_and_that_it_is_there_again() -> None:
    found, woken = uses(yard="cpu")
    found.saw("cpu", ("uid", 1))
    woken.clear()
    found.saw("cpu", None)
    assert woken.take() == [YARD]
    found.saw("cpu", None)
    assert woken.take() == []
    found.saw("cpu", ("other", 1))
    assert woken.take() == [YARD]


def test_a_profile_that_was_replaced_between_two_looks_is_another_one() -> None:
    """Both have generation 1, whatever stands in them."""
    found, woken = uses(yard="cpu")
    found.saw("cpu", ("uid", 1))
    woken.clear()
    found.saw("cpu", ("other", 1))
    assert woken.take() == [YARD]


def test_a_list_teaches_only_what_no_pass_has_told_yet() -> None:
    """It may be older than a pass; whom only the list knows is looked at, so that a deletion meanwhile is found."""
    found, woken = uses(yard="cpu")
    found.learn([(YARD, "nvidia"), (DOCK, "nvidia")])
    assert found.users("cpu") == (YARD,)
    assert found.users("nvidia") == (DOCK,)
    assert woken.take() == [keys.profile("nvidia"), DOCK]


def profile(*managers: str) -> dict[str, Any]:
    entries = [{"manager": name, "operation": "Apply", "fieldsV1": {"f:spec": {"f:triton": {}}}} for name in managers]
    return {"metadata": {"name": "cpu", "uid": "u", "generation": 3, "managedFields": entries}}


def test_a_profile_is_a_part_of_the_release_as_long_as_nobody_else_writes_to_it() -> None:
    assert ownership.version_of(profile(ownership.SHIPPED_MANAGER)) == ""
    assert ownership.version_of(profile(ownership.SHIPPED_MANAGER, "kubectl")) == "u/3"
    assert ownership.version_of(profile("kubectl")) == "u/3"
    assert ownership.version_of({"metadata": {"name": "cpu"}}) == "", "a file"


def test_a_profile_that_somebody_made_has_only_the_name_of_a_shipped_one() -> None:
    assert ownership.is_shipped(profile(ownership.SHIPPED_MANAGER, "kubectl"))
    assert not ownership.is_shipped(profile("kubectl"))


class Kinds:
    """A client for a server that does not have EdgeDetectors as a kind until `detectors` is set."""

    def __init__(self) -> None:
        self.detectors: list[dict[str, Any]] | None = None
        self.lists = 0

    async def each(self, _kind: kinds.Kind, _namespace: str) -> AsyncGenerator[dict[str, Any], None]:
        self.lists += 1
        if self.detectors is None:
            raise NotFoundError("GET edgedetectors: not found")
        for obj in self.detectors:
            yield obj


async def test_while_edgedetectors_are_no_kind_nobody_uses_a_profile_and_one_list_is_made_when_they_are() -> None:
    found, _ = uses()
    client = Kinds()
    shell = SimpleNamespace(client=client, options=SimpleNamespace(namespaces=("site",)))
    reconciler = ProfileReconciler(shell, found)  # type: ignore[arg-type]
    assert not await reconciler._in_use("cpu")
    client.detectors = [
        {"metadata": {"namespace": "site", "name": "yard", "uid": "1"}, "spec": {"acceleratorProfile": "cpu"}}
    ]
    assert await reconciler._in_use("cpu")
    assert not await reconciler._in_use("nvidia")
    assert client.lists == 2
