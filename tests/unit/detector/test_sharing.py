"""Which replica serves which camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import assume, given
from hypothesis import strategies as st

from edgedetector.detector.sharing import assign, limit, owner, weight

CAMERAS = st.frozensets(st.text("abcdefghij-0123456789", min_size=1, max_size=12), max_size=50)
ADDRESSES = st.ip_addresses(v=4).map(str)
REPLICAS = st.frozensets(ADDRESSES, min_size=1, max_size=8)


@given(cameras=CAMERAS, replicas=REPLICAS, lost=ADDRESSES)
def test_a_lost_replica_moves_only_its_own_cameras(
    cameras: frozenset[str], replicas: frozenset[str], lost: str
) -> None:
    for camera in cameras:
        before = owner(camera, replicas | {lost})
        if before != lost:
            assert owner(camera, replicas - {lost} or {before}) == before


@given(cameras=CAMERAS, own=ADDRESSES)
def test_alone_a_replica_serves_everything(cameras: frozenset[str], own: str) -> None:
    assert assign(cameras, frozenset({own})) == dict.fromkeys(cameras, own)


@given(cameras=CAMERAS, replicas=REPLICAS)
def test_no_replica_gets_more_than_the_bound(cameras: frozenset[str], replicas: frozenset[str]) -> None:
    owners = assign(cameras, replicas)
    assert owners.keys() == cameras
    loads = Counter(owners.values())
    assert (
        max(loads.values(), default=0) <= limit(len(cameras), len(replicas)) <= len(cameras) * 5 / 4 / len(replicas) + 1
    )


@given(cameras=CAMERAS, replicas=REPLICAS)
def test_a_camera_is_elsewhere_only_because_those_it_prefers_are_full_of_cameras_that_weigh_more(
    cameras: frozenset[str], replicas: frozenset[str]
) -> None:
    owners = assign(cameras, replicas)
    for camera, replica in owners.items():
        for better in (r for r in replicas if weight(camera, r) > weight(camera, replica)):
            there = [other for other, at in owners.items() if at == better]
            assert len(there) == limit(len(cameras), len(replicas))
            assert all(weight(other, better) > weight(camera, better) for other in there)


@given(cameras=CAMERAS, replicas=REPLICAS, other=ADDRESSES)
def test_when_a_replica_goes_or_comes_only_its_cameras_and_overflow_move(
    cameras: frozenset[str], replicas: frozenset[str], other: str
) -> None:
    without = replicas - {other} or frozenset({"192.0.2.1"}) - {other}
    assume(without)
    few, many = assign(cameras, without), assign(cameras, without | {other})
    its = {camera for camera in cameras if many[camera] == other}
    assert _moved(few, many) <= its | _overflow(few, without) | _overflow(many, without | {other})
    assert len(its) <= limit(len(cameras), len(without) + 1)


def test_how_much_moves_when_one_of_n_goes() -> None:
    """Prints the overflow, which the bound costs; what moves beyond it and the lost replica's own is nothing."""
    for count in (35, 350):
        cameras = frozenset(f"camera-{number}" for number in range(count))
        for n in (2, 3, 4, 6, 8):
            replicas = frozenset(f"10.0.0.{number}" for number in range(1, n + 1))
            own, extra = [], []
            for lost in replicas:
                before, after = assign(cameras, replicas), assign(cameras, replicas - {lost})
                its = {camera for camera in cameras if before[camera] == lost}
                others = _moved(before, after) - its
                assert others <= _overflow(before, replicas) | _overflow(after, replicas - {lost})
                own.append(len(its))
                extra.append(len(others))
            print(
                f"\n{count} cameras, 1 of {n} lost: its own {min(own)}-{max(own)}, "
                f"overflow that moved {min(extra)}-{max(extra)} (mean {sum(extra) / n:.1f})",
                end="",
            )
    print()


def _moved(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {camera for camera in before if before[camera] != after[camera]}


def _overflow(owners: Mapping[str, str], replicas: frozenset[str]) -> set[str]:
    """Return the cameras that the bound keeps from their first choice."""
    return {camera for camera, replica in owners.items() if owner(camera, replicas) != replica}
