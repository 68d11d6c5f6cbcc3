"""Which replica serves which camera."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.sharing import Peers, owner, share

CAMERAS = st.frozensets(st.text("abcdefghij-0123456789", min_size=1, max_size=12), max_size=50)
ADDRESSES = st.ip_addresses(v=4).map(str)
REPLICAS = st.frozensets(ADDRESSES, min_size=1, max_size=8)


@given(cameras=CAMERAS, replicas=REPLICAS)
def test_every_camera_has_exactly_one_replica(cameras: frozenset[str], replicas: frozenset[str]) -> None:
    shares = [share(cameras, replicas, own) for own in replicas]
    assert sorted(camera for part in shares for camera in part) == sorted(cameras)


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
    assert share(cameras, frozenset(), own) == cameras


def test_cameras_spread_over_replicas() -> None:
    cameras = [f"camera-{number}" for number in range(900)]
    shares = [share(cameras, frozenset({"10.0.0.1", "10.0.0.2", "10.0.0.3"}), f"10.0.0.{n}") for n in (1, 2, 3)]
    assert all(240 <= len(part) <= 360 for part in shares)


def test_when_dns_fails_the_last_answer_stays() -> None:
    answers: list[frozenset[str] | None] = [frozenset({"10.0.0.1"}), None, frozenset()]

    def resolve(host: str) -> frozenset[str]:
        answer = answers.pop(0)
        if answer is None:
            raise OSError("no name server")
        return answer

    peers = Peers(resolve)
    assert [peers.of("replicas") for _ in range(3)] == [frozenset({"10.0.0.1"}), frozenset({"10.0.0.1"}), frozenset()]


def test_without_a_host_nobody_is_asked() -> None:
    def resolve(host: str) -> frozenset[str]:
        raise AssertionError(host)

    assert Peers(resolve).of("") == frozenset()
