"""What the media pod consists of, as Kubernetes objects. Pure.

The config container renders the configuration and tells go2rtc to exec itself again when it changes. go2rtc's container
runs it from a few lines of shell. Security context, resources and image pull secrets are the pod plan's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import MediaConfig
from edgedetector.go2rtc.render import settings

CONFIG_FILE: Final = f"{names.DIR_GO2RTC}/go2rtc.yaml"
CREDENTIALS_DIRECTORY: Final = f"{names.DIR_GO2RTC}/credentials"

# A go2rtc that ends sooner after its start is left to the kubelet, whose back-off and CrashLoopBackOff are then right.
MINIMUM_UPTIME_SECONDS: Final = 10

# The kubelet waits 10 s before it starts a container that ended twice, then 20, up to 300: too long for every camera of
# a detector, if go2rtc crashed for one of them. This loop starts it again at once. Shell builtins only; $0 is go2rtc.
_LOOP: Final = """\
trap 'trap - TERM; kill -TERM "$child"; wait "$child"; exit 0' TERM
uptime() { read -r now rest </proc/uptime; now=${now%.*}; }
while :; do
  uptime; started=$now
  "$0" "$@" & child=$!
  wait "$child"; code=$?
  uptime; ran=$((now - started))
  [ "$ran" -ge "$MINIMUM_UPTIME_SECONDS" ] || exit "$code"
  echo "go2rtc ended with status $code after $ran s: starting it again" >&2
done
"""

_RUN: Final = {"name": "run", "mountPath": names.DIR_GO2RTC}
_MEDIA: Final = {"name": "media", "mountPath": names.DIR_MEDIA, "readOnly": True}


def secret_names(config: MediaConfig) -> tuple[str, ...]:
    """Return the Secrets that the cameras name, sorted. Only a change of this set changes the pod."""
    found = {name for camera in config.cameras for name in (camera.credentials_secret, camera.url_secret) if name}
    return tuple(sorted(found))


def needs_ffmpeg(config: MediaConfig) -> bool:
    """Tell whether a camera is decoded in the media pod: only then may go2rtc run programs."""
    return any(camera.input_template for camera in config.cameras)


def server(
    image: str, *, ffmpeg: bool = False, arguments: Sequence[str] = (), pull_policy: str = "IfNotPresent"
) -> dict[str, Any]:
    """Return the container that runs go2rtc.

    The last ``-config`` wins, so that neither `arguments` nor the file can open what `settings` closes.
    The volume is read-only here: the first file is what go2rtc's API would write to.
    """
    hardening = json.dumps(settings(ffmpeg=ffmpeg), separators=(",", ":"))
    return {
        "name": names.CONTAINER_GO2RTC,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["/bin/sh", "-c", _LOOP, "go2rtc"],
        "args": ["-config", CONFIG_FILE, *arguments, "-config", hardening],
        "env": [
            {"name": "CREDENTIALS_DIRECTORY", "value": CREDENTIALS_DIRECTORY},
            {"name": "MINIMUM_UPTIME_SECONDS", "value": str(MINIMUM_UPTIME_SECONDS)},
        ],
        "ports": [{"name": "rtsp", "containerPort": names.PORT_GO2RTC_RTSP, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": "rtsp"}, "periodSeconds": 2, "failureThreshold": 3},
        "volumeMounts": [_RUN | {"readOnly": True}],
    }


def config(image: str, *, secrets: Sequence[str], pull_policy: str = "IfNotPresent") -> dict[str, Any]:
    """Return the native sidecar (an init container that stays) that go2rtc waits for."""
    mounts = [
        {"name": _secret_volume(name), "mountPath": f"{names.DIR_SECRETS}/{name}", "readOnly": True} for name in secrets
    ]
    return {
        "name": names.CONTAINER_MEDIA_CONFIG,
        "image": image,
        "imagePullPolicy": pull_policy,
        "restartPolicy": "Always",
        "command": ["python", "-m", "edgedetector.media"],
        "ports": [{"name": "api", "containerPort": names.PORT_GO2RTC_API, "protocol": "TCP"}],
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": "api"},
            "periodSeconds": 1,
            "failureThreshold": 60,
            "timeoutSeconds": 2,
        },
        "volumeMounts": [_RUN, _MEDIA, *mounts],
    }


def volumes(config_map: str, secrets: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pod's volumes. Each Secret is a volume of its own, optional: a missing one holds nobody up."""
    return [
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "media", "configMap": {"name": config_map}},
        *(
            {"name": _secret_volume(name), "secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
            for name in secrets
        ),
    ]


def _secret_volume(name: str) -> str:
    """Name of a Secret's volume: a Secret's name may have dots and 253 characters, a volume's 63 and none."""
    return "secret-" + hashlib.sha256(name.encode()).hexdigest()[:16]
