"""Lines of the node's connection tracking, as conntrack 1.4.7 prints them."""

from __future__ import annotations

import pytest
from tests.network.evaluator import Flow

from flows import Connection

DIRECT = (
    "ipv4     2 tcp      6 86399 ESTABLISHED src=10.244.0.6 dst=10.244.0.5 sport=34262 dport=8554"
    " src=10.244.0.5 dst=10.244.0.6 sport=8554 dport=34262 [ASSURED] mark=0 use=1"
)
SERVICE = (
    "ipv4     2 udp      17 29 src=10.244.0.6 dst=10.96.0.10 sport=40000 dport=53"
    " src=10.243.0.2 dst=10.244.0.6 sport=53 dport=40000 mark=0 use=1"
)
MASQUERADED = (
    "ipv4     2 tcp      6 100 TIME_WAIT src=10.244.0.6 dst=10.96.7.7 sport=40001 dport=80"
    " src=10.244.0.9 dst=10.244.0.1 sport=8080 dport=1025 [ASSURED] mark=0 use=1"
)
UNANSWERED = (
    "ipv4     2 tcp      6 118 SYN_SENT src=10.244.0.6 dst=203.0.113.9 sport=40002 dport=443 [UNREPLIED]"
    " src=203.0.113.9 dst=10.244.0.6 sport=443 dport=40002 mark=0 use=1"
)
SIX = (
    "ipv6     10 tcp      6 86398 ESTABLISHED src=fd00::6 dst=fd00::5 sport=53500 dport=8554"
    " src=fd00::5 dst=fd00::6 sport=8554 dport=53500 [ASSURED] mark=0 use=1"
)


@pytest.mark.parametrize(
    ("line", "flow", "source_port"),
    [
        (DIRECT, Flow("10.244.0.6", "10.244.0.5", 8554), 34262),
        (SERVICE, Flow("10.244.0.6", "10.243.0.2", 53, "UDP"), 40000),
        (MASQUERADED, Flow("10.244.0.6", "10.244.0.9", 8080), 40001),
        (UNANSWERED, Flow("10.244.0.6", "203.0.113.9", 443), 40002),
        (SIX, Flow("fd00::6", "fd00::5", 8554), 53500),
    ],
    ids=["direct", "through a Service", "with another source's address", "unanswered", "IPv6"],
)
def test_who_reaches_whom(line: str, flow: Flow, source_port: int) -> None:
    assert Connection.parse(line) == Connection(flow, source_port)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1 src=10.0.0.2 dst=10.0.0.1 type=0 code=0",
        "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been shown.",
    ],
)
def test_what_is_no_connection_is_passed_over(line: str) -> None:
    assert Connection.parse(line) is None
