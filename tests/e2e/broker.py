"""A real mosquitto in a namespace, which asks everybody for name and password, and somebody who listens to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

import sites
from forward import forward

Object = dict[str, Any]

NAME: Final = "broker"
"""Of Deployment, Service and Secret."""
PORT: Final = 1883
URL: Final = f"mqtt://{NAME}:{PORT}"
USER: Final = "yard"
_CONFIG: Final = f"listener {PORT}\npassword_file /tmp/users\npersistence false\n"
_START: Final = (
    'umask 077 && mosquitto_passwd -b -c /tmp/users "$USERNAME" "$PASSWORD"'
    " && exec mosquitto -c /etc/broker/broker.conf"
)
_SECONDS: Final = 30.0


def pod(image: str, password: str) -> tuple[Object, ...]:
    """Return the broker and the Secret by which it lets people in."""
    deployment, service = sites.camera(image, NAME)
    template = deployment["spec"]["template"]["spec"]
    template["volumes"] = [{"name": "tmp", "emptyDir": {}}, {"name": "config", "configMap": {"name": NAME}}]
    template["containers"][0] |= {
        "command": ["sh", "-c", _START],
        "env": [
            {"name": key.upper(), "valueFrom": {"secretKeyRef": {"name": NAME, "key": key}}}
            for key in ("username", "password")
        ],
        "ports": [{"name": "rtsp", "containerPort": PORT}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "config", "mountPath": "/etc/broker"}],
    }
    service["spec"]["ports"] = [{"name": "mqtt", "port": PORT, "targetPort": PORT}]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"broker.conf": _CONFIG}}
    return deployment, service, config, sites.secret(NAME, username=USER, password=password)


class Listener:
    """Hears everything that is said on a broker from now on, and what it has kept."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def of(self, topic: str) -> list[bytes]:
        """Return what was said on a topic, the oldest first."""
        return [payload for said, payload in list(self.heard) if said == topic]


@contextlib.contextmanager
def listening(namespace: str, password: str) -> Iterator[Listener]:
    """Listen while the block runs.

    Raises
    ------
    PermissionError
        If the broker does not let us in.
    """
    listener, answer = Listener(), list[ReasonCode]()
    answered, subscribed = threading.Event(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="somebody")
    client.username_pw_set(USER, password)

    def connected(_client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        answer.append(reason)
        answered.set()

    client.on_connect = connected
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: listener.heard.append((message.topic, message.payload))
    with forward(namespace, f"deployment/{NAME}", PORT) as base:
        client.connect("127.0.0.1", urlsplit(base).port or 0)
        client.loop_start()
        try:
            assert answered.wait(_SECONDS)
            if answer[0].is_failure:
                raise PermissionError(str(answer[0]))
            client.subscribe("#", qos=1)
            assert subscribed.wait(_SECONDS)
            yield listener
        finally:
            client.disconnect()
            client.loop_stop()
