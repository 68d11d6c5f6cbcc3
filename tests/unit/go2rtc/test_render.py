"""Whatever users and Secrets hold, go2rtc's file means what it was meant to."""

import json
import re
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgedetector.api import names
from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.go2rtc.render import Rendered, render, revision_in_force

KEY = b"k" * 32
GATE = names.stream("gate")
HOSTILE = [
    "rtsp://cam/${OTHER_CAM_PASS}",
    "rtsp://cam/x#exec=1",
    "rtsp://cam/a b",
    'rtsp://cam/"\n"api":{"listen":":1984"}',
    "rtsp://cam/'x'",
    "rtsp://cam/{input}",
    "rtsp://admin:secret@cam/x",
    "exec:reboot",
    "ffmpeg:/etc/passwd",
    "echo:env",
    "file:///etc/passwd",
    "rtsp:///x",
    "rtsp://cam:99999/x",
    "rtsp://[::1/x",
    "rtsp://cam/\x00",
    "rtsp://cam/\\u0024{X}",
    "rtsp://cam/ü",
    "",
]


def one(camera: MediaCamera, secrets: dict[str, dict[str, bytes]] | None = None, **config: object) -> Rendered:
    return render(MediaConfig(1, (camera,), **config), secrets or {})  # type: ignore[arg-type]


def expand(rendered: Rendered) -> str:
    """The file after go2rtc has put the credentials in, by its own regular expression."""
    files = {item.name: item.text.strip() for item in rendered.credentials}
    text = rendered.text(rendered.revision(KEY))
    return re.sub(r"\${([^}{]+)}", lambda match: files.get(match[1], match[0]), text)


def redact(text: str, rendered: Rendered) -> str:
    """A text as go2rtc's API and log give it: each credential blotted out wherever it occurs."""
    for item in rendered.credentials:
        text = text.replace(item.text.strip(), "***")
    return text


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_left_out_and_never_quoted(url: str) -> None:
    for camera, secrets in (
        (MediaCamera(GATE, url=url), {}),
        (MediaCamera(GATE, url_secret="s"), {"s": {"url": url.encode()}}),
    ):
        if url == "rtsp://admin:secret@cam/x" and secrets:
            continue  # allowed in a Secret, see below
        rendered = one(camera, secrets)
        assert not rendered.streams
        (left_out,) = rendered.left_out
        assert left_out.state == "Invalid"
        assert not url or url not in left_out.message
        assert "secret" not in rendered.text("r")


@given(st.text(max_size=80))
@example("rtsp://cam/x#backchannel=1")
def test_any_text_as_a_url_is_refused_or_comes_out_as_it_is(url: str) -> None:
    rendered = one(MediaCamera(GATE, url=url))
    document = json.loads(expand(rendered))
    assert set(document["streams"]) <= {GATE}
    for source in document["streams"].values():
        assert source == f"{url}#backchannel=0"
        assert urlsplit(url).scheme in {"rtsp", "rtsps", "http", "https"}
        assert not re.search(r"[\s\"'${}\\#]", url)


@given(st.from_regex(r"\Artsps?://[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?(/[!-~]{0,20})?\Z"))
def test_any_url_that_looks_right_is_refused_or_comes_out_as_it_is(url: str) -> None:
    rendered = one(MediaCamera(GATE, url=url))
    sources = json.loads(expand(rendered))["streams"]
    assert sources in ({}, {GATE: f"{url}#backchannel=0"})
    assert bool(sources) != bool(rendered.left_out)


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=40))
@example(b"a", b"url")
@example(b"${OTHER}", b'"\n}{')
@example(b"admin", b"p@ss:w/ord#1")
def test_any_credentials_reach_the_camera_and_nothing_else(username: bytes, password: bytes) -> None:
    username, password = username.strip(b"\r\n") or b"u", password.strip(b"\r\n")
    camera = MediaCamera(GATE, url="rtsp://cam.site:554/main?x=1", credentials_secret="gate")
    rendered = one(camera, {"gate": {"username": username, "password": password}})
    source = json.loads(expand(rendered))["streams"][GATE]
    parts = urlsplit(source.removesuffix("#backchannel=0"))
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("cam.site", 554, "/main", "x=1")
    assert unquote_to_bytes(parts.username or "") == username
    assert unquote_to_bytes(parts.password or "") == password


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=12))
@example(b"s", b"treams")
@example(b"producers", b"")
@example(b'{"a"', b"1")
@example(b"a,", b"1")
def test_redaction_leaves_the_keys_of_go2rtcs_answers_alone(username: bytes, password: bytes) -> None:
    camera = MediaCamera(GATE, url="rtsp://cam/main", credentials_secret="gate")
    rendered = one(camera, {"gate": {"username": username.strip(b"\r\n") or b"u", "password": password}})
    url = f"rtsp://{rendered.credentials[0].text}@cam/main"
    answer = {GATE: {"producers": [{"id": 1, "url": url, "bytes_recv": 12, "childs": [1, 2]}], "consumers": None}}
    redacted = json.loads(redact(json.dumps(answer, separators=(",", ":")), rendered))
    assert rendered.credentials[0].text not in json.dumps(redacted)
    assert {key: set(value) for key, value in redacted.items()} == {GATE: {"producers", "consumers"}}
    assert redacted[GATE]["producers"][0]["bytes_recv"] == 12


def test_credentials_are_in_their_files_and_nowhere_else() -> None:
    camera = MediaCamera(GATE, url="rtsp://cam/main", credentials_secret="gate")
    rendered = one(camera, {"gate": {"username": b"operator", "password": b"hunter2"}})
    assert [(item.name, item.text) for item in rendered.credentials] == [(f"{GATE}_userinfo", "operator:hunter2")]
    for text in (rendered.text(rendered.revision(KEY)), repr(rendered)):
        assert "hunter2" not in text
        assert "operator" not in text


def test_a_url_from_a_secret_may_carry_its_password_in_userinfo_path_or_query() -> None:
    for url in ("rtsp://u:p@cam/main", "rtsp://cam/p/main", "http://cam/video?password=p"):
        rendered = one(MediaCamera(GATE, url_secret="gate", url_secret_key="u"), {"gate": {"u": f"{url}\n".encode()}})
        assert json.loads(expand(rendered))["streams"] == {GATE: f"{url}#backchannel=0"}
        assert url not in rendered.text("r")


def test_a_url_and_credentials_may_come_from_two_secrets_but_not_both_with_a_user() -> None:
    camera = MediaCamera(GATE, url_secret="where", credentials_secret="who")
    who = {"username": b"u", "password": b"p"}
    rendered = one(camera, {"where": {"url": b"rtsp://cam/x"}, "who": who})
    assert json.loads(expand(rendered))["streams"] == {GATE: "rtsp://u:p@cam/x#backchannel=0"}
    assert one(camera, {"where": {"url": b"rtsp://a:b@cam/x"}, "who": who}).left_out[0].state == "Invalid"


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({}, "Secret gate does not exist"),
        ({"gate": {}}, "Secret gate does not exist"),
        ({"gate": {"username": b"u"}}, "Secret gate has no key password"),
    ],
)
def test_a_missing_secret_leaves_out_its_camera_alone(secrets: dict[str, dict[str, bytes]], message: str) -> None:
    yard = names.stream("yard")
    cameras = (MediaCamera(GATE, url="rtsp://a/x", credentials_secret="gate"), MediaCamera(yard, url="rtsp://b/x"))
    rendered = render(MediaConfig(1, cameras), secrets)
    assert list(rendered.streams) == [yard]
    assert [(item.stream, item.state, item.message) for item in rendered.left_out] == [(GATE, "MissingSecret", message)]


@given(st.text(max_size=40))
@example('s"} 1\nevil{x="')
def test_a_stream_id_that_is_none_is_shown_as_invalid(stream: str) -> None:
    rendered = one(MediaCamera(stream, url="rtsp://cam/x"))
    if rendered.left_out:
        assert rendered.left_out[0].stream == "invalid"
    else:
        assert re.fullmatch(r"[a-z][a-z0-9]*", stream)


def test_a_stream_id_used_twice_serves_the_first() -> None:
    cameras = (MediaCamera(GATE, url="rtsp://a/x"), MediaCamera(GATE, url="rtsp://b/x"))
    rendered = render(MediaConfig(1, cameras), {})
    assert rendered.streams == {GATE: "rtsp://a/x#backchannel=0"}
    assert rendered.left_out[0].state == "Invalid"


def test_programs_run_only_for_a_camera_with_an_input_template() -> None:
    template = {"vendor": "-hwaccel x -rtsp_transport tcp -i {input}"}
    plain = one(MediaCamera(GATE, url="rtsp://cam/x"), ffmpeg=template)
    assert json.loads(plain.text("r"))["app"]["modules"] == ["api", "http", "mp4", "rtsp"]
    assert "ffmpeg" not in json.loads(plain.text("r"))
    decoded = one(MediaCamera(GATE, url="rtsp://cam/x", input_template="vendor"), ffmpeg=template)
    document = json.loads(decoded.text("r"))
    assert document["app"]["modules"] == ["api", "http", "mp4", "rtsp", "exec", "ffmpeg"]
    assert document["ffmpeg"] == {"input_vendor": template["vendor"]}
    assert document["streams"] == {GATE: "ffmpeg:rtsp://cam/x#video=mjpeg#input=input_vendor"}


@pytest.mark.parametrize(
    "template",
    ["-i x", "-i {input} {input}", "-i {input} '; reboot'", "-i {input} ${X}", "-i {input}\n", "-i {input}#x"],
)
def test_a_hostile_input_template_is_refused(template: str) -> None:
    camera = MediaCamera(GATE, url="rtsp://cam/x", input_template="vendor")
    assert one(camera, ffmpeg={"vendor": template}).left_out[0].state == "Invalid"
    assert one(camera).left_out[0].state == "Invalid"


@given(st.text(max_size=10), st.text(max_size=10))
def test_the_revision_names_the_content_and_needs_the_key_to_be_recomputed(before: str, after: str) -> None:
    def revision(password: str, key: bytes) -> str:
        camera = MediaCamera(GATE, url="rtsp://cam/x", credentials_secret="gate")
        return one(camera, {"gate": {"username": b"u", "password": password.encode()}}).revision(key)

    same = before.strip("\r\n") == after.strip("\r\n")
    assert (revision(before, KEY) == revision(after, KEY)) == same
    assert revision(before, KEY) != revision(before, b"other")


def test_the_revision_is_read_back_from_what_go2rtc_answers() -> None:
    document = json.loads(one(MediaCamera(GATE, url="rtsp://cam/x")).text("0123abcd"))
    assert revision_in_force({"rtsp": document["rtsp"], "version": "1.9.14"}) == "0123abcd"
    for answer in ({}, {"rtsp": None}, {"rtsp": {"default_query": 1}}, {"rtsp": {"default_query": "video&audio"}}):
        assert revision_in_force(answer) == ""


def test_the_generation_alone_does_not_change_the_file() -> None:
    cameras = (MediaCamera(GATE, url="rtsp://cam/x"),)
    assert render(MediaConfig(1, cameras), {}).revision(KEY) == render(MediaConfig(2, cameras), {}).revision(KEY)
