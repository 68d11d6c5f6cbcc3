"""Ask the Prometheus of the cluster."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forward import forward, get

NAMESPACE = "monitoring"
TARGET = "service/prometheus-operated"
PORT = 9090
PATIENCE = 60.0  # seconds for an answer: the node may be busy


@dataclass(frozen=True)
class Prometheus:
    """Prometheus' HTTP API at `base`."""

    base: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        parameters = urllib.parse.urlencode({"query": expression})
        answer = json.loads(get(f"{self.base}/api/v1/query?{parameters}", PATIENCE))
        return list(answer["data"]["result"])

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Alerting rules that are loaded, by name."""
        answer = json.loads(get(f"{self.base}/api/v1/rules?type=alert"))
        return {rule["name"]: rule for group in answer["data"]["groups"] for rule in group["rules"]}

    def active(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing: labels, annotations, state."""
        answer = json.loads(get(f"{self.base}/api/v1/alerts", PATIENCE))
        return list(answer["data"]["alerts"])


@contextlib.contextmanager
def prometheus() -> Iterator[Prometheus]:
    """Yield the cluster's Prometheus."""
    with forward(NAMESPACE, TARGET, PORT) as base:
        yield Prometheus(base)
