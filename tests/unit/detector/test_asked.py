"""Which models get a camera's frames, and whose answers they give."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.asked import served_by

NAMES = st.sampled_from(["people", "people-small", "cars", "cars-small", "plates"])


def test_a_variant_takes_the_place_of_its_model_and_of_no_other() -> None:
    variants = {"people": "people-small", "cars": "cars-small"}
    assert served_by(("people", "cars"), variants, frozenset({"people-small"})) == {
        "people-small": ("people",),
        "cars": ("cars",),
    }


def test_two_models_of_one_variant_are_answered_by_one_request() -> None:
    variants = {"day": "small", "night": "small"}
    assert served_by(("day", "night"), variants, frozenset({"small"})) == {"small": ("day", "night")}


@given(
    models=st.lists(NAMES, unique=True),
    variants=st.dictionaries(NAMES, NAMES),
    used=st.frozensets(NAMES),
)
def test_each_model_has_exactly_one_answer(models: list[str], variants: dict[str, str], used: frozenset[str]) -> None:
    served = served_by(models, variants, used)
    assert Counter(model for answers in served.values() for model in answers) == Counter(models)
    for name, answers in served.items():
        assert all(model == name or (variants[model] == name and name in used) for model in answers)
    assert served_by(models, variants) == {model: (model,) for model in models}
