"""One JSON object a line: time, level, logger, message, and what the record carries in `fields`."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

# Errors of one chain that are worth reading.
_CAUSES: Final = 5


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


def frames(error: BaseException | None) -> str:
    """Return where an error and its causes came from, without their texts: those may quote any value."""
    found: list[str] = []
    while error is not None and len(found) < _CAUSES:
        found.append(type(error).__name__ + "\n" + "".join(traceback.format_tb(error.__traceback__)))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "caused by ".join(found)
