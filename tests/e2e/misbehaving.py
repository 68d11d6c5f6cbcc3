"""Cameras that do what a test tells them: the pod of `unruly.py`, and orders to it through the API server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests import unruly_clips

import api
import sites

Object = dict[str, Any]

CONTROL: Final = 8080
PROGRAM: Final = (
    Path(__file__).with_name("unruly.py"),
    Path(__file__).parents[2] / "bench" / "media_topology" / "camera.py",
)
_FOLDER: Final = "/unruly"


def program() -> Object:
    """Return the ConfigMap with the program and what it plays."""
    data = {path.name: path.read_text() for path in PROGRAM} | {"clips.json": unruly_clips.document()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "unruly"}, "data": data}


def pod(image: str, name: str) -> tuple[Object, Object]:
    """Return Deployment and Service of a site of such cameras, rtsp://NAME:8554/ANYTHING; `image` has a Python."""
    deployment, service = sites.camera(image, name)
    template = deployment["spec"]["template"]["spec"]
    template["volumes"] = [{"name": "program", "configMap": {"name": "unruly"}}]
    container = template["containers"][0]
    container["command"] = ["python", f"{_FOLDER}/unruly.py", "--clips", f"{_FOLDER}/clips.json"]
    container["volumeMounts"] = [{"name": "program", "mountPath": _FOLDER, "readOnly": True}]
    container["ports"].append({"name": "control", "containerPort": CONTROL})
    service["spec"]["ports"].append({"name": "control", "port": CONTROL, "targetPort": "control"})
    return deployment, service


@dataclass(frozen=True)
class Orders:
    """Tells the cameras of one site what to play."""

    namespace: str
    name: str

    def url(self, path: str) -> str:
        """Return the address of a camera."""
        return f"rtsp://{self.name}:8554/{path}"

    def play(self, path: str, what: str, *, again: bool = False) -> Object:
        """Let a camera play something else; `again`: end its sessions, so that who comes back is told anew.

        Returns
        -------
        dict
            Camera -> what it plays and how many watch it.
        """
        proxy = f"/api/v1/namespaces/{self.namespace}/services/{self.name}:{CONTROL}/proxy/play"
        query = [("path", path), ("what", what), ("again", str(int(again)))]
        found: Object = api.request("GET", proxy, query=query)
        return found
