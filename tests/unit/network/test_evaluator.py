"""The evaluator of NetworkPolicies says what their documentation says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.network.evaluator import Flow, Pod, Verdict, World, judge, selects

WEB = Pod("shop", "web", frozenset({"10.0.0.1"}), {"app": "web"}, {("http", "TCP"): 8080})
DATABASE = Pod("shop", "db", frozenset({"10.0.0.2", "fd00::2"}), {"app": "db"}, {("sql", "TCP"): 5432})
STRANGER = Pod("lab", "web", frozenset({"10.0.1.1"}), {"app": "web"}, {("http", "TCP"): 8081})
NODE = "192.168.1.10"
OUTSIDE = "203.0.113.7"


def policy(selector: Any, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": selector, **spec}}


def world(*policies: dict[str, Any]) -> World:
    namespaces = {name: {"kubernetes.io/metadata.name": name} for name in ("shop", "lab")}
    return World(policies, (WEB, DATABASE, STRANGER), namespaces, frozenset({NODE}))


def to_database(source: str = "10.0.0.1", port: int = 5432, protocol: str = "TCP") -> Flow:
    return Flow(source, "10.0.0.2", port, protocol)


def database(*ingress: dict[str, Any]) -> dict[str, Any]:
    return policy({"matchLabels": {"app": "db"}}, policyTypes=["Ingress"], ingress=list(ingress))


FROM_WEB = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}


def test_without_a_policy_that_selects_it_a_pod_is_open() -> None:
    assert judge(world(), to_database()).allowed
    assert judge(world(policy({"matchLabels": {"app": "other"}}, policyTypes=["Ingress"])), to_database()).allowed
    elsewhere = policy({}, namespace="lab", policyTypes=["Ingress"])
    assert judge(world(elsewhere), to_database()).allowed


def test_a_policy_without_rules_denies_everything_that_comes_in() -> None:
    for source in ("10.0.0.1", "10.0.1.1", OUTSIDE):
        assert judge(world(database()), to_database(source)) == Verdict(allowed=False, why="ingress of shop/db")
    assert judge(world(database()), Flow("10.0.0.2", "10.0.0.1", 8080)).allowed, "nothing was said of leaving"


def test_what_any_policy_allows_is_allowed() -> None:
    closed, opened = database(), database(FROM_WEB)
    assert judge(world(closed, opened), to_database()).allowed
    assert judge(world(opened, closed), to_database()).allowed
    assert not judge(world(closed), to_database()).allowed


def test_leaving_and_coming_in_are_both_needed() -> None:
    leave = policy({"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[])
    assert judge(world(database(FROM_WEB), leave), to_database()) == Verdict(allowed=False, why="egress of shop/web")
    may = policy({"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{"ports": [{"port": 5432}]}])
    assert judge(world(database(FROM_WEB), may), to_database()).allowed
    assert judge(world(database(), may), to_database()).why == "ingress of shop/db"


def test_which_directions_count_if_a_policy_does_not_say() -> None:
    assert not judge(world(policy({})), to_database()).allowed
    assert judge(world(policy({})), Flow("10.0.0.2", OUTSIDE, 443)).allowed
    with_egress = policy({}, egress=[{"ports": [{"port": 53}]}])
    assert not judge(world(with_egress), Flow("10.0.0.2", OUTSIDE, 443)).allowed


def test_a_selector_of_pods_alone_means_the_policys_namespace() -> None:
    assert judge(world(database(FROM_WEB)), to_database("10.0.0.1")).allowed
    assert not judge(world(database(FROM_WEB)), to_database("10.0.1.1")).allowed, "faked labels elsewhere"


def test_selectors_of_namespace_and_pods_in_one_peer_must_both_match_and_in_two_either() -> None:
    lab = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "lab"}}}
    other = {"podSelector": {"matchLabels": {"app": "other"}}}
    assert judge(world(database({"from": [lab]})), to_database("10.0.1.1")).allowed
    assert not judge(world(database({"from": [lab | other]})), to_database("10.0.1.1")).allowed
    assert judge(world(database({"from": [lab, other]})), to_database("10.0.1.1")).allowed
    assert judge(world(database({"from": [{"namespaceSelector": {}}]})), to_database("10.0.1.1")).allowed


def test_a_block_has_holes() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
    leave = policy({"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{"to": [block]}])
    assert judge(world(leave), Flow("10.0.0.1", OUTSIDE, 443)).allowed
    assert not judge(world(leave), Flow("10.0.0.1", "169.254.169.254", 80)).allowed
    assert not judge(world(leave), Flow("10.0.0.1", "2001:db8::1", 80)).allowed


def test_whether_a_block_matches_pods_is_the_networks_choice() -> None:
    block = database({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})
    assert not judge(world(block), to_database()).allowed
    assert judge(world(block), to_database(), blocks_match_pods=True).allowed


@pytest.mark.parametrize(
    ("ports", "port", "protocol", "allowed"),
    [
        ([{"port": 5432}], 5432, "TCP", True),
        ([{"port": 5432}], 5433, "TCP", False),
        ([{"port": 5432}], 5432, "UDP", False),
        ([{"port": 5432, "protocol": "UDP"}], 5432, "UDP", True),
        ([{"protocol": "UDP"}], 9, "UDP", True),
        ([{"protocol": "UDP"}], 9, "TCP", False),
        ([{"port": 5000, "endPort": 6000}], 5432, "TCP", True),
        ([{"port": 5000, "endPort": 5400}], 5432, "TCP", False),
        ([{"port": "sql"}], 5432, "TCP", True),
        ([{"port": "sql"}], 5433, "TCP", False),
        ([{"port": "sql", "protocol": "UDP"}], 5432, "UDP", False),
        ([{"port": "http"}], 8080, "TCP", False),
        ([{"port": 1}, {"port": 5432}], 5432, "TCP", True),
        ([], 1, "TCP", True),
    ],
)
def test_ports(ports: list[dict[str, Any]], port: int, protocol: str, allowed: bool) -> None:  # noqa: FBT001
    assert judge(world(database({"ports": ports})), to_database(port=port, protocol=protocol)).allowed is allowed


def test_a_named_port_is_the_destinations() -> None:
    leave = policy({"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{"ports": [{"port": "http"}]}])
    assert judge(world(leave), Flow("10.0.0.1", "10.0.1.1", 8081)).allowed
    assert not judge(world(leave), Flow("10.0.0.1", "10.0.1.1", 8080)).allowed
    assert not judge(world(leave), Flow("10.0.0.1", OUTSIDE, 8080)).allowed, "nobody names the ports of a stranger"


def test_the_kubelet_always_comes_in_and_a_pod_always_reaches_itself() -> None:
    assert judge(world(database()), to_database(NODE)).allowed
    closed = policy({}, policyTypes=["Ingress", "Egress"])
    assert judge(world(closed), Flow("fd00::2", "10.0.0.2", 5432)).allowed
    assert not judge(world(closed), Flow("10.0.0.2", NODE, 10250)).allowed, "the way to the node is not free"


def test_a_pod_is_read_from_the_api_servers_object() -> None:
    named = {"name": "api", "containerPort": 1984}
    sidecar = {"name": "config", "restartPolicy": "Always", "ports": [named]}
    nameless = {"name": "main", "ports": [{"containerPort": 5, "protocol": "UDP"}]}
    obj = {
        "metadata": {"namespace": "n", "name": "p", "labels": {"a": "b"}},
        "spec": {"initContainers": [sidecar], "containers": [nameless]},
        "status": {"podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}]},
    }
    wanted = Pod("n", "p", frozenset({"10.0.0.9", "fd00::9"}), {"a": "b"}, {("api", "TCP"): 1984})
    assert Pod.of(obj) == wanted


@pytest.mark.parametrize(
    ("operator", "values", "labels", "holds"),
    [
        ("In", ["web", "db"], {"app": "web"}, True),
        ("In", ["db"], {"app": "web"}, False),
        ("In", ["db"], {}, False),
        ("NotIn", ["db"], {"app": "web"}, True),
        ("NotIn", ["web"], {"app": "web"}, False),
        ("NotIn", ["web"], {}, True),
        ("Exists", None, {"app": ""}, True),
        ("Exists", None, {}, False),
        ("DoesNotExist", None, {}, True),
        ("DoesNotExist", None, {"app": "web"}, False),
    ],
)
def test_expressions(operator: str, values: list[str] | None, labels: dict[str, str], holds: bool) -> None:  # noqa: FBT001
    selector = {"matchExpressions": [{"key": "app", "operator": operator} | ({"values": values} if values else {})]}
    assert selects(selector, labels) is holds


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
SELECTORS = st.one_of(st.just({}), LABELS.map(lambda labels: {"matchLabels": labels}))
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SELECTORS, "podSelector": SELECTORS}),
    st.sampled_from(["10.0.0.0/8", "10.0.0.0/31", "203.0.113.0/24"]).map(lambda cidr: {"ipBlock": {"cidr": cidr}}),
)
PORTS = st.lists(st.fixed_dictionaries({"port": st.integers(1, 3)}), max_size=2)


def rules(side: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({side: st.lists(PEERS, max_size=2), "ports": PORTS}), max_size=2)


POLICIES = st.builds(
    lambda selector, namespace, types, ingress, egress: policy(
        selector, namespace, policyTypes=types, ingress=ingress, egress=egress
    ),
    SELECTORS,
    st.sampled_from(["shop", "lab"]),
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    rules("from"),
    rules("to"),
)
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "203.0.113.9"])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pods = tuple(
        Pod(draw(st.sampled_from(["shop", "lab"])), f"p{n}", frozenset({f"10.0.0.{n}"}), draw(LABELS))
        for n in (1, 2, 3)
    )
    return World(tuple(draw(st.lists(POLICIES, max_size=4))), pods, {name: draw(LABELS) for name in ("shop", "lab")})


FLOWS = st.builds(Flow, ADDRESSES, ADDRESSES, st.integers(1, 3))


@given(worlds(), FLOWS)
def test_the_lenient_reading_allows_whatever_the_strict_one_does(some: World, flow: Flow) -> None:
    if judge(some, flow).allowed:
        assert judge(some, flow, blocks_match_pods=True).allowed


@given(worlds(), FLOWS, st.booleans())
def test_a_flow_is_allowed_exactly_if_each_half_of_it_is(some: World, flow: Flow, lenient: bool) -> None:  # noqa: FBT001
    def half(direction: str) -> bool:
        kept = [
            obj | {"spec": obj["spec"] | {"policyTypes": [direction]}}
            for obj in some.policies
            if direction in obj["spec"]["policyTypes"]
        ]
        return judge(World(tuple(kept), some.pods, some.namespaces), flow, blocks_match_pods=lenient).allowed

    assert judge(some, flow, blocks_match_pods=lenient).allowed == (half("Ingress") and half("Egress"))


@given(worlds(), FLOWS, st.permutations(range(4)))
def test_the_order_of_policies_does_not_matter(some: World, flow: Flow, order: list[int]) -> None:
    shuffled = tuple(some.policies[n] for n in order if n < len(some.policies))
    assert judge(World(shuffled, some.pods, some.namespaces), flow) == judge(some, flow)


@given(worlds(), FLOWS)
def test_a_rule_more_never_forbids(some: World, flow: Flow) -> None:
    """Policies add up: only selecting a pod for the first time takes something away."""
    opened = [
        obj | {"spec": obj["spec"] | {"ingress": [*obj["spec"]["ingress"], {}], "egress": [*obj["spec"]["egress"], {}]}}
        for obj in some.policies
    ]
    assert judge(World(tuple(opened), some.pods, some.namespaces), flow).allowed
