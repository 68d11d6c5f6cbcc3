"""Where addresses lead, as rules of a policy."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.edgedetector import Destinations
from edgedetector.api.errors import InvalidSpecError
from edgedetector.plan.destinations import FORBIDDEN, Endpoint, egress, endpoint, services_namespace

ANYWHERE = [
    {
        "ipBlock": {
            "cidr": "0.0.0.0/0",
            "except": [
                *("127.0.0.0/8", "169.254.0.0/16"),
                *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
            ],
        }
    },
    {"ipBlock": {"cidr": "::/0", "except": ["::1/128", "fe80::/10", "fd00:ec2::/32"]}},
]


def rules(*addresses: str, **more: tuple[Any, ...]) -> list[dict[str, Any]]:
    allowed = Destinations(**more)
    return egress(addresses, allowed, namespace="site-a", usual=(554, 8554), where="spec.networkPolicy.cameras")


def ports(rule: dict[str, Any]) -> list[int]:
    assert {entry["protocol"] for entry in rule["ports"]} == {"TCP"}
    return [entry["port"] for entry in rule["ports"]]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://gate.example/main", Endpoint("gate.example", 554)),
        ("rtsps://gate.example", Endpoint("gate.example", 554)),
        ("RTSP://Gate.Example:8554/a?b=c", Endpoint("gate.example", 8554)),
        ("http://10.0.0.9/mjpeg", Endpoint("10.0.0.9", 80)),
        ("https://[2001:db8::9]/mjpeg", Endpoint("2001:db8::9", 443)),
        ("mqtts://broker", Endpoint("broker", 8883)),
        ("rtsp://gate:0/", None),
        ("rtsp://gate:70000/", None),
        ("ftp://gate/", None),
        ("", None),
        ("rtsp://user:word@gate/", None),
    ],
)
def test_host_and_port(address: str, expected: Endpoint | None) -> None:
    assert endpoint(address) == expected


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("camera", ("site-a", False)),
        ("gate.cams", ("cams", True)),
        ("gate.site-a", ("site-a", False)),
        ("gate.cams.svc", ("cams", False)),
        ("gate.cams.svc.cluster.local", ("cams", False)),
        ("gate.cams.svc.cluster.local.", ("cams", False)),
        ("pod-0.gate.cams.svc", ("cams", False)),
        ("gate.cams.example", ("", True)),
        ("svc.example.org", ("", True)),
    ],
)
def test_the_service_that_a_name_may_mean(host: str, place: tuple[str, bool]) -> None:
    assert services_namespace(host, "site-a") == place


def test_an_address_in_digits_is_reached_alone() -> None:
    (rule,) = rules("rtsp://10.1.2.3/main")
    assert rule["to"] == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]
    assert ports(rule) == [554]
    (six,) = rules("rtsp://[2001:db8::9]:8554/main")
    assert six["to"] == [{"ipBlock": {"cidr": "2001:db8::9/128"}}]


def test_addresses_beside_each_other_become_one_range_and_nothing_more() -> None:
    (rule,) = rules(*(f"rtsp://10.1.2.{n}/main" for n in range(4, 12)), "rtsp://10.1.2.20/main")
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == ["10.1.2.4/30", "10.1.2.8/30", "10.1.2.20/32"]


def test_a_name_of_the_cluster_is_the_pods_of_its_namespace() -> None:
    (own,) = rules("rtsp://camera:7000/main")
    assert own["to"] == [{"podSelector": {}}]
    assert ports(own) == [554, 7000, 8554]
    (other,) = rules("rtsp://gate.cams.svc/main", ports=(9000,))
    assert other["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cams"}}}]
    assert ports(other) == [554, 8554, 9000]


def test_a_name_of_elsewhere_leads_anywhere_but_to_the_node() -> None:
    (rule,) = rules("rtsp://gate.example.org:7000/main")
    assert rule["to"] == ANYWHERE
    assert ports(rule) == [7000]


def test_a_name_that_may_be_either_is_both() -> None:
    outside, inside = rules("rtsp://gate.cams/main")
    assert (outside["to"], ports(outside)) == (ANYWHERE, [554])
    assert "namespaceSelector" in inside["to"][0]


def test_an_address_in_a_secret_has_the_usual_ports_or_those_that_are_named() -> None:
    (usual,) = rules("")
    assert (usual["to"], ports(usual)) == (ANYWHERE, [554, 8554])
    (named,) = rules("", ports=(10554,))
    assert ports(named) == [10554]


def test_ranges_replace_anywhere() -> None:
    (rule,) = rules("rtsp://gate.example.org/main", "", cidrs=("10.20.30.44/24", "0.0.0.0/0", "fd12::/16"))
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    assert blocks == [{"cidr": "10.20.30.0/24"}, ANYWHERE[0]["ipBlock"], {"cidr": "fd12::/16"}]


@pytest.mark.parametrize("cidr", ["10.0.0.0", "10.0.0.0/33", "gate", "", "::ffff:10.0.0.0/120", "300.0.0.0/8"])
def test_a_range_that_is_none_is_an_error_that_names_the_field(cidr: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"^spec\.networkPolicy\.cameras\.cidrs: holds no range"):
        rules("", cidrs=(cidr,))


@pytest.mark.parametrize("cidr", ["127.0.0.0/8", "127.0.0.1/32", "169.254.169.254/32", "fe80::/64", "::1/128"])
def test_a_range_of_the_node_itself_is_an_error(cidr: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"loopback, link-local or metadata addresses; remove it$"):
        rules("", cidrs=(cidr,))


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[fe80::1]", "100.100.100.200"])
def test_an_address_of_the_node_itself_opens_nothing(host: str) -> None:
    assert rules(f"rtsp://{host}/main") == []


HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.from_regex(r"\A[a-z0-9-]{1,8}([.][a-z0-9-]{1,8}){0,3}\Z"),
)
ADDRESSES = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}{port}/x",
    st.sampled_from(["rtsp", "http", "https"]),
    HOSTS,
    st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}")),
)
RANGES = st.one_of(
    st.builds(
        lambda address, bits: str(ipaddress.ip_network(f"{address}/{bits}", strict=False)),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, bits: str(ipaddress.ip_network(f"{address}/{bits}", strict=False)),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
)


@given(st.lists(st.one_of(st.just(""), ADDRESSES, st.text(max_size=20)), max_size=6), st.lists(RANGES, max_size=3))
def test_whatever_is_asked_for_no_rule_leads_to_the_node_and_each_is_one_that_the_api_server_takes(
    addresses: list[str], cidrs: list[str]
) -> None:
    try:
        found = rules(*addresses, cidrs=tuple(cidrs))
    except InvalidSpecError:
        return
    for rule in found:
        assert rule["to"], "a rule without peers would allow everything"
        assert rule["ports"], "a rule without ports would allow every port"
        for peer in rule["to"]:
            if "ipBlock" not in peer:
                continue
            block = ipaddress.ip_network(peer["ipBlock"]["cidr"])
            holes = [ipaddress.ip_network(hole) for hole in peer["ipBlock"].get("except", ())]
            for hole in holes:
                assert hole.subnet_of(block)  # type: ignore[arg-type]
                assert hole.prefixlen > block.prefixlen, "the API server wants it smaller than the block"
            for forbidden in FORBIDDEN:
                if forbidden.version == block.version and forbidden.overlaps(block):
                    assert forbidden in holes
