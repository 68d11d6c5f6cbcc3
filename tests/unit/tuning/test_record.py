"""The tuner's record fits into a ConfigMap and comes back from it as it was."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.toy import FIRST, World, ran, situation

from edgedetector.api.wire import from_json, to_json
from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.record import Best, Denial, State, bounded, key
from edgedetector.tuning.window import BatchTime, Knobs

LIMIT = 100_000


def full(models: int, sizes: int, count: int) -> State:
    """A record that has grown for a year on a box with many models."""
    names = [f"a-model-with-a-rather-long-name-{number}" for number in range(models)]

    def configuration(number: int) -> dict[str, Knobs]:
        return {name: Knobs(number % 9 + 1, 128, (2, 4, 8, 16, 32, 64, 128), 5000 + number) for name in names}

    batches = {size: BatchTime(123456, 0.0123456, 0.123456) for size in range(1, sizes + 1)}
    latency = Range(0.0123456, 0.0234567, 0.0345678)
    visits = tuple(
        Visit(
            {
                name: ModelVisit(knobs, batches, 123.456, 123.456, 0.123456, 0.0123456, latency, 0.0123, 0.0123)
                for name, knobs in configuration(number).items()
            },
            120.0,
            FIRST + number,
        )
        for number in range(count)
    )
    return State(
        accepted=configuration(count - 1),
        visits=visits,
        memory=tuple(Best(dict.fromkeys(names, n), configuration(n), FIRST + n) for n in range(count)),
        denials=tuple(Denial(key(configuration(n)), FIRST + n, 3, "w" * 200) for n in range(count)),
        changes=tuple(FIRST + n for n in range(count)),
        reference=visits[0],
    )


def test_what_is_remembered_after_a_whole_tuning_comes_back_from_json_as_it_was() -> None:
    state, decisions = ran(World({"people": Knobs()}), situation(), 36)
    assert state.trial is not None, "a record with a trial in it"
    assert decisions
    assert from_json(State, to_json(state)) == state
    state, _ = ran(World({"people": Knobs()}), situation(), 600)
    assert state.reference is not None
    assert from_json(State, to_json(state)) == state
    assert from_json(State, to_json(State())) == State()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 8), st.sampled_from([1, 32, 128]), st.sampled_from([1, 60]))
def test_a_record_stays_small_however_much_there_was_and_keeps_what_is_accepted(
    models: int, sizes: int, count: int
) -> None:
    state = full(models, sizes, count)
    less = bounded(state)
    assert len(to_json(less)) < LIMIT
    assert state.accepted == less.visits[-1].configuration
    assert less.accepted == state.accepted
    assert bounded(less) == less
