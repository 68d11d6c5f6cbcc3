"""Addresses: one that Python's own parsers take for loopback, link-local or another host than it shows never passes."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api import urls
from edgedetector.detector.outputs.post import refusal

KINDS = {"rtsp": urls.CAMERA, "https": urls.MODEL, "mqtt": urls.MQTT, "http": urls.WEBHOOK}
ADDRESSES = st.one_of(
    st.ip_addresses(v=4, network="127.0.0.0/8"),
    st.ip_addresses(v=4, network="169.254.0.0/16"),
    st.ip_addresses(v=4, network="0.0.0.0/8"),
    st.ip_addresses(v=4, network="224.0.0.0/3"),
)


def spellings(address: ipaddress.IPv4Address) -> list[str]:
    """Return what C's inet_aton reads as this address, and what IPv6 makes of it."""
    number, parts = int(address), address.packed
    tails = [(f"{parts[0]}.{number & 0xFFFFFF}"), f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"]
    hexadecimal = [hex(part) for part in parts]
    octal = [f"0{part:o}" for part in parts]
    six = [f"::ffff:{address}", f"::{address}", f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}"]
    six += [f"2002:{number >> 16:x}:{number & 0xFFFF:x}::", f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}"]
    plain = [str(address), str(number), hex(number), f"0{number:o}", *tails]
    plain += [".".join(hexadecimal), ".".join(octal), f"{hexadecimal[0]}.{parts[1]}.{octal[2]}.{parts[3]}"]
    return [*plain, *(host.upper() for host in plain), *(f"{host}." for host in plain), *(f"[{host}]" for host in six)]


@given(ADDRESSES)
def test_no_spelling_of_an_inward_address_passes(address: ipaddress.IPv4Address) -> None:
    for host in spellings(address):
        for scheme, kind in KINDS.items():
            for port in ("", ":8554"):
                url = f"{scheme}://{host}{port}" + ("" if scheme == "mqtt" else "/x")
                assert kind.misfit("url", url), url


@given(st.ip_addresses(v=6))
def test_an_address_of_ipv6_passes_only_if_it_is_global_or_unique_local(address: ipaddress.IPv6Address) -> None:
    inward = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    embeds = address.ipv4_mapped or address.sixtofour or address.teredo
    for host in (address.compressed, address.exploded, address.compressed.upper()):
        passes = urls.CAMERA.misfit("url", f"rtsp://[{host}]:554/x") is None
        assert not (passes and (inward or embeds)), host
        if address in ipaddress.ip_network("2400::/6") or address in ipaddress.ip_network("fd12::/16"):
            assert passes, host


@given(st.ip_addresses(v=4))
def test_an_address_of_a_site_passes_in_its_usual_notation(address: ipaddress.IPv4Address) -> None:
    passes = urls.MODEL.misfit("url", f"https://{address}/x") is None
    if address.is_private and address not in ipaddress.ip_network("192.0.0.0/24"):
        inward = address.is_loopback or address.is_link_local or address.packed[0] in {0, *range(224, 256)}
        assert passes == (not inward)


@given(
    st.one_of(
        st.from_regex(r"https://[a-z0-9.:@/\\#?$%_\[\]-]{1,40}", fullmatch=True),
        st.from_regex(urls.MODEL.pattern.replace("$", r"\Z"), fullmatch=True),
    )
)
def test_what_passes_has_the_host_that_it_shows(url: str) -> None:
    """No user name, fragment or backslash that one program reads as the end of the host and another does not."""
    if urls.MODEL.misfit("url", url):
        return
    try:
        parts = urlsplit(url)
    except ValueError:  # [2000:0] has the letters of an address and is none: no program reads a host in it
        return
    assert (parts.username, parts.fragment) == (None, "")
    shown, _, _ = url.removeprefix("https://").partition("/")
    host = shown.removesuffix(f":{parts.port}")
    assert parts.hostname == host.strip("[]").lower()
    if host.replace(".", "").isdigit():
        assert socket.inet_ntoa(socket.inet_aton(host)) == host


@pytest.mark.parametrize(
    "host",
    ["gate", "gate.cams", "cam_1.site", "10.0.0.7", "3com", "cam.3rd-floor", "127.example.com", "metadata-store"],
)
def test_ordinary_names_pass(host: str) -> None:
    assert urls.CAMERA.misfit("url", f"rtsp://{host}:554/Streaming/Channels/101?transport=tcp&x=%20") is None
    assert urls.CAMERA.misfit("url", f"http://{host}/video.mjpg") is None


@given(st.from_regex(r"http://[a-z0-9.:\[\]-]{1,30}(:[1-9][0-9]{1,3})?(/x)?", fullmatch=True))
def test_plain_http_that_passes_goes_nowhere_that_the_sender_refuses(url: str) -> None:
    if urls.WEBHOOK.misfit("url", url) is None:
        assert refusal(url) == ""


@given(st.ip_addresses(v=4))
def test_plain_http_goes_to_private_addresses_alone(address: ipaddress.IPv4Address) -> None:
    if urls.WEBHOOK.misfit("url", f"http://{address}/x") is None:
        assert address.is_private
    private = any(address in ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
    assert (urls.WEBHOOK.misfit("url", f"http://{address}:80") is None) == private


@pytest.mark.parametrize(
    "host", ["sink", "sink.site-a.svc", "sink.site-a.svc.cluster.local", "172.31.0.9", "[fd12::1]"]
)
def test_a_webhook_inside_needs_no_encryption(host: str) -> None:
    assert urls.WEBHOOK.misfit("url", f"http://{host}:8080/x") is None


@pytest.mark.parametrize(
    "host", ["example.com", "sink.site-a", "172.32.0.9", "8.8.8.8", "svc.example.com", "[2400::1]"]
)
def test_a_webhook_elsewhere_does(host: str) -> None:
    assert urls.WEBHOOK.misfit("url", f"http://{host}/x") == (urls.PLAIN_PROBLEM, urls.PLAIN_REMEDY)
    assert urls.WEBHOOK.misfit("url", f"https://{host}/x") is None


def test_a_misfit_says_what_helps_and_not_what_it_was() -> None:
    problem, remedy = urls.CAMERA.misfit("substreamUrl", "rtsp://viewer:canary@gate/sub") or ("", "")
    assert remedy == "put user name and password into credentialsSecretRef, or the whole URL into substreamUrlSecretRef"
    assert "canary" not in problem


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_of_either_version_is_written_so_that_a_url_gives_it_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    found = urlsplit(f"http://{urls.authority(str(address), port)}/state")
    assert found.hostname is not None
    assert (ipaddress.ip_address(found.hostname), found.port) == (address, port)


def test_a_name_is_written_as_it_is() -> None:
    assert urls.authority("yard-media.site.svc", 1984) == "yard-media.site.svc:1984"
