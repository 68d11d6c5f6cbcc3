"""Where models come from: volumes of the inference pods, who mounts them, and the hosts that may be asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import FetchedFile
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.models import ConfigMapKey, ConfigMapSource, HttpSource, ModelSpec
from edgedetector.plan import post_processing
from edgedetector.plan.common import RESTRICTED, memory_volume, present, requests, resources, volume_name
from edgedetector.plan.destinations import endpoint
from edgedetector.plan.settings import Settings

_FETCHED: Final = {"name": "fetched", "mountPath": names.DIR_FETCHED}
_REPORT: Final = {"name": "fetch", "mountPath": names.DIR_FETCH_REPORT}


def volumes(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return a volume for each ConfigMap use and one for each claim.

    Raises
    ------
    InvalidSpecError
        If a claim is to be attached in two ways: the kubelet would wait for the second for ever.
    """
    found: dict[str, dict[str, Any]] = {}
    for model in _models(detector):
        source = model.source
        if source.config_map:
            found[_volume(model)] = {"configMap": _config_map_volume(source.config_map)}
        elif source.persistent_volume_claim:
            claim = source.persistent_volume_claim
            reference = {"claimName": claim.claim_name, **present(readOnly=claim.read_only or None)}
            found[_volume(model)] = {"persistentVolumeClaim": reference}
    all_ = [*({"name": name, **volume} for name, volume in found.items()), *_fetch_volumes(detector)]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in all_ if "persistentVolumeClaim" in volume]
    for claim in claims:
        if claims.count(claim) > 1:
            problem = f"attach claim {claim} both read-only and for writing"
            raise InvalidSpecError("spec.models and spec.modelCache", problem, "use two claims, or one way")
    return all_


def mounts(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return the mounts of all sources, also for the running detector: a new model file needs no new pod then."""
    found = [
        present(
            name=_volume(model),
            mountPath=f"{names.DIR_SOURCES}/{model.name}",
            subPath=model.source.persistent_volume_claim.path if model.source.persistent_volume_claim else "",
            readOnly=True,
        )
        for model in _models(detector)
        if not model.source.http
    ]
    fetched = ({**_FETCHED, "readOnly": True}, {**_REPORT, "readOnly": True})
    return [*found, *(fetched if _over_http(detector) else ())]


def fetcher(detector: EdgeDetector, settings: Settings) -> list[dict[str, Any]]:
    """Return the init container that fetches models, none where no model comes over HTTPS.

    It goes on beside the others: a server that is down holds no pod, and a new file needs none. It alone talks to model
    servers, and has neither Triton's repository nor the key of its control API.
    """
    if not _over_http(detector):
        return []
    own = detector.spec.model_cache is None
    return [
        {
            "name": names.CONTAINER_MODEL_FETCH,
            "image": settings.detector_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-m", "edgedetector.detector", "fetch", *(["--own"] if own else [])],
            "restartPolicy": "Always",
            "resources": resources(requests("10m", "32Mi")),
            "securityContext": dict(RESTRICTED),
            "volumeMounts": [
                {"name": "serving", "mountPath": names.DIR_SERVING, "readOnly": True},
                _FETCHED,
                _REPORT,
                *(
                    {"name": _authority(model), "mountPath": f"{names.DIR_AUTHORITIES}/{model.name}", "readOnly": True}
                    for model, _ in _authorities(detector)
                ),
            ],
        }
    ]


def urls(detector: EdgeDetector) -> list[str]:
    """Return the addresses that models are fetched from."""
    return [source.url for _, source in _over_http(detector)]


def fetched(model: ModelSpec, file: str, namespace: str, hosts: Iterable[str]) -> tuple[FetchedFile, ...]:
    """Return what the pod is told to fetch for a model; `file` is the name of its main file."""
    source = model.source.http
    if source is None:
        return ()
    server = endpoint(source.url)
    return (
        FetchedFile(
            target=f"1/{file}",
            url=source.url,
            sha256=source.sha256,
            lookup=lookup(server.host if server else "", namespace, hosts),
            own_authority=source.ca_config_map is not None,
        ),
    )


def lookup(host: str, namespace: str, hosts: Iterable[str]) -> str:
    """Return the name to resolve for a host that may be asked for a model, empty for one that may not.

    A Service of the namespace always may, as NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc or with the usual domain behind
    it, and is resolved as such: in a namespace called "com", server.com is that Service and never a host elsewhere.
    Others are listed, exactly or as *.DOMAIN.
    """
    host = host.lower().rstrip(".")
    service, _, rest = host.partition(".")
    if service and rest in {"", namespace, f"{namespace}.svc", f"{namespace}.svc.cluster.local"}:
        return f"{service}.{namespace}.svc"
    return host if any(_matches(host, pattern.lower()) for pattern in hosts) else ""


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _fetch_volumes(detector: EdgeDetector) -> list[dict[str, Any]]:
    if not _over_http(detector):
        return []
    cache = detector.spec.model_cache
    # On disk and not in memory: a node that starts anew has to find the files without a network.
    kept: dict[str, Any] = {"persistentVolumeClaim": {"claimName": cache.claim_name}} if cache else {"emptyDir": {}}
    return [
        {"name": _FETCHED["name"], **kept},
        memory_volume(_REPORT["name"], "1Mi"),
        *({"name": _authority(model), "configMap": _key_volume(key)} for model, key in _authorities(detector)),
    ]


def _key_volume(key: ConfigMapKey) -> dict[str, Any]:
    # Optional: a missing one holds this model, not the pod with all the others.
    return {"name": key.name, "items": [{"key": key.key, "path": names.FILE_AUTHORITY}], "optional": True}


def _authorities(detector: EdgeDetector) -> list[tuple[ModelSpec, ConfigMapKey]]:
    return [(model, source.ca_config_map) for model, source in _over_http(detector) if source.ca_config_map]


def _authority(model: ModelSpec) -> str:
    return volume_name("authority", model.name)


def _over_http(detector: EdgeDetector) -> list[tuple[ModelSpec, HttpSource]]:
    return [(model, model.source.http) for model in _models(detector) if model.source.http]


def _models(detector: EdgeDetector) -> list[ModelSpec]:
    """Return the models that come from somewhere: those that are named, and post-processing that is no builtin."""
    spec = detector.spec
    own = (post_processing.model_of(m, spec) for m in spec.models if m.post_processing and m.post_processing.source)
    return [*spec.models, *(model for model in own if model)]


def _config_map_volume(source: ConfigMapSource) -> dict[str, Any]:
    # Not optional: a missing ConfigMap holds the pod, and the kubelet says so in its own words.
    return present(name=source.name, items=[{"key": item.key, "path": item.path} for item in source.items])


def _volume(model: ModelSpec) -> str:
    claim = model.source.persistent_volume_claim
    if claim:
        return volume_name("claim", f"{claim.claim_name}/{claim.read_only}")
    return volume_name("source", model.name)
