"""From listed objects and answers of pods to one `Snapshot`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState
from edgedetector.go2rtc.state import MediaState
from edgedetector.observe import kubelet
from edgedetector.observe.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgedetector.observe.snapshot import PodView

Object = dict[str, Any]

_DOCUMENTS: Final = (names.FILE_ACCEPTED, names.FILE_PROBE, names.FILE_DETECTOR, names.FILE_MEDIA)


def snapshot(
    children: Iterable[Object],
    pods: Iterable[PodView],
    answers: Mapping[str, DetectorState | MediaState],
    served: frozenset[str],
    holders: Mapping[str, tuple[str, ...]] | None = None,
) -> Snapshot:
    """Return what is known of a detector at this moment.

    Parameters
    ----------
    children
        Live objects of the detector.
    pods
        Its pods.
    answers
        What pods say of themselves, by pod name.
    served
        Optional kinds that the API server serves.
    holders
        See `Snapshot.holders`.
    """
    pods = tuple(pods)
    rest = Snapshot(
        pods=pods,
        states={pod: answer for pod, answer in answers.items() if isinstance(answer, DetectorState)},
        media=_media(pods, answers),
        served=served,
        holders=holders or {},
    )
    return with_children(rest, children)


def with_children(rest: Snapshot, children: Iterable[Object]) -> Snapshot:
    """Return the same with what the live children tell."""
    found = tuple(children)
    scaler = next((obj for obj in found if obj["kind"] == "HorizontalPodAutoscaler"), None)
    workloads = (kubelet.workload(obj) for obj in found if obj["kind"] == "Deployment")
    return dataclasses.replace(
        rest,
        workloads={workload.name: workload for workload in workloads},
        scaler=kubelet.scaler(scaler) if scaler is not None else None,
        documents=_documents(found),
    )


def _documents(children: Iterable[Object]) -> dict[str, str]:
    """Return the documents of the ConfigMaps by key: no two components use the same one."""
    data = [obj.get("data") or {} for obj in children if obj["kind"] == "ConfigMap"]
    return {key: text for texts in data for key, text in texts.items() if key in _DOCUMENTS}


def _media(pods: Iterable[PodView], answers: Mapping[str, DetectorState | MediaState]) -> MediaState | None:
    """Return the answer of the media server's pod; during a roll, of one that the Service already sends readers to."""
    said = [
        (pod.ready, pod.name, answer)
        for pod in pods
        if pod.component == names.COMPONENT_MEDIA
        and not pod.leaving
        and isinstance(answer := answers.get(pod.name), MediaState)
    ]
    return max(said, key=lambda entry: entry[:2])[2] if said else None
