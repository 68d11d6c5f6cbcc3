"""What decodes a camera is shown once, and goes with the camera."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from edgedetector.detector.metrics import Metrics
from edgedetector.detector.reading import Reading

SERIES, READ = "edgedetector_camera_frames_total", {"camera": "gate", "result": "read"}


def shown(metrics: Metrics) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        family.name.removeprefix("edgedetector_camera_"): [
            (tuple(value for _, value in sorted(sample.labels.items())), sample.value) for sample in family.samples
        ]
        for family in families
    }


def test_what_decodes_is_shown_and_whether_it_was_to_be_something_else() -> None:
    metrics = Metrics()
    metrics.decoding("gate", Reading(codec="h264", decoder="cuda"))
    metrics.decoding("yard", Reading(codec="hevc", decoder="software", fallback="cuda: no device"))
    found = shown(metrics)
    assert found["decoder_info"] == [(("gate", "h264", "cuda"), 1.0), (("yard", "hevc", "software"), 1.0)]
    assert found["decoder_fallback"] == [(("gate",), 0.0), (("yard",), 1.0)]
    metrics.decoding("gate", Reading(codec="h264", decoder="software", fallback="cuda: device lost"))
    assert (("gate", "h264", "software"), 1.0) in shown(metrics)["decoder_info"]
    assert len(shown(metrics)["decoder_info"]) == 2


def test_what_is_offered_stays_while_the_rate_that_is_asked_for_falls() -> None:
    metrics = Metrics()
    metrics.add_camera("gate", 10.0)
    metrics.target.labels("gate").set(2.0)
    assert metrics.registry.get_sample_value("edgedetector_camera_offered_frame_rate", {"camera": "gate"}) == 10.0


def test_a_removed_camera_leaves_no_series_and_may_come_back() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.decoding("gate", Reading(codec="h264", decoder="software"))
        assert len(shown(metrics)["decoder_info"]) == 1
        metrics.remove_camera("gate")
        assert shown(metrics)["decoder_info"] == shown(metrics)["decoder_fallback"] == []


def test_frames_of_a_camera_that_is_back_are_counted_and_shown() -> None:
    metrics = Metrics()
    metrics.count("gate", "read")
    metrics.remove_camera("gate")
    assert metrics.registry.get_sample_value(SERIES, READ) is None
    metrics.count("gate", "read", 2)
    assert metrics.registry.get_sample_value(SERIES, READ) == 2
