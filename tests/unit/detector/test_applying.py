"""What is done about one model."""

from __future__ import annotations

import pytest

from edgedetector.api.dataplane import ModelServing
from edgedetector.detector.applying import RETRY, Failure, Seen, Step, step

WANTED = ModelServing("people", 2, (), 8, 100, "new")
FAILED = Failure("new", "does not load", 100.0)


def seen(*, ready: bool = True, differences: tuple[str, ...] = (), good: str | None = "new") -> Seen:
    return Seen(live=True, ready=ready, differences=differences, good=good)


@pytest.mark.parametrize(
    ("case", "look", "failure", "expected"),
    [
        ("no server", Seen(live=False), None, Step.WAIT),
        ("no server after a failure", Seen(live=False, good="old"), FAILED, Step.WAIT),
        ("as wanted", seen(), None, Step.NOTHING),
        ("first load", seen(ready=False, good=None), None, Step.LOAD),
        ("Triton restarted alone", seen(ready=False), None, Step.LOAD),
        ("another text that shows in no field", seen(good="old"), None, Step.LOAD),
        ("Triton serves something else", seen(differences=("max_batch_size: 8, 4",)), None, Step.LOAD),
        ("failed a moment ago, the old one serves", seen(good="old"), FAILED, Step.NOTHING),
        ("failed, and Triton restarted since", seen(ready=False, good="old"), FAILED, Step.RESTORE),
        ("failed, and nothing ever worked", seen(ready=False, good=None), FAILED, Step.NOTHING),
        ("another text failed", seen(good="old"), Failure("older", "", 100.0), Step.LOAD),
    ],
)
def test_step(case: str, look: Seen, failure: Failure | None, expected: Step) -> None:
    assert step(WANTED, look, failure, 101.0) is expected, case


def test_what_failed_is_tried_again_after_a_while() -> None:
    look = seen(ready=False, good="old")
    assert step(WANTED, look, FAILED, FAILED.at + RETRY - 0.1) is Step.RESTORE
    assert step(WANTED, look, FAILED, FAILED.at + RETRY) is Step.LOAD
