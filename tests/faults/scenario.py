"""What the user does while faults strike: create, one camera edit, one serving edit, delete."""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "site"
SYSTEM: Final = "edgedetector-system"
NAME: Final = "yard"

START, CREATE, CAMERA, SERVING, DELETE = "start", "create", "camera", "serving", "delete"
STEPS: Final = (START, CREATE, CAMERA, SERVING, DELETE)
"""`start` is the operator's own first step: it applies its profiles."""


def steps_for(struck: Collection[str]) -> tuple[str, ...]:
    """Return the fewest steps with these among them: an edit needs those before it, and nothing else needs an edit."""
    edits = (CAMERA, SERVING) if SERVING in struck else (CAMERA,) if CAMERA in struck else ()
    return (*((START,) if START in struck else ()), CREATE, *edits, DELETE)


def detector() -> Object:
    """Return the sample for a real accelerator, whose profile has an exporter: the most children."""
    found: Object = yaml.safe_load((ROOT / "manifests" / "samples" / "denglin-ks20.yaml").read_text())
    found["metadata"] = {"name": NAME, "namespace": NAMESPACE}
    return found


def camera_edited(before: Object) -> Object:
    """Return the detector with another frame rate of one camera, and another camera."""
    after = copy.deepcopy(before)
    after["spec"]["cameras"][0]["frameRate"]["target"] = 7
    after["spec"]["cameras"].append({"name": "ramp", "url": "rtsp://ramp.cams.svc:554/main"})
    return after


def serving_edited(before: Object) -> Object:
    """Return the detector with another batcher and one instance more."""
    after = copy.deepcopy(before)
    after["spec"]["serving"] |= {"instances": 3, "maxQueueDelay": "2ms"}
    return after


def desired(step: str) -> Object | None:
    """Return the detector as it is to be in a step; None if there is to be none."""
    created = detector()
    edited = camera_edited(created)
    return {START: None, CREATE: created, CAMERA: edited, SERVING: serving_edited(edited), DELETE: None}[step]
