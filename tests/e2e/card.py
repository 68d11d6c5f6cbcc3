"""An emulated device in the pod of a profile's exporter, told to be another one."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import cluster as driver
from edgedetector.api import names
from forward import forward
from harness import Kubectl


def configure(profile: str, **order: Any) -> None:
    """Send the device an order of `emulator/device.py`, e.g. `set={"link.lanes": 1}`."""
    selector = f"{names.LABEL_PROFILE}={profile},{names.LABEL_COMPONENT}={names.COMPONENT_EXPORTER}"
    (pod,) = Kubectl(driver.SYSTEM_NAMESPACE).items("pods", "-l", selector)
    with forward(driver.SYSTEM_NAMESPACE, f"pod/{pod['metadata']['name']}", names.PORT_EXPORTER) as base:
        address = urlsplit(base)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(json.dumps({"op": "configure", **order}).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
    assert answer["ok"], answer
