"""Render go2rtc's configuration file. Pure: what the Secrets hold is passed in.

The file is JSON, which is YAML too, so that quoting is the standard library's; credentials are not in it but in
files of their own beside it, which go2rtc reads from ``$CREDENTIALS_DIRECTORY`` where the text says ``${NAME}``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.go2rtc import sources
from edgedetector.go2rtc.sources import InvalidSourceError

# go2rtc's API can make it dial anything and, with exec, run anything, and it knows no read-only mode. It therefore
# listens on loopback, where its clients are the config container, which serves the read-only port 1984, and whoever has
# the right to forward the pod's ports.
API_HOST: Final = "127.0.0.1"
API_PORT: Final = 1985
STREAM_PATH: Final = "/api/stream.mp4"
"""A camera's video as it comes, in fragments of MP4: what the config container hands on to `kubectl edgedetector view`.
Its query can name sources, which go2rtc then dials: nobody's query but the config container's may come here."""
API_PATHS: Final = ("/api", "/api/streams", "/api/restart", STREAM_PATH)

# A parameter of go2rtc's default query that means nothing to go2rtc.
_REVISION: Final = "revision"

Secrets = Mapping[str, Mapping[str, bytes]]
"""Name of a Secret -> its keys and values; a Secret that does not exist is absent or empty."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A file of the credentials directory."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A camera that go2rtc is not told about, and why; the message never holds a credential."""

    stream: str
    state: str
    """MissingSecret or Invalid."""
    message: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration of go2rtc."""

    streams: Mapping[str, str]
    """Stream id -> source, credentials as placeholders."""
    ffmpeg: Mapping[str, str]
    credentials: tuple[Credential, ...]
    left_out: tuple[LeftOut, ...]

    def revision(self, key: bytes) -> str:
        """Return a name for this configuration, credentials included, that tells nothing about them without `key`."""
        content = [dict(self.streams), dict(self.ffmpeg), [(item.name, item.text) for item in self.credentials]]
        return hmac.new(key, json.dumps(content, sort_keys=True).encode(), hashlib.sha256).hexdigest()[:16]

    def text(self, revision: str) -> str:
        """Return the complete file."""
        document = settings(ffmpeg=bool(self.ffmpeg))
        # GET /api answers with this query, which go2rtc reads "video" and "audio" of: the only place in which
        # a running go2rtc can be asked which file it has read.
        document["rtsp"]["default_query"] = f"video&audio&{_REVISION}={revision}"
        document["streams"] = dict(self.streams)
        if self.ffmpeg:
            document["ffmpeg"] = dict(self.ffmpeg)
        text = json.dumps(document, indent=1, sort_keys=True)
        if json.loads(text) != document:
            raise AssertionError("the configuration does not parse to what it was made of")
        return text + "\n"


def settings(*, ffmpeg: bool) -> dict[str, Any]:
    """Return the settings that keep go2rtc closed: in the file and, in case it cannot be read, on the command line.

    Without ``app.modules`` everything is on, and the API listens on every interface.
    """
    return {
        "app": {"modules": ["api", "http", "mp4", "rtsp", *(["exec", "ffmpeg"] if ffmpeg else [])]},
        "api": {"listen": f"{API_HOST}:{API_PORT}", "allow_paths": list(API_PATHS)},
        "rtsp": {"listen": f":{names.PORT_GO2RTC_RTSP}"},
        "exec": {"allow_paths": ["ffmpeg"]},
        "log": {"level": "info", "format": "json"},
    }


def revision_in_force(info: Mapping[str, Any]) -> str:
    """Return the revision of the file that a go2rtc has read, from its answer to GET /api; empty if it read none."""
    rtsp = info.get("rtsp")
    query = rtsp.get("default_query") if isinstance(rtsp, dict) else None
    if not isinstance(query, str):
        return ""
    found = [part.removeprefix(f"{_REVISION}=") for part in query.split("&") if part.startswith(f"{_REVISION}=")]
    return found[0] if found else ""


def render(config: MediaConfig, secrets: Secrets) -> Rendered:
    """Return the configuration for the cameras that can be served; the others are in `Rendered.left_out`.

    A camera is left out, and no other one is affected, if its Secret or a key of it is missing, or if its URL,
    stream id or input template breaks the rules of `edgedetector.go2rtc.sources`.
    """
    streams: dict[str, str] = {}
    credentials: list[Credential] = []
    left_out: list[LeftOut] = []
    used: dict[str, str] = {}
    for camera in config.cameras:
        stream = "invalid"  # shown for an id that is none, which could break a log line or a metric's label
        try:
            stream = _stream(camera, streams)
            template = _template(camera, config, used)
            url, files = _url(camera, secrets)
        except _MissingSecretError as error:
            left_out.append(LeftOut(stream, "MissingSecret", str(error)))
            continue
        except InvalidSourceError as error:
            left_out.append(LeftOut(stream, "Invalid", str(error)))
            continue
        streams[stream] = sources.source(url, template)
        credentials += files
    return Rendered(streams, used, tuple(credentials), tuple(left_out))


class _MissingSecretError(Exception):
    """A Secret or a key of it does not exist (yet)."""


def _stream(camera: MediaCamera, taken: Mapping[str, str]) -> str:
    stream = sources.check_stream(camera.stream)
    if stream in taken:
        raise InvalidSourceError(f"the stream id {stream} is used twice")
    return stream


def _template(camera: MediaCamera, config: MediaConfig, used: dict[str, str]) -> str:
    name = camera.input_template
    if name:
        if name not in config.ffmpeg:
            raise InvalidSourceError("the accelerator profile has no such input template")
        used[sources.template_key(name)] = sources.check_template(name, config.ffmpeg[name])
    return name


def _url(camera: MediaCamera, secrets: Secrets) -> tuple[str, list[Credential]]:
    """Return a camera's URL with placeholders, and the files that hold what these stand for."""
    if bool(camera.url) == bool(camera.url_secret):
        raise InvalidSourceError("the camera has not exactly one of url and urlSecretRef")
    if camera.url_secret and not camera.credentials_secret:
        url = _secret_url(camera, secrets)
        credential = Credential(f"{camera.stream}_url", url)
        return _placeholder(credential), [credential]
    if camera.url_secret:
        url = _secret_url(camera, secrets)
        if "@" in url.split("://", 1)[1].split("/", 1)[0]:
            raise InvalidSourceError("both the Secret of the URL and credentialsSecretRef give a user name")
        userinfo = _userinfo(camera, secrets)
        credential = Credential(f"{camera.stream}_url", sources.insert_userinfo(url, userinfo.text))
        return _placeholder(credential), [credential]
    url = sources.check_url(camera.url, userinfo=False)
    if not camera.credentials_secret:
        return url, []
    # One placeholder for both: go2rtc blots out each credential wherever its text occurs, and a user
    # called "a" would leave none of its log and its JSON readable.
    userinfo = _userinfo(camera, secrets)
    return sources.insert_userinfo(url, _placeholder(userinfo)), [userinfo]


def _placeholder(credential: Credential) -> str:
    return "${" + credential.name + "}"


def _userinfo(camera: MediaCamera, secrets: Secrets) -> Credential:
    username = _value(secrets, camera.credentials_secret, "username")
    password = _value(secrets, camera.credentials_secret, "password")
    return Credential(f"{camera.stream}_userinfo", sources.encode_userinfo(username, password))


def _secret_url(camera: MediaCamera, secrets: Secrets) -> str:
    value = _value(secrets, camera.url_secret, camera.url_secret_key)
    # Anything but ASCII fails the check, as it should: it would have to be percent-encoded.
    return sources.check_url(value.decode("latin-1"), userinfo=True)


def _value(secrets: Secrets, name: str, key: str) -> bytes:
    secret = secrets.get(name)
    if not secret:
        raise _MissingSecretError(f"Secret {name} does not exist")
    if key not in secret:
        raise _MissingSecretError(f"Secret {name} has no key {key}")
    # Files made with an editor end in a newline, which no camera means.
    return secret[key].strip(b"\r\n")
