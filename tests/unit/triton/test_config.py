"""Files and configurations in force."""

from __future__ import annotations

from typing import Any

import pytest

from edgedetector.triton.config import InvalidConfigError, differences, parse, parts

FILE = """
name: "people"
backend: "python"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 576, 768, 3 ] } ]
output [ { name: "boxes" data_type: TYPE_FP32 dims: [ 64, 4 ] } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { max_queue_delay_microseconds: 1000 }
parameters { key: "mode" value { string_value: "fast" } }
"""


def in_force(text: str = FILE) -> Any:
    """What Triton answers: the same with its defaults filled in."""
    config = parse(text)
    config.version_policy.latest.num_versions = 1
    config.instance_group[0].name = "people_0"
    config.default_model_filename = "model.py"
    if not config.dynamic_batching.preferred_batch_size:
        config.dynamic_batching.preferred_batch_size.append(config.max_batch_size)
    return config


def test_defaults_that_triton_fills_in_are_no_difference() -> None:
    assert differences(parse(FILE), in_force()) == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("count: 2", "count: 3", "instance_group[0].count: 3, 2"),
        ("max_batch_size: 8", "max_batch_size: 4", "max_batch_size: 4, 8"),
        ("microseconds: 1000", "microseconds: 7", "dynamic_batching.max_queue_delay_microseconds: 7, 1000"),
        ("[ 64, 4 ]", "[ 64, 5 ]", "output[0].dims[1]: 5, 4"),
        ("[ 64, 4 ]", "[ 64 ]", "output[0].dims: 1 entries, 2"),
        ('"fast"', '"slow"', "parameters.mode.string_value: slow, fast"),
        ('key: "mode"', 'key: "other"', "parameters.other: wanted, missing"),
    ],
)
def test_what_differs_is_named(old: str, new: str, expected: str) -> None:
    assert expected in differences(parse(FILE.replace(old, new)), in_force())


def test_preferred_sizes_that_were_dropped_are_a_difference() -> None:
    before = in_force(FILE.replace("dynamic_batching {", "dynamic_batching { preferred_batch_size: [ 2, 4 ]"))
    assert differences(parse(FILE), before) == ("dynamic_batching.preferred_batch_size: none, [2, 4]",)


@pytest.mark.parametrize("bad", ["max_batch_size: many", "nonsense: 1", "input [ {", "data_type: TYPE_UINT8"])
def test_a_file_that_is_no_configuration_is_refused_with_its_place(bad: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"\d+:\d+"):
        parse(f'name: "people"\n{bad}')


def test_an_ensemble_names_its_parts_in_order_and_any_other_model_none() -> None:
    steps = 'step [ { model_name: "b" } , { model_name: "a" } ]'
    assert parts(parse(f'name: "c" platform: "ensemble" ensemble_scheduling {{ {steps} }}')) == ("b", "a")
    assert parts(parse(FILE)) == ()
