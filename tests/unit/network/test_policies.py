"""The policies of a detector let through what it needs and stop what an attacker wants."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from tests.network.evaluator import Flow, Pod, World, judge
from tests.unit.chart import rendered
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import children, detector, minimal

from edgedetector.plan import profile_children

CAMERAS = [
    {"name": "gate", "url": "rtsp://gate.cams.svc/main"},
    {"name": "dock", "url": "rtsp://10.9.0.7:7554/main"},
    {"name": "yard", "url": "rtsp://camera:8554/main"},
]
SPEC = minimal(acceleratorProfile="denglin-ks20", cameras=CAMERAS, scaling={"maxReplicas": 2})
NODE = "192.168.1.10"
API_SERVER = "192.168.1.10"
METADATA = "169.254.169.254"
INTERNET = "203.0.113.9"


def labels(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, str]:
    found = scenarios.child(objects, kind, name)["spec"]["template"]["metadata"]["labels"]
    return dict(found)


@functools.cache
def chart() -> tuple[dict[str, Any], ...]:
    """What the chart installs: the operator and its own policy, without which it could go anywhere."""
    return tuple(rendered.render())


def installed(kind: str) -> dict[str, Any]:
    (found,) = rendered.of(list(chart()), kind)
    return found


def world(spec: dict[str, Any] = SPEC) -> World:
    """Detector yard of site-a, a second one beside it, the exporter, the operator of the chart, and others."""
    ours, beside = children(detector("yard", spec)), children(detector("other", spec))
    exporter = list(profile_children(scenarios.PROFILES["denglin-ks20"], scenarios.SETTINGS, scenarios.FACTS))
    exported = labels(exporter, "DaemonSet", "edgedetector-exporter-denglin-ks20")
    operator = installed("Deployment")["spec"]["template"]["metadata"]["labels"]
    triton, media = labels(ours, "Deployment", "yard-triton"), labels(ours, "Deployment", "yard-media")

    def pod(name: str, address: str, its: dict[str, str] | None = None) -> Pod:
        namespace, _, short = name.partition("/")
        return Pod(namespace, short, frozenset({address}), its or {})

    pods = (
        pod("site-a/triton", "10.0.1.1", triton),
        pod("site-a/triton-2", "10.0.1.2", triton),
        pod("site-a/media", "10.0.1.3", media),
        pod("site-a/other-triton", "10.0.1.4", labels(beside, "Deployment", "other-triton")),
        pod("site-a/other-media", "10.0.1.5", labels(beside, "Deployment", "other-media")),
        pod("site-a/web", "10.0.1.6"),
        pod("site-a/client", "10.0.1.7", {"edgedetector.dev/triton-client": "true"}),
        pod("site-a/camera", "10.0.1.8"),
        pod("cams/gate", "10.0.2.1"),
        pod("lab/fake-operator", "10.0.3.1", operator),
        pod("lab/fake-triton", "10.0.3.2", triton),
        pod("lab/fake-media", "10.0.3.3", media),
        pod("lab/fake-client", "10.0.3.4", {"edgedetector.dev/triton-client": "true"}),
        pod("edgedetector-system/operator", "10.0.4.1", operator),
        pod("edgedetector-system/exporter", "10.0.4.2", exported),
        pod("monitoring/prometheus", "10.0.5.1"),
        pod("kube-system/dns", "10.0.6.1", {"k8s-app": "kube-dns"}),
        pod("kube-system/proxy", "10.0.6.2", {"k8s-app": "kube-proxy"}),
    )
    policies = [o for o in (*ours, *beside, *exporter, *chart()) if o["kind"] == "NetworkPolicy"]
    names = {p.namespace for p in pods}
    return World(
        tuple(policies), pods, {name: {"kubernetes.io/metadata.name": name} for name in names}, frozenset({NODE})
    )


def flow(some: World, source: str, destination: str, port: int, protocol: str = "TCP") -> Flow:
    """A flow between pods, by name, or addresses."""
    named = {f"{pod.namespace}/{pod.name}": next(iter(pod.addresses)) for pod in some.pods}
    return Flow(named.get(source, source), named.get(destination, destination), port, protocol)


NEEDED = [
    ("site-a/triton", "site-a/media", 8554, "TCP"),
    ("site-a/triton", "site-a/triton-2", 9090, "TCP"),
    ("site-a/triton", "kube-system/dns", 53, "UDP"),
    ("site-a/triton", "kube-system/dns", 53, "TCP"),
    ("site-a/media", "kube-system/dns", 53, "UDP"),
    ("site-a/media", "cams/gate", 554, "TCP"),
    ("site-a/media", "cams/gate", 8554, "TCP"),
    ("site-a/media", "10.9.0.7", 7554, "TCP"),
    ("site-a/media", "site-a/camera", 8554, "TCP"),
    ("edgedetector-system/operator", "site-a/triton", 9090, "TCP"),
    ("edgedetector-system/operator", "site-a/media", 1984, "TCP"),
    ("edgedetector-system/operator", API_SERVER, 6443, "TCP"),
    ("edgedetector-system/operator", "kube-system/dns", 53, "UDP"),
    ("monitoring/prometheus", "edgedetector-system/operator", 9090, "TCP"),
    ("monitoring/prometheus", "site-a/triton", 9090, "TCP"),
    ("monitoring/prometheus", "site-a/triton", 8002, "TCP"),
    ("monitoring/prometheus", "site-a/media", 1984, "TCP"),
    ("monitoring/prometheus", "edgedetector-system/exporter", 9400, "TCP"),
    ("site-a/triton", "edgedetector-system/exporter", 9400, "TCP"),
    ("site-a/client", "site-a/triton", 8001, "TCP"),
    (NODE, "site-a/triton", 8001, "TCP"),
    (NODE, "site-a/media", 1984, "TCP"),
]

# Of the operator's: Triton is read by Prometheus alone, exporters by detectors, too.
UNASKED = [
    ("edgedetector-system/operator", "site-a/triton", 8001, "TCP"),
    ("edgedetector-system/operator", "site-a/triton", 8002, "TCP"),
    ("edgedetector-system/operator", "site-a/media", 8554, "TCP"),
    ("edgedetector-system/operator", "edgedetector-system/exporter", 9400, "TCP"),
]

ATTACKS = [
    *UNASKED,
    ("edgedetector-system/operator", "site-a/camera", 9090, "TCP"),
    ("edgedetector-system/operator", "cams/gate", 554, "TCP"),
    ("edgedetector-system/operator", "kube-system/proxy", 53, "UDP"),
    ("edgedetector-system/operator", INTERNET, 80, "TCP"),
    ("edgedetector-system/operator", METADATA, 80, "TCP"),
    ("site-a/web", "edgedetector-system/operator", 9090, "TCP"),
    ("site-a/triton", "edgedetector-system/operator", 9090, "TCP"),
    ("edgedetector-system/exporter", "edgedetector-system/operator", 9090, "TCP"),
    ("site-a/web", "site-a/triton", 8001, "TCP"),
    ("site-a/web", "site-a/triton", 8002, "TCP"),
    ("site-a/web", "site-a/triton", 9090, "TCP"),
    ("site-a/web", "site-a/triton", 9091, "TCP"),
    ("site-a/client", "site-a/triton", 9090, "TCP"),
    ("lab/fake-client", "site-a/triton", 8001, "TCP"),
    ("lab/fake-operator", "site-a/triton", 9090, "TCP"),
    ("lab/fake-operator", "site-a/media", 1984, "TCP"),
    ("lab/fake-triton", "site-a/media", 8554, "TCP"),
    ("lab/fake-triton", "site-a/triton", 9090, "TCP"),
    ("site-a/web", "site-a/media", 1984, "TCP"),
    ("site-a/web", "site-a/media", 1985, "TCP"),
    ("site-a/web", "site-a/media", 1986, "TCP"),
    ("site-a/web", "site-a/media", 8554, "TCP"),
    ("site-a/other-triton", "site-a/media", 8554, "TCP"),
    ("site-a/other-triton", "site-a/triton", 9090, "TCP"),
    ("site-a/triton", "site-a/media", 1984, "TCP"),
    ("site-a/triton", "site-a/other-media", 8554, "TCP"),
    ("site-a/media", "site-a/triton", 9090, "TCP"),
    ("site-a/media", "site-a/triton", 8001, "TCP"),
    ("monitoring/prometheus", "site-a/triton", 8001, "TCP"),
    ("monitoring/prometheus", "site-a/media", 8554, "TCP"),
    ("edgedetector-system/exporter", "site-a/triton", 9090, "TCP"),
    ("edgedetector-system/exporter", API_SERVER, 6443, "TCP"),
    ("edgedetector-system/exporter", INTERNET, 443, "TCP"),
    ("edgedetector-system/exporter", "kube-system/dns", 53, "UDP"),
    ("site-a/web", "edgedetector-system/exporter", 9400, "TCP"),
    (INTERNET, "site-a/triton", 8001, "TCP"),
    (INTERNET, "site-a/media", 8554, "TCP"),
    ("site-a/triton", INTERNET, 443, "TCP"),
    ("site-a/triton", INTERNET, 53, "UDP"),
    ("site-a/triton", API_SERVER, 6443, "TCP"),
    ("site-a/triton", METADATA, 80, "TCP"),
    ("site-a/triton", "cams/gate", 554, "TCP"),
    ("site-a/triton", "kube-system/proxy", 53, "UDP"),
    ("site-a/triton", "lab/fake-media", 8554, "TCP"),
    ("site-a/media", API_SERVER, 6443, "TCP"),
    ("site-a/media", METADATA, 80, "TCP"),
    ("site-a/media", METADATA, 554, "TCP"),
    ("site-a/media", INTERNET, 554, "TCP"),
    ("site-a/media", "10.9.0.8", 7554, "TCP"),
    ("site-a/media", "lab/fake-media", 8554, "TCP"),
]


@pytest.mark.parametrize(("source", "destination", "port", "protocol"), NEEDED)
def test_what_a_detector_needs_is_let_through(source: str, destination: str, port: int, protocol: str) -> None:
    some = world()
    assert judge(some, flow(some, source, destination, port, protocol)).allowed


@pytest.mark.parametrize(("source", "destination", "port", "protocol"), ATTACKS)
def test_what_nobody_needs_is_stopped(source: str, destination: str, port: int, protocol: str) -> None:
    some = world()
    assert not judge(some, flow(some, source, destination, port, protocol), blocks_match_pods=True).allowed


@pytest.mark.parametrize(("source", "destination", "port", "protocol"), UNASKED)
def test_what_the_operator_has_no_business_with_is_closed_on_the_pods_side_too(
    source: str, destination: str, port: int, protocol: str
) -> None:
    own = installed("NetworkPolicy")
    some = world()
    some = replace(some, policies=tuple(policy for policy in some.policies if policy != own))
    assert judge(some, flow(some, source, INTERNET, 80)).allowed, "its own policy is off"
    assert not judge(some, flow(some, source, destination, port, protocol), blocks_match_pods=True).allowed


def test_without_a_namespace_of_prometheus_nobody_scrapes() -> None:
    """An empty list of peers would let in everybody."""
    settings = replace(scenarios.SETTINGS, prometheus_namespaces=())
    exporter = list(profile_children(scenarios.PROFILES["denglin-ks20"], settings, scenarios.FACTS))
    (closed,) = rendered.of(exporter, "NetworkPolicy")
    assert [len(rule["from"]) for rule in closed["spec"]["ingress"]] == [2], "detectors and tests of the profile alone"
    objects = [*children(detector("yard", SPEC), settings), *exporter]
    some = replace(world(), policies=tuple(o for o in objects if o["kind"] == "NetworkPolicy"))
    for source in ("monitoring/prometheus", "site-a/web", INTERNET):
        for target in (("site-a/triton", 8002), ("site-a/media", 1984), ("edgedetector-system/exporter", 9400)):
            assert not judge(some, flow(some, source, *target), blocks_match_pods=True).allowed
    assert judge(some, flow(some, "edgedetector-system/operator", "site-a/triton", 9090)).allowed


def test_with_a_camera_in_a_secret_the_media_server_goes_far_and_still_not_to_the_node() -> None:
    some = world(minimal(cameras=[{"name": "gate", "urlSecretRef": {"name": "gate"}}]))
    assert judge(some, flow(some, "site-a/media", INTERNET, 554)).allowed
    for address, port in ((METADATA, 554), ("169.254.1.1", 8554), ("127.0.0.1", 554), (INTERNET, 443), (NODE, 6443)):
        assert not judge(some, flow(some, "site-a/media", address, port), blocks_match_pods=True).allowed


def test_replicas_ask_each_other_where_one_alone_is_wanted_too() -> None:
    """Those that are to go do so until they are gone: cut off, each would take the cameras of the others."""
    some = world(minimal(cameras=CAMERAS))
    assert judge(some, flow(some, "site-a/triton", "site-a/triton-2", 9090)).allowed
    assert not judge(some, flow(some, "site-a/triton", "site-a/triton-2", 8001)).allowed


@pytest.mark.parametrize(
    ("outputs", "destination", "port"),
    [
        ({"mqtt": {"url": "mqtts://broker.example.org"}}, INTERNET, 8883),
        ({"webhook": {"url": "http://site-a-hook:9000/x"}}, "site-a/web", 9000),
    ],
)
def test_outputs_open_the_way_to_where_they_go(outputs: dict[str, Any], destination: str, port: int) -> None:
    without, some = world(), world(minimal(cameras=CAMERAS, outputs=outputs))
    assert not judge(without, flow(without, "site-a/triton", destination, port), blocks_match_pods=True).allowed
    assert judge(some, flow(some, "site-a/triton", destination, port)).allowed
    assert not judge(some, flow(some, "site-a/triton", METADATA, port), blocks_match_pods=True).allowed


def test_events_are_for_those_who_are_meant_to_watch_and_only_where_a_token_guards_them() -> None:
    watcher = Pod("lab", "watcher", frozenset({"10.0.3.9"}), {"edgedetector.dev/events-client": "true"})
    guarded = {"events": {"tokenSecretRef": {"name": "viewers"}}}
    closed, open_ = world(minimal(cameras=CAMERAS)), world(minimal(cameras=CAMERAS, outputs=guarded))
    closed, open_ = (replace(some, pods=(*some.pods, watcher)) for some in (closed, open_))
    assert judge(open_, flow(open_, "lab/watcher", "site-a/triton", 9091)).allowed
    assert not judge(open_, flow(open_, "lab/watcher", "site-a/triton", 9090), blocks_match_pods=True).allowed
    assert not judge(open_, flow(open_, "site-a/web", "site-a/triton", 9091), blocks_match_pods=True).allowed
    assert not judge(open_, flow(open_, INTERNET, "site-a/triton", 9091), blocks_match_pods=True).allowed
    assert not judge(closed, flow(closed, "lab/watcher", "site-a/triton", 9091), blocks_match_pods=True).allowed


def fetching(url: str, **models: Any) -> dict[str, Any]:
    """A specification whose model comes over HTTPS."""
    spec = minimal(cameras=CAMERAS, networkPolicy={"models": models})
    spec["models"][0]["source"] = {"http": {"url": url, "sha256": "0" * 64}}
    return spec


def test_a_model_from_elsewhere_opens_its_servers_port_and_neither_the_node_nor_the_api_server() -> None:
    some = world(fetching("https://models.example.org/people.plan"))
    assert judge(some, flow(some, "site-a/triton", INTERNET, 443)).allowed
    for address, port in ((METADATA, 443), (INTERNET, 80), (API_SERVER, 6443), ("site-a/web", 8080)):
        assert not judge(some, flow(some, "site-a/triton", address, port), blocks_match_pods=True).allowed


def test_ranges_hold_a_model_server_to_where_it_is() -> None:
    some = world(fetching("https://models.example.org/people.plan", cidrs=["198.51.100.0/24"]))
    assert judge(some, flow(some, "site-a/triton", "198.51.100.7", 443)).allowed
    assert not judge(some, flow(some, "site-a/triton", INTERNET, 443), blocks_match_pods=True).allowed


def test_a_model_server_beside_the_detector_is_reached_on_its_pods_port() -> None:
    some = world(fetching("https://models/people.plan", ports=[9443]))
    for port in (443, 8443, 9443):
        assert judge(some, flow(some, "site-a/triton", "site-a/web", port)).allowed
    assert not judge(some, flow(some, "site-a/triton", "cams/gate", 443), blocks_match_pods=True).allowed
    assert not judge(some, flow(some, "site-a/triton", INTERNET, 443), blocks_match_pods=True).allowed


def test_policies_can_be_switched_off_by_the_user_and_by_the_installation() -> None:
    def kinds(spec: dict[str, Any], *, made: bool = True) -> set[str]:
        settings = replace(scenarios.SETTINGS, network_policies=made)
        return {o["kind"] for o in children(detector("yard", spec), settings)}

    assert "NetworkPolicy" in kinds(minimal())
    assert "NetworkPolicy" not in kinds(minimal(networkPolicy={"enabled": False}))
    assert "NetworkPolicy" not in kinds(minimal(), made=False)
    profile = scenarios.PROFILES["denglin-ks20"]
    settings = replace(scenarios.SETTINGS, network_policies=False)
    assert all(o["kind"] != "NetworkPolicy" for o in profile_children(profile, settings, scenarios.FACTS))


def test_a_cache_of_names_on_the_node_is_let_through_on_demand() -> None:
    settings = replace(scenarios.SETTINGS, dns_cidrs=("169.254.20.10/32",))
    objects = children(detector("yard", SPEC), settings)
    some = replace(world(), policies=tuple(o for o in objects if o["kind"] == "NetworkPolicy"))
    assert judge(some, flow(some, "site-a/triton", "169.254.20.10", 53, "UDP")).allowed
    assert not judge(some, flow(some, "site-a/triton", METADATA, 53, "UDP"), blocks_match_pods=True).allowed


def test_prometheus_may_live_elsewhere() -> None:
    settings = replace(scenarios.SETTINGS, prometheus_namespaces=("lab",))
    objects = children(detector("yard", SPEC), settings)
    some = replace(world(), policies=tuple(o for o in objects if o["kind"] == "NetworkPolicy"))
    assert judge(some, flow(some, "lab/fake-client", "site-a/triton", 8002)).allowed
    assert not judge(some, flow(some, "monitoring/prometheus", "site-a/triton", 8002)).allowed
