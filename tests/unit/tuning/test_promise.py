"""What is worth a trial."""

from __future__ import annotations

from edgedetector.tuning.evidence import Prediction, Range
from edgedetector.tuning.promise import Aim, Choice, worthwhile
from edgedetector.tuning.window import Knobs

NOW = {"people": Knobs(2, 4)}


def choice(low: float, mean: float, high: float, delay: int = 0) -> Choice:
    nothing = Prediction({})
    knobs = Knobs(2, 6, max_queue_delay_microseconds=delay)
    return Choice(Aim.GAIN, {"people": knobs}, nothing, nothing, Range(low, mean, high))


def test_what_is_expected_to_gain_is_worth_a_trial() -> None:
    good, vain = choice(-0.1, 0.2, 0.4), choice(-0.3, 0.01, 0.5)
    assert worthwhile([vain, good], NOW, curious=False) == worthwhile([vain, good], NOW, curious=True) == [good]


def test_what_may_gain_much_is_tried_where_nothing_is_expected_to_and_frames_are_given_up() -> None:
    much, little, worse = choice(-0.3, 0.01, 0.5), choice(-0.01, 0.02, 0.05), choice(-0.3, -0.01, 0.9)
    assert worthwhile([little, worse, much], NOW, curious=False) == []
    assert worthwhile([little, worse, much], NOW, curious=True) == [much]


def test_to_wait_longer_for_requests_is_nothing_to_be_curious_of() -> None:
    """Seed 1 on a real Triton: a delay of 5 ms was tried where frames waited anyway, for +0 %."""
    assert worthwhile([choice(-0.1, 0.0, 0.3, delay=5000)], NOW, curious=True) == []
    assert len(worthwhile([choice(-0.1, 0.1, 0.3, delay=5000)], NOW, curious=True)) == 1
