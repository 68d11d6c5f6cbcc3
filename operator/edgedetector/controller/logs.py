"""One JSON object a line: time, level, logger, message, and what the record carries in `fields`."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is one text in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        reference = getattr(record, "k8s_ref", None)
        if isinstance(reference, dict):
            line["resource"] = "/".join(
                part for part in (reference.get("kind"), reference.get("namespace"), reference.get("name")) if part
            )
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str, style: str) -> None:
    """Send all logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = "%(asctime)s %(levelname)-7s %(name)s %(message)s %(fields)s"
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(text, defaults={"fields": ""}))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Kopf and its HTTP library tell a story a request; what they warn of is what matters here.
    for name in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def about(resource: object, **fields: Any) -> dict[str, Any]:
    """Return the `extra` of a log call about a resource."""
    return {"fields": {"resource": str(resource), **fields}}
