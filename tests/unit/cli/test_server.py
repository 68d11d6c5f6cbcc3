"""The transport against a real HTTP server that answers like an API server."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edgedetector.cli.errors import AbsentError, CommandError, ForbiddenError, UnreachableError
from edgedetector.cli.server import Place, connect

ANSWERS = {
    "/ok": (200, {"kind": "Fine"}),
    "/gone": (404, {"message": 'pods "x" not found'}),
    "/no": (403, {"message": "pods is forbidden"}),
    "/dead": (503, {"message": "no endpoints"}),
    "/odd": (500, {"message": "etcd has a bad day"}),
}


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[tuple[str, str, str, str]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        self.asked.append((self.command, self.path, self.headers["Accept"], body))
        path = self.path.partition("?")[0]
        status, said = ANSWERS.get(path, (200, None))
        text = json.dumps(said) if said is not None else "plain words"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_PATCH = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def asked() -> list[tuple[str, str, str, str]]:
    return []


@pytest.fixture
def place(tmp_path: Path, asked: list[tuple[str, str, str, str]]) -> Iterator[Place]:
    handler = type("Own", (Handler,), {"asked": asked})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield connect(config(tmp_path, server.server_port), None)
    server.shutdown()
    thread.join()
    server.server_close()


def config(tmp_path: Path, port: int) -> str:
    path = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    contexts = [
        {"name": name, "context": {"cluster": "c", "user": "u", "namespace": name}} for name in ("site", "other")
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": contexts,
        "users": [{"name": "u", "user": {}}],
        "current-context": "site",
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_an_object_comes_with_the_servers_time(place: Place) -> None:
    assert place.server.get("/ok") == {"kind": "Fine"}
    assert place.server.time() is not None


def test_the_namespace_is_that_of_the_context(tmp_path: Path) -> None:
    assert connect(config(tmp_path, 1), None).namespace == "site"
    assert connect(config(tmp_path, 1), "other").namespace == "other"


def test_selectors_and_heads_are_asked_for(place: Place, asked: list[tuple[str, str, str, str]]) -> None:
    place.server.get("/ok", head=True, selector="a=b")

    ((_, path, accept, _),) = asked
    assert path == "/ok?labelSelector=a%3Db"
    assert accept.startswith("application/json;as=PartialObjectMetadata;")


def test_words_of_a_pod_are_no_json(place: Place, asked: list[tuple[str, str, str, str]]) -> None:
    assert place.server.text("/pod/log", {"container": "triton"}) == "plain words"
    assert asked[0][1] == "/pod/log?container=triton"


def test_a_patch_merges(place: Place, asked: list[tuple[str, str, str, str]]) -> None:
    place.server.patch("/ok", {"metadata": {"annotations": {"a": None}}})

    assert asked[0][0] == "PATCH"
    assert json.loads(asked[0][3]) == {"metadata": {"annotations": {"a": None}}}


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/gone", AbsentError, 'pods "x" not found'),
        ("/no", ForbiddenError, "pods is forbidden; ask an administrator"),
        ("/dead", UnreachableError, "no endpoints"),
        ("/odd", CommandError, "etcd has a bad day"),
        ("/words", CommandError, "is no JSON"),
    ],
)
def test_refusals_are_the_commands_own_errors(place: Place, path: str, error: type[CommandError], said: str) -> None:
    with pytest.raises(error, match=said):
        place.server.get(path)


def test_a_server_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="the API server does not answer"):
        connect(config(tmp_path, 1), None).server.get("/ok")


@pytest.mark.parametrize("text", ["", "nonsense", "{}"])
def test_no_usable_configuration_names_the_way_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(UnreachableError, match="set KUBECONFIG"):
        connect(str(path), None)


def test_a_context_that_is_not_there_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="--context"):
        connect(config(tmp_path, 1), "nowhere")
