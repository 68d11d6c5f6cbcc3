"""Label selectors: what fits, what is said of them, and that what is told to be changed makes labels fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.cli.selectors import Change, fits, mend, told

KEYS = st.sampled_from(["release", "team", "tier"])
VALUES = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
EXPRESSIONS = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        KEYS,
        st.sampled_from(["In", "NotIn"]),
        st.lists(VALUES, min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator}, KEYS, st.sampled_from(["Exists", "DoesNotExist"])
    ),
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSIONS, max_size=2)}
)


@given(labels=LABELS)
def test_an_empty_selector_takes_everything(labels: dict[str, str]) -> None:
    assert fits({}, labels)


@given(selector=SELECTORS, labels=LABELS)
def test_after_the_change_that_is_told_labels_fit(selector: dict[str, Any], labels: dict[str, str]) -> None:
    change = mend(selector, labels)

    if change is not None:
        assert fits(selector, change.of(labels))
        assert (change == Change()) == fits(selector, labels), "what fits is left alone"


@given(wanted=LABELS, labels=LABELS)
def test_labels_that_are_named_can_always_be_set(wanted: dict[str, str], labels: dict[str, str]) -> None:
    change = mend({"matchLabels": wanted}, labels)

    assert change is not None
    assert change.of(labels) == {**labels, **wanted}


@pytest.mark.parametrize(
    ("expression", "said", "change"),
    [
        ({"key": "team", "operator": "In", "values": ["x", "y"]}, "team in (x, y)", "set team: x"),
        ({"key": "tier", "operator": "Exists"}, "tier", "set tier: true"),
        ({"key": "team", "operator": "NotIn", "values": ["site"]}, "team notin (site)", "remove team"),
        ({"key": "team", "operator": "DoesNotExist"}, "!team", "remove team"),
    ],
)
def test_an_expression_is_told_as_kubectl_does_with_what_mends_it(
    expression: dict[str, Any], said: str, change: str
) -> None:
    selector = {"matchExpressions": [expression]}

    assert told(selector) == said
    assert str(mend(selector, {"team": "site"})) == change


def test_a_selector_that_contradicts_itself_cannot_be_mended() -> None:
    never = {"matchLabels": {"team": "x"}, "matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}

    assert mend(never, {}) is None
