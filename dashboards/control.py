"""The operator: whether it gets its work done, and what it asks of the API server."""

from __future__ import annotations

from typing import Final

from dashboards.model import Board, Panel, Query, Row, quantile, rate

HEAD: Final = "edgedetector_operator"

BOARD: Final = Board(
    "operator",
    "EdgeDetector / Operator",
    "The operator: whether it gets its work done, and what it asks of the API server.",
    (),
    (
        Row(
            "Now",
            (
                Panel(
                    "Since the last success",
                    "Since a pass ended without an error. A look at everything is due every five minutes by default.",
                    (Query(f"time() - max({HEAD}_last_success_timestamp_seconds)"),),
                    unit="s",
                    kind="stat",
                    width=8,
                    limit=1800,
                ),
                Panel(
                    "Queue",
                    "Resources that wait for a look, those of a later one too.",
                    (Query(f"sum({HEAD}_queued_keys)"),),
                    kind="stat",
                    width=8,
                ),
                Panel(
                    "Restarts of the watch",
                    "Times that the part that listens to the API server was begun anew.",
                    (Query(f"sum({HEAD}_kopf_restarts_total)"),),
                    kind="stat",
                    width=8,
                ),
            ),
        ),
        Row(
            "Passes",
            (
                Panel(
                    "Passes",
                    "Passes a second by what is looked at and how they ended.",
                    (Query(rate(f"{HEAD}_reconciles_total", "", "subject", "result"), "{{subject}} {{result}}"),),
                    unit="ops",
                ),
                Panel(
                    "Length of a pass, 95th percentile",
                    "One without changes takes some 20 ms.",
                    (
                        Query(
                            quantile(0.95, f"{HEAD}_reconcile_seconds", "", "subject").replace("{}", ""),
                            "{{subject}}",
                        ),
                    ),
                    unit="s",
                ),
                Panel(
                    "Errors",
                    "By phase of a pass and reason; nothing while nothing fails.",
                    (Query(rate(f"{HEAD}_errors_total", "", "phase", "reason"), "{{phase}} {{reason}}", sparse=True),),
                    unit="ops",
                ),
                Panel(
                    "Writes",
                    "Objects by what an apply did to them; at rest all are unchanged.",
                    (Query(rate(f"{HEAD}_applies_total", "", "kind", "result"), "{{kind}} {{result}}"),),
                    unit="ops",
                ),
                Panel(
                    "Requests to the API server",
                    "By verb and answer.",
                    (Query(rate(f"{HEAD}_api_requests_total", "", "verb", "code"), "{{verb}} {{code}}"),),
                    unit="reqps",
                    width=24,
                ),
            ),
        ),
    ),
)
