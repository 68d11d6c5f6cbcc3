"""Which driver a pod tells of, and how an exporter's text is read."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api import names
from edgedetector.api.dataplane import Accelerator, DetectorConfig
from edgedetector.api.wire import to_json
from edgedetector.detector.driver import Driver
from edgedetector.detector.exposition import samples, versions

UTIL = 'UTIL{{gpu="{gpu}",VERSION="{version}"}} 64'


def config(path: Path, metric: str = "UTIL") -> Path:
    accelerator = Accelerator("http://exporter/metrics", driver_metric=metric, driver_label="VERSION")
    found = path / names.FILE_DETECTOR
    found.write_text(to_json(DetectorConfig("yard", "site", 1, "", "", accelerator=accelerator)))
    return found


class Exporter:
    """Serves a text, or does not answer."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __call__(self, _url: str, _timeout: float) -> str | None:
        return self.text


def test_the_version_is_that_of_the_label_and_stays_while_nobody_answers(tmp_path: Path) -> None:
    exporter = Exporter(UTIL.format(gpu=0, version="1.0"))
    driver = Driver(config(tmp_path), ask=exporter)
    assert driver.version == ""
    for text, version in (
        (exporter.text, "1.0"),
        (None, "1.0"),
        (UTIL.format(gpu=0, version="2.0") + "\n" + UTIL.format(gpu=1, version="2.0"), "2.0"),
        ("UTIL 64", ""),
    ):
        exporter.text = text
        driver.look()
        assert driver.version == version


def test_without_a_metric_to_look_at_nobody_is_asked(tmp_path: Path) -> None:
    driver = Driver(config(tmp_path, metric=""), ask=Exporter(UTIL.format(gpu=0, version="1.0")))
    driver.look()
    assert driver.version == ""


def test_other_lines_and_broken_ones_are_passed_over() -> None:
    text = '# HELP A a\n# TYPE A gauge\nA{x="1"} 2\nAB 3\nA{x= 4\nA five\nA 6 1700000000000\nB{x="2"} NaN\n'
    found = samples(text, ("A", "B"))
    assert [(one.name, one.value) for one in found[:2]] == [("A", 2.0), ("A", 6.0)]
    assert versions(text, "A", "x") == ("1",)
    assert versions(text, "A", "y") == ()


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    samples(text, ("A",))
    samples(f"A{text}", ("A",))
    samples(f"A{{{text}}} 1", ("A",))
