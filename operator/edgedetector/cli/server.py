"""The API server as the commands ask it: a few reads, and one patch. Everything else of the command line is pure.

Of the client library only configuration, authentication and transport are used: on plain dicts, as the operator does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import yaml

from edgedetector.cli.errors import AbsentError, CommandError, ForbiddenError, UnreachableError

Json = dict[str, Any]

TIMEOUT: Final = (5.0, 20.0)
"""Seconds to connect and to read."""
MAX_BODY: Final = 8 << 20
"""Bytes; a state document of 1,000 cameras has 200 kB."""
_JSON: Final = "application/json"
_HEAD: Final = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MERGE: Final = "application/merge-patch+json"


class Server(Protocol):
    """What commands need of an API server. Failures are `CommandError`."""

    def get(self, path: str, *, head: bool = False, selector: str = "") -> Json:
        """Return an object or a list; with `head` its metadata alone, so that no Secret is ever read."""
        ...

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return what is answered there, e.g. by a pod through the API server's proxy."""
        ...

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """Merge into an object."""
        ...

    def time(self) -> datetime | None:
        """Return the server's time of the last answer."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where commands look: of flags, or of the configuration's current context."""

    server: Server
    namespace: str
    kubeconfig: str | None = None
    """As given; None: kubectl's own choice."""
    context: str | None = None


def connect(kubeconfig: str | None, context: str | None) -> Place:
    """Return the API server of a configuration, and its namespace.

    Raises
    ------
    UnreachableError
        If there is no configuration that can be used.
    """
    # Loading the library takes a second, which completion and files do without.
    from kubernetes import client, config  # noqa: PLC0415
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

    settings = client.Configuration()
    settings.retries = False
    try:
        load: Any = config  # the library's own loaders are untyped
        api = load.new_client_from_config(kubeconfig, context, persist_config=False, client_configuration=settings)
        chosen = _context(load.list_kube_config_contexts(kubeconfig), context)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError) as error:
        raise UnreachableError(
            f"no usable kubeconfig: {next(iter(str(error).splitlines()), type(error).__name__)}",
            "set KUBECONFIG or give --kubeconfig and --context",
        ) from None
    return Place(HttpServer(api), chosen.get("namespace") or "default", kubeconfig, context)


def _context(found: tuple[list[Json], Json], wanted: str | None) -> Json:
    contexts, active = found
    one = next((entry for entry in contexts if entry["name"] == wanted), active) if wanted else active
    return one.get("context") or {}


class HttpServer:
    """A real API server, through the client library's transport.

    Parameters
    ----------
    api
        `kubernetes.client.ApiClient`.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._time: datetime | None = None

    def get(self, path: str, *, head: bool = False, selector: str = "") -> Json:
        """See `Server.get`."""
        query = {"labelSelector": selector} if selector else {}
        return _parsed(self._ask("GET", path, accept=_HEAD if head else _JSON, query=query), path)

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """See `Server.text`."""
        return self._ask("GET", path, accept="*/*", query=query)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """See `Server.patch`."""
        return _parsed(self._ask("PATCH", path, body=body, content=_MERGE), path)

    def time(self) -> datetime | None:
        """See `Server.time`."""
        return self._time

    def _ask(
        self,
        method: str,
        path: str,
        *,
        accept: str = _JSON,
        content: str = _JSON,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> str:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            serialized = self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._api.call_api(*serialized, _request_timeout=TIMEOUT)
            said: bytes = answer.read()
            status = answer.status
        except ApiException as error:
            raise refused(error.status or 0, str(error.body or ""), path) from None
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the API server does not answer: {type(error).__name__}",
                "check the network and `kubectl cluster-info`",
            ) from None
        self._note(answer)
        if len(said) > MAX_BODY:
            raise CommandError(f"{path}: the answer has more than {MAX_BODY >> 20} MiB")
        if not 200 <= status <= 299:  # noqa: PLR2004 - what HTTP calls success
            raise refused(status, said.decode(errors="replace"), path)
        return said.decode(errors="replace")

    def _note(self, answer: Any) -> None:
        headers = answer.getheaders() or {}
        date = next((value for name, value in headers.items() if name.lower() == "date"), "")
        try:
            self._time = parsedate_to_datetime(date).astimezone(UTC)
        except (TypeError, ValueError):
            return


def _parsed(text: str, path: str) -> Json:
    try:
        return cast("Json", json.loads(text))
    except ValueError:
        raise CommandError(f"{path}: the answer is no JSON", "is this the API server, or a proxy before it?") from None


def refused(status: int, body: str, path: str) -> CommandError:
    """Return the error for an HTTP answer that is no success; its text has the server's own message."""
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = f"{path}: HTTP {status}"
    if status == HTTPStatus.NOT_FOUND:
        return AbsentError(said)
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED}:
        return ForbiddenError(said, "ask an administrator for the right, or use another --context")
    if status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        return UnreachableError(said)
    return CommandError(said)
