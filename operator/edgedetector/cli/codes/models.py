"""ED04xx: models and how frames reach them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli.codes.base import Case, Code, Fields, Severity
from edgedetector.cli.codes.reasons import on, told
from edgedetector.cli.snapshot import age

LASTING: Final = 120.0
"""Seconds that a pod may take for another serving configuration: a whole reload takes some."""
_BATCH: Final = re.compile(
    r"(?i)max[_ -]?batch[_ -]?(?:size)?.{0,80}?(?:support|exceed|only|larger|limit)|batch.{0,40}exceed"
)


def refused(case: Case) -> Iterator[Fields]:
    """Yield what Triton says against a model; of the engine's batches ED0402 tells."""
    yield from (one for one in told(case, c.REASON_MODEL_LOAD_FAILED) if not _BATCH.search(str(one["said"])))


def smaller_engine(case: Case) -> Iterator[Fields]:
    """Yield that an engine takes smaller batches than the specification says."""
    yield from (one for one in told(case, c.REASON_MODEL_LOAD_FAILED) if _BATCH.search(str(one["said"])))


def differs(case: Case) -> Iterator[Fields]:
    """Yield that Triton has run another configuration than the accepted one for long."""
    found = case.subject.condition(c.MODEL_READY)
    waited = age(case.snapshot, found.get("lastTransitionTime", ""))
    if found.get("reason") == c.REASON_SERVING_CONFIG_DIFFERS and waited is not None and waited > LASTING:
        yield {"said": found.get("message", ""), "minutes": f"{waited / 60:.0f}"}


CODES: Final = (
    Code(
        "ED0401",
        "Triton refuses a model",
        Severity.ERROR,
        "{said}",
        "correct the field of spec.models that the words name, or the model; kubectl -n {namespace} logs -l"
        " edgedetector.dev/detector={name} -c triton has all of it",
        refused,
    ),
    Code(
        "ED0402",
        "The engine takes smaller batches than maxBatchSize",
        Severity.ERROR,
        "{said}",
        "lower spec.models[].maxBatchSize to what the engine was compiled for (the words name it), or compile it for"
        " larger batches",
        smaller_engine,
    ),
    Code(
        "ED0403",
        "A model's file is not there",
        Severity.ERROR,
        "{said}",
        "put the file there, or correct source or modelFile in spec.models",
        on(c.REASON_MODEL_FILE_MISSING, c.REASON_MODEL_SOURCE_MISSING),
    ),
    Code(
        "ED0404",
        "A model has another checksum",
        Severity.ERROR,
        "{said}",
        "if the new file is right: sha256sum FILE, and write that into spec.models[].source.http.sha256; else mend the"
        " file at its URL",
        on(c.REASON_CHECKSUM_MISMATCH),
    ),
    Code(
        "ED0405",
        "A model is too large for the accelerator",
        Severity.ERROR,
        "{said}",
        "use a smaller model or number format, or raise spec.triton.modelSizeLimit of AcceleratorProfile {profile}",
        on(c.REASON_MODEL_TOO_LARGE),
    ),
    Code(
        "ED0406",
        "A model cannot be fetched",
        Severity.ERROR,
        "{said}",
        "mend the server or correct source.http.url; where a NetworkPolicy stands between:"
        " spec.networkPolicy.models.cidrs",
        on(c.REASON_MODEL_FETCH_FAILED),
    ),
    Code(
        "ED0407",
        "A model's host is not allowed",
        Severity.ERROR,
        "{said}",
        "use a host that the operator allows, or have an administrator add it: helm upgrade with"
        " modelSources.allowedHosts",
        on(c.REASON_MODEL_HOST_NOT_ALLOWED),
    ),
    Code(
        "ED0408",
        "A pod does not take its serving configuration",
        Severity.WARNING,
        "for {minutes} minutes: {said}",
        "kubectl -n {namespace} logs -l edgedetector.dev/detector={name} -c detector; replacing the pod makes it begin"
        " with what is accepted",
        differs,
    ),
    Code(
        "ED0409",
        "Shared memory is too small",
        Severity.ERROR,
        "{said}",
        "raise spec.triton.sharedMemory of AcceleratorProfile {profile}",
        on(c.REASON_SHARED_MEMORY_TOO_SMALL),
    ),
    Code(
        "ED0410",
        "Frames travel in messages",
        Severity.WARNING,
        "{said}",
        "raise spec.triton.sharedMemory of AcceleratorProfile {profile}, or correct spec.triton.version to its Triton's"
        " release",
        on(c.REASON_SHARED_MEMORY_UNAVAILABLE),
    ),
)
