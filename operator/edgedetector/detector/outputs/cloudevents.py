"""Reports as CloudEvents 1.0 in structured mode. Pure.

Types: `dev.edgedetector.object.new`, `.update`, `.end`. Source: /namespaces/NAMESPACE/edgedetectors/NAME. Subject:
CAMERA/OBJECT. The id is the report's, the same in every attempt: source and id together tell a receiver what it has
had already (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#id).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from edgedetector.detector.outputs import topics
from edgedetector.detector.outputs.reports import Report

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPE: Final = "dev.edgedetector.object."


def source(namespace: str, name: str) -> str:
    """Return the source of a detector's events, a URI reference."""
    return f"/namespaces/{quote(namespace, safe='')}/edgedetectors/{quote(name, safe='')}"


def encode(report: Report, origin: str) -> bytes:
    """Return the event as JSON; `origin` is its source."""
    after = report.after
    at = datetime.fromtimestamp(after.seen, UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "specversion": "1.0",
            "id": report.id,
            "source": origin,
            "type": TYPE + report.kind,
            "subject": f"{after.camera}/{after.id}",
            "time": at.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {**topics.attributes(after), "zone": report.zone},
        },
        separators=(",", ":"),
    ).encode()


def signature(key: str, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return headers by which a receiver that has the key knows sender and age of a request.

    HMAC-SHA256 over id, time and body, as in Standard Webhooks
    (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). The key is taken as it
    stands in the Secret, or decoded from base64 if it begins with `whsec_`.
    """
    secret = base64.b64decode(key.removeprefix("whsec_")) if key.startswith("whsec_") else key.encode()
    digest = hmac.new(secret, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
