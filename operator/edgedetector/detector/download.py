"""One file over HTTPS, from a host that is named to an address that was looked at.

http.client of the standard library, with a connection of our own: the address that was checked has to be the one that
is connected to, or a name server that answers differently the second time leads anywhere. What the detector's image
has besides (gRPC, FFmpeg) speaks no plain HTTPS, and clients that do resolve names themselves.
"""

from __future__ import annotations

import http
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from edgedetector.api import conditions
from edgedetector.detector import files
from edgedetector.detector.files import ModelFileError, Sink

REDIRECTS: Final = 3
DEFAULT_LIMIT: Final = 8 * 1000**3
"""Bytes, where the accelerator sets no limit: a server must not be able to fill the node's disk."""
_HTTPS: Final = 443
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_METADATA: Final = tuple(
    # Of cloud providers, where they are not link-local: Alibaba, Azure, Oracle, Amazon.
    ipaddress.ip_network(text)
    for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32")
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def refusal(address: Address) -> str:
    """Say why an address is never connected to; empty if it may be. Private ones may: models lie on the site."""
    address = _inner(address)
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address == ipaddress.IPv4Address("255.255.255.255"):
        return "no host's"
    return "a metadata service's" if any(address in network for network in _METADATA) else ""


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def resolve(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host; raises OSError if it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A scope (fe80::1%eth0) is part of link-local addresses alone, which are refused.
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Network:
    """How the world is reached; tests give their own."""

    resolve: Callable[[str, int], Sequence[Address]] = resolve
    refusal: Callable[[Address], str] = refusal
    clock: Callable[[], float] = field(default=time.monotonic)
    timeout: float = 20.0
    """Seconds for a connection, and for each piece of the answer."""
    deadline: float = 3600.0
    """Seconds for all: 500 MB at 1.2 Mbit/s."""


def download(
    url: str, lookup: str, sink: Sink, *, limit: int, tls: ssl.SSLContext, network: Network | None = None
) -> str:
    """Write what `url` holds to `sink` and return its SHA-256 digest.

    Parameters
    ----------
    lookup
        Name to resolve; the certificate has to be for the host of `url`.
    limit
        Bytes; no more is written, and no more than one above it read.

    Raises
    ------
    ModelFileError
        ModelFetchFailed, ModelTooLarge or ModelHostNotAllowed. The message holds of the URL only its host.
    """
    network = network or Network()
    at = urlsplit(url)
    try:
        return _download(at, lookup, sink, limit=limit, tls=tls, network=network)
    except ssl.SSLCertVerificationError as error:
        raise _failed(at, f"its certificate is not trusted: {error.verify_message}") from None
    except socket.gaierror:
        raise _failed(at, "the name is not known") from None
    except TimeoutError:
        raise _failed(at, "no answer in time") from None
    except ssl.SSLError as error:
        raise _failed(at, f"no TLS: {error.reason or 'the connection broke off'}") from None
    except http.client.HTTPException as error:
        # Never the error's text: it may quote what the server said.
        raise _failed(at, f"the answer is not valid HTTP ({type(error).__name__})") from None
    except _SinkError as error:
        raise ModelFileError(conditions.REASON_MODEL_FETCH_FAILED, f"its file cannot be kept: {error}") from None
    except OSError as error:
        raise _failed(at, error.strerror or type(error).__name__) from None


def _download(at: SplitResult, lookup: str, sink: Sink, *, limit: int, tls: ssl.SSLContext, network: Network) -> str:
    end = network.clock() + network.deadline
    addresses = _checked(at, lookup, network)
    for _ in range(REDIRECTS + 1):
        connection = _Pinned(at, addresses, tls, network.timeout)
        try:
            connection.request("GET", _path(at), headers={"Accept-Encoding": "identity", "User-Agent": "edgedetector"})
            response = connection.getresponse()
            if response.status not in _MOVED:
                return _body(at, response, _Guarded(sink, end, network.clock), limit)
            at = _redirected(at, response.headers.get("Location", ""))
        finally:
            connection.close()
    raise _failed(at, f"more than {REDIRECTS} redirects")


def _body(at: SplitResult, response: http.client.HTTPResponse, sink: _Guarded, limit: int) -> str:
    if response.status != http.HTTPStatus.OK:
        known = {status.value: status.phrase for status in http.HTTPStatus}
        raise _failed(at, f"it answers {response.status} {known.get(response.status, '')}".rstrip())
    if response.length is not None and response.length > limit:
        problem = files.too_large(response.length, limit)
        raise ModelFileError(problem.reason, problem.message)
    expected = response.length
    digest = files.copy(_Arriving(response), sink, limit)
    # http.client ends a read of a given size at the end of the connection without a word.
    if expected is not None and sink.written != expected:
        raise _failed(at, "the connection broke off")
    return digest


def _checked(at: SplitResult, lookup: str, network: Network) -> Sequence[Address]:
    """Resolve once; one bad address is enough to refuse them all, since the next answer may hold it alone."""
    addresses = network.resolve(lookup, at.port or _HTTPS)
    for address in addresses:
        if why := network.refusal(address):
            raise ModelFileError(
                conditions.REASON_MODEL_HOST_NOT_ALLOWED, f"host {at.hostname} has the address {address}, {why}"
            )
    return addresses


def _redirected(at: SplitResult, location: str) -> SplitResult:
    target = urlsplit(urljoin(at.geturl(), location))
    if (target.scheme, target.hostname, _port(target)) != ("https", at.hostname, _port(at)) or target.username:
        raise ModelFileError(
            conditions.REASON_MODEL_HOST_NOT_ALLOWED,
            f"host {at.hostname} redirects to another one, which is never followed; name that one in source.http.url",
        )
    return target


def _port(at: SplitResult) -> int:
    try:
        return at.port or _HTTPS
    except ValueError:  # out of range, in a redirect
        return -1


def _path(at: SplitResult) -> str:
    return (at.path or "/") + (f"?{at.query}" if at.query else "")


def _failed(at: SplitResult, why: str) -> ModelFileError:
    return ModelFileError(conditions.REASON_MODEL_FETCH_FAILED, f"fetching from host {at.hostname} failed: {why}")


class _Pinned(http.client.HTTPSConnection):
    """A connection to one of these addresses and no other, whatever the host's name resolves to by now."""

    def __init__(self, at: SplitResult, addresses: Sequence[Address], tls: ssl.SSLContext, timeout: float) -> None:
        super().__init__(at.hostname or "", at.port or _HTTPS, timeout=timeout, context=tls)
        self._addresses = addresses
        self._tls = tls

    def connect(self) -> None:
        """Connect to the first address that answers."""
        for number, address in enumerate(self._addresses, 1):
            try:
                raw = socket.create_connection((str(address), self.port), timeout=self.timeout)
                break
            except OSError:
                if number == len(self._addresses):
                    raise
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise


class _Arriving:
    """An answer as it arrives: to wait for full pieces would be to wait for a server that trickles."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self, size: int) -> bytes:
        return self._response.read1(size)


class _SinkError(Exception):
    """The file could not be written: the disk's fault and not the server's."""


class _Guarded:
    """A sink that ends a transfer which takes too long, and tells its own failures from the network's."""

    def __init__(self, sink: Sink, end: float, clock: Callable[[], float]) -> None:
        self._sink, self._end, self._clock = sink, end, clock
        self.written = 0

    def write(self, chunk: bytes) -> None:
        if self._clock() >= self._end:
            raise TimeoutError
        try:
            self._sink.write(chunk)
        except OSError as error:
            raise _SinkError(error.strerror or type(error).__name__) from None
        self.written += len(chunk)
