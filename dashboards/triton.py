"""Panels on Triton, which several dashboards show."""

from __future__ import annotations

from typing import Final

from dashboards.model import RATE, Panel, Query, rate

STEPS: Final = ("queue", "compute_input", "compute_infer", "compute_output")
"""Where a request spends its time in Triton, in order; Triton counts microseconds."""


def requests(selector: str) -> Panel:
    """Return requests a second, and those that failed."""
    return Panel(
        "Requests",
        "Requests a second that Triton answered, and failed ones.",
        (
            Query(rate("nv_inference_request_success", selector, "model"), "{{model}}"),
            Query(rate("nv_inference_request_failure", selector, "model"), "{{model}} failed"),
        ),
        unit="reqps",
        width=8,
    )


def batch(selector: str) -> Panel:
    """Return the mean number of images that are executed at once."""
    executed = f"({rate('nv_inference_exec_count', selector, 'model')} > 0)"
    return Panel(
        "Batch",
        "Mean number of images that one execution takes.",
        (Query(f"{rate('nv_inference_count', selector, 'model')} / {executed}", "{{model}}"),),
        width=8,
    )


def queue(selector: str) -> Panel:
    """Return the mean length of the queue: by Little's law the time in it, a second."""
    return Panel(
        "Waiting requests",
        "Mean number of requests in the queue.",
        (Query(f"{rate('nv_inference_queue_duration_us', selector, 'model')} / 1e6", "{{model}}"),),
        width=8,
    )


def split(selector: str, *, width: int = 12) -> Panel:
    """Return where a request spends its time."""
    answered = f"(sum(rate(nv_inference_request_success{{{selector}}}[{RATE}])) > 0)"
    return Panel(
        "Time of a request in Triton",
        "By step. Much waiting asks for instances or a smaller load, much input for a wider link or shared memory.",
        tuple(
            Query(f"{rate(f'nv_inference_{step}_duration_us', selector)} / {answered} / 1e6", step.replace("_", " "))
            for step in STEPS
        ),
        unit="s",
        kind="areas",
        width=width,
    )
