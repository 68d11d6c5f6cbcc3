"""What the shipped definitions say of objects, without an API server."""

from __future__ import annotations

import pytest

from edgedetector.cli import schema

KINDS = ("EdgeDetector", "AcceleratorProfile")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_definition_may_be_set(kind: str) -> None:
    """Also one whose name is a word of definitions, as `format` and `description` are."""
    closed = schema._closed(schema.served(schema.definition(kind)))
    assert schema.fields(closed) == schema.shipped_fields(kind)
    assert any(field.endswith((".format", ".description")) for field in schema.fields(closed))


def test_an_input_may_say_its_layout_and_nothing_that_is_unknown() -> None:
    def misfits(**more: str) -> list[str]:
        tensor = {"name": "image", "dims": [3, 64, 64], "dataType": "FP32", **more}
        model = {"name": "people", "source": {"configMap": {"name": "people"}}, "inputs": [tensor]}
        return [one.field for one in schema.misfits({"spec": {"models": [model]}}, "EdgeDetector") if one.unknown]

    assert misfits(format="NHWC") == []
    assert misfits(layout="NHWC") == ["spec.models[0].inputs[0].layout"]
