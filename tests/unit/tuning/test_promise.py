"""What is worth a trial."""

from __future__ import annotations

from edgedetector.tuning.evidence import Prediction, Range
from edgedetector.tuning.promise import Aim, Choice, worthwhile
from edgedetector.tuning.window import Knobs


def choice(low: float, mean: float, high: float) -> Choice:
    nothing = Prediction({})
    return Choice(Aim.GAIN, {"people": Knobs()}, nothing, nothing, Range(low, mean, high))


def test_what_is_expected_to_gain_is_worth_a_trial() -> None:
    good, vain = choice(-0.1, 0.2, 0.4), choice(-0.3, 0.01, 0.5)
    assert worthwhile([vain, good], curious=False) == worthwhile([vain, good], curious=True) == [good]


def test_what_may_gain_much_is_tried_where_nothing_is_expected_to_and_frames_are_given_up() -> None:
    much, little, worse = choice(-0.3, 0.01, 0.5), choice(-0.01, 0.02, 0.05), choice(-0.3, -0.01, 0.9)
    assert worthwhile([little, worse, much], curious=False) == []
    assert worthwhile([little, worse, much], curious=True) == [much]
