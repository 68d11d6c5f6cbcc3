"""The JSON between operator and pods."""

import dataclasses
import types
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api import dataplane, observation, trace, wire

DOCUMENTS = (
    dataplane.ServingConfig,
    dataplane.Probe,
    dataplane.DetectorConfig,
    dataplane.MediaConfig,
    dataplane.DetectorState,
    observation.Observation,
    trace.Order,
    trace.Trace,
    trace.Refused,
)


def values(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Any value of a type of the contract."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        return st.lists(values(typing.get_args(kind)[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=8), values(typing.get_args(kind)[1]), max_size=3)
    if isinstance(kind, types.UnionType):
        return st.one_of(st.none(), values(typing.get_args(kind)[0]))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{f.name: values(hints[f.name]) for f in dataclasses.fields(kind)})
    scalars = {
        str: st.text(max_size=12),
        int: st.integers(-(2**40), 2**40),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }
    return scalars[kind]


@pytest.mark.parametrize("kind", DOCUMENTS)
@given(data=st.data())
def test_a_document_read_back_equals_what_was_written(kind: typing.Any, data: st.DataObject) -> None:
    document = data.draw(values(kind))
    assert wire.from_json(kind, wire.to_json(document)) == document


def test_an_older_pod_passes_over_keys_of_a_newer_operator() -> None:
    text = '{"id": "a", "models": [], "addedLater": {"x": 1}}'
    assert wire.from_json(dataplane.ServingConfig, text) == dataplane.ServingConfig(id="a")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "ServingConfig: expected an object"),
        ("{}", "ServingConfig.id: missing"),
        ('{"id": 1}', "ServingConfig.id: expected str"),
        ('{"id": "a", "models": {}}', "ServingConfig.models: expected a list"),
        ('{"id": "a", "models": [{"name": 3}]}', "ServingConfig.models[0].name: expected str"),
    ],
)
def test_a_wrong_document_is_refused_with_the_field_named(text: str, field: str) -> None:
    with pytest.raises(wire.InvalidDocumentError) as caught:
        wire.from_json(dataplane.ServingConfig, text)
    assert field in str(caught.value)


def test_what_is_not_used_is_left_out_so_that_older_documents_stay_as_they_were() -> None:
    camera = dataplane.DetectorCamera("gate", "s0", ("people",))
    assert "substream" not in wire.to_json(camera)
    used = dataclasses.replace(camera, substream="s1")
    assert wire.from_json(dataplane.DetectorCamera, wire.to_json(used)) == used
