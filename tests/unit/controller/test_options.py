"""Command line over environment over defaults."""

from __future__ import annotations

import pytest

from edgedetector.controller import options


def test_the_environment_is_read_and_the_command_line_wins() -> None:
    environment = {
        "EDGEDETECTOR_DETECTOR_IMAGE": "registry/detector:1",
        "EDGEDETECTOR_IMAGE_REPLACEMENTS": '{"a:1": "b:2"}',
        "EDGEDETECTOR_NAMESPACES": "site-a, site-b",
        "EDGEDETECTOR_RESYNC": "60",
        "EDGEDETECTOR_NETWORK_POLICIES": "false",
        "EDGEDETECTOR_MODEL_HOSTS": "a.example,*.b.example",
        "EDGEDETECTOR_PROMETHEUS_NAMESPACES": "",
        "EDGEDETECTOR_UPGRADE_POLICY": "Immediate",
    }
    found = options.parse(["--resync", "30"], environment)
    assert found.detector_image == "registry/detector:1"
    assert found.image_replacements == {"a:1": "b:2"}
    assert found.namespaces == ("site-a", "site-b")
    assert found.resync == 30.0
    assert found.network_policies is False
    assert found.model_hosts == ("a.example", "*.b.example")
    assert found.prometheus_namespaces == ()
    assert found.upgrade_policy == "Immediate"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resync", "0"],
        ["--workers", "-1"],
        ["--workers", "many"],
        ["--image-replacements", "[]"],
        ["--image-replacements", '{"a": 1}'],
        ["--monitoring-labels", "release=x"],
        ["--network-policies", "maybe"],
        ["--upgrade-policy", "immediate"],
    ],
)
def test_a_mistake_ends_the_process_with_a_usage_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(arguments, {})
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
