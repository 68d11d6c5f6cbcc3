"""Which Host a request through a forwarded port may bear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.hosts import foreign

FORWARDED = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("client", FORWARDED)
@pytest.mark.parametrize(
    "host",
    ["", "localhost", "localhost:9091", "LocalHost:1", "127.0.0.1:40001", "[::1]:9091", "[::1]", "192.168.1.7:8080",
     "yard-detector.site.svc", "yard-detector.site.svc.cluster.local:9090"],
)  # fmt: skip
def test_a_host_that_cannot_be_made_to_point_elsewhere_is_answered(client: str, host: str) -> None:
    assert not foreign(client, host)


@pytest.mark.parametrize("client", FORWARDED)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9091", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "[evil]", ":9091",
     "x.svc.evil.example", "svc.cluster.local.evil.example", "evilsvc", "127.0.0.1@evil.example", "evil"],
)  # fmt: skip
def test_any_other_name_is_not(client: str, host: str) -> None:
    assert foreign(client, host)


@pytest.mark.parametrize("client", ["10.0.0.5", "fe80::1%eth0", "127.0.0.6", "::ffff:10.0.0.5"])
def test_requests_from_elsewhere_are_not_judged_by_it(client: str) -> None:
    """The API server's proxy hands on the Host by which it was asked itself."""
    assert not foreign(client, "api.cluster.example:6443")


@given(labels=st.lists(LABEL, min_size=2, max_size=5), port=st.sampled_from(["", ":80", ":9091"]))
def test_no_public_name_passes(labels: list[str], port: str) -> None:
    assert foreign("127.0.0.1", ".".join([*labels, "example"]) + port)


@given(header=st.text(min_size=1, max_size=40))
def test_any_text_is_judged(header: str) -> None:
    foreign("127.0.0.1", header)  # raises nothing
    assert not foreign("10.0.0.5", header)
