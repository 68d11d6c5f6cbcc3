"""What the benchmark concludes of cameras on the emulated device, and what their process is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.dataplane import __main__ as command
from bench.dataplane import emulated, ks20, models, objects, overload, pod, scenes, watching
from emulator.device import choose
from emulator.profile import override, to_dict
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorConfig, ServingConfig
from edgedetector.api.wire import from_json
from edgedetector.detector import decoders
from edgedetector.detector.repository import Paths

ROW: dict[str, Any] = {
    "case": "any",
    "times": 3.0,
    "moves": 0,
    "p99_ms": 400.0,
    "bound": 600.0,
    "top": 1.0,
    "top_rate": 5.0,
    "unequal": 0.02,
    "growth": 0.0,
    "limit": "none",
}
IDLE = {"host": 0.5, "processors": 2, "cores": 0.8, "emulated_host": 0.4, "utilisation": 0.6, "skipped": 0.0}
USED = {"detector": 0.4, "go2rtc": 0.1, "triton": 0.2, "cameras": 0.1, "device": 0.0}


def seen(**changes: Any) -> watching.Seen:
    """Return two cameras that were looked at for ten seconds: 40 and 20 frames due, 40 and 10 with a result."""
    first = {"inferred": {}, "offered": {}, "rungs": {"cam0": 0.0, "cam1": 2.0}, "stages": {}, "said": []}
    first |= {"descriptors": 9, "threads": 8}
    middle = {**first, "inferred": {"cam0": 20, "cam1": 1}, "offered": {"cam0": 20, "cam1": 10}}
    last = {
        **first,
        "inferred": {"cam0": 40, "cam1": 10},
        "offered": {"cam0": 40, "cam1": 20},
        "stages": {"read": 2.0},
        "said": [[103.0, "lowered cam1"]],
    }
    ages = [(10.0 * number, 5.0) for number in range(1, 101)]
    memory = {name: [10.0] * 8 for name in ("detector", "triton", "go2rtc")}
    given = {
        "recent": ages,
        "late": ages[50:],
        "devices": [watching.Device(0.5, 0.7)],
        "memory": memory,
        "used": {"detector": 0.3, "triton/stub": 0.2},
        "host": 0.4,
    }
    return watching.Seen(first, last, middle, 100.0, 10.0, **{**given, **changes})


def test_rates_losses_and_ages_are_of_all_the_time_and_of_its_second_half() -> None:
    found = watching.summary(seen(), 5.0, top="cam0")
    assert (found["count"], found["wanted"], found["rate"], found["offered"]) == (2, 10.0, 5.0, 6.0)
    assert (found["skipped"], found["skipped_late"]) == (
        pytest.approx(1 / 6, abs=1e-5),
        pytest.approx(1 / 30, abs=1e-5),
    )
    assert (found["top"], found["top_rate"], found["rate_late"]) == (1.0, 4.0, pytest.approx(29 / 5))
    assert (found["p50_ms"], found["p99_ms"], found["waited_p99_ms"]) == (500.0, 990.0, 985.0)
    assert found["p50_ms_late"] == 750.0
    assert (found["triton"], found["cores"], found["stages"]) == (0.2, 0.5, {"read": 0.2})
    assert (found["said"], found["moves"], found["degraded"]) == ([(3.0, "lowered cam1")], 1, 1)


def test_memory_that_grows_in_one_process_grows_in_all() -> None:
    memory = {"detector": [10.0] * 4 + [20.0] * 4, "triton": [10.0] * 8, "go2rtc": [10.0] * 8}
    found = watching.summary(seen(memory=memory), 5.0, top="cam0")
    assert (found["growth"], found["growth:detector"], found["growth:triton"]) == (pytest.approx(1 / 3, abs=1e-4), 1, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "none"),
        ({"host": 0.97, "cores": 1.5}, "this host, 97% busy: detector 0.40 cores, not ours 0.44"),
        ({"emulated_host": 0.95}, "the emulated host, 95% busy"),
        ({"skipped": 0.3}, "the emulated device, 60% busy by its monitor"),
    ],
)
def test_the_part_that_was_the_limit_is_named(changes: dict[str, Any], said: str) -> None:
    assert watching.limit({**IDLE, **USED, **changes}) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"times": 2.0}, "2.00 times"),
        ({"p99_ms": 700.0}, "age p99 700 ms, goal 600 ms"),
        ({"top_rate": 4.0}, "4.00 of 5 frames/s"),
        ({"top": 0.9}, "the top camera"),
        ({"unequal": 0.06}, "differ by 6.0%"),
        ({"unequal": None}, "the others got nothing"),
        ({"growth": 0.1}, "memory grew by 10.0%"),
    ],
)
def test_each_promise_of_overload_is_judged(changes: dict[str, Any], said: str) -> None:
    assert overload.missed(ROW) == []
    (found,) = overload.missed({**ROW, **changes})
    assert said in found


def test_ages_are_judged_by_the_interval_only_as_long_as_the_ladder_leaves_it() -> None:
    assert overload.missed({**ROW, "p99_ms": 700.0, "moves": 2}) == []


def test_with_the_ladder_the_load_is_what_is_wanted_over_what_was_done_without() -> None:
    without = {"rate": 40.0, "offered": 118.0, "inference_p99_ms": 300.0}
    assert overload.compared(without, None, [])["times"] == pytest.approx(2.95)
    found = overload.compared({"rate": 28.0, "offered": 28.0, "inference_p99_ms": 100.0}, 120.0, [without])
    assert found == {"bound": 300.0, "times": 3.0}


def test_scaled_down_cameras_ask_as_much_of_a_device_that_is_slower() -> None:
    found = ks20.cases((30, 35))
    assert [(case.cameras, slower) for case, slower in found] == [(30, 1.0), (35, 1.0), (12, 2.5), (14, 2.5)]
    ((fewer, slower),) = ks20.cases((7,))[1:]
    assert fewer.cameras * slower == pytest.approx(7.0)


def test_the_detectors_process_reads_what_is_written_for_it(tmp_path: Path) -> None:
    served = models.Served("yolov8n", instances=4, emulated=True)
    wanted = pod.Wanted((served,), pod.cameras(3, 5.0, served.name), "rtsp://127.0.0.1:1", "127.0.0.1:2")
    pod.write(tmp_path, wanted)
    paths = Paths.under(tmp_path)
    config = from_json(DetectorConfig, (paths.detector / names.FILE_DETECTOR).read_text())
    serving = from_json(ServingConfig, (paths.serving / names.FILE_ACCEPTED).read_text())
    assert [(camera.name, camera.priority) for camera in config.cameras] == [("cam0", 100), ("cam1", 0), ("cam2", 0)]
    assert (config.models, serving.models[0].config) == ((served.seen,), served.config)
    assert config.degradation.steps
    assert config.accelerator.url == "http://127.0.0.1:2/metrics"


def test_cameras_are_live_when_each_has_a_result() -> None:
    states = {"cam0": "Live", "cam1": "Live"}
    assert pod.live({"states": states, "inferred": {"cam0": 1, "cam1": 2}}, 2)
    assert not pod.live({"states": states, "inferred": {"cam0": 1}}, 2)
    assert not pod.live({"states": {**states, "cam1": "Stalled"}, "inferred": {"cam0": 1, "cam1": 2}}, 2)


@pytest.mark.parametrize("objects", [5, 50, 120])
def test_suppression_here_and_in_the_model_finds_the_same_objects(objects: int) -> None:
    code: dict[str, Any] = {}
    exec(scenes.CODE.replace("import triton_python_backend_utils as pb", "").split("class Triton")[0], code)  # noqa: S102
    raw = code["scene"](objects, scenes.CANDIDATES, scenes.CLASSES, scenes.ANCHORS, scenes.SIZE, *scenes.PICTURE)
    boxes, scores, classes, (count,) = code["suppressed"](raw, scenes.CONFIDENCE, scenes.IOU, scenes.ROOM)
    model = scenes.Scene(objects, inside=False).model()
    asked = decoders.Request(scenes.CONFIDENCE, scenes.SIZE, scenes.SIZE)
    here = decoders.decode(model.config, {"output0": raw}, asked)
    assert count == len(here.scores) == objects
    best = np.argsort(-here.scores)
    for there, ours in ((boxes, here.corners), (scores, here.scores), (classes, here.classes)):
        np.testing.assert_array_equal(there[np.argsort(-scores[:count])], ours[best])


@pytest.mark.parametrize("place", objects.PLACES)
def test_triton_is_told_of_every_part_of_a_scene(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "nms.py"
    shipped.touch()
    monkeypatch.setattr(scenes, "SHIPPED", shipped)
    each = objects.scene(place, 50)
    scenes.Scene(50, inside=False).write(tmp_path)
    if place != "here":
        each.write(tmp_path)
    for name in each.parts:
        config = text_format.Parse((tmp_path / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert config.name == name
        steps = [step.model_name for step in config.ensemble_scheduling.step]
        assert steps == (list(each.parts[:-1]) if len(each.parts) > 1 and name == each.name else [])
    assert each.model().name == each.parts[-1] == each.name


def test_a_place_that_the_product_does_not_have_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenes, "SHIPPED", tmp_path / "nms.py")
    assert objects.places() == ("here", "in the model")
    assert "not measured: behind it" in capsys.readouterr().out


def test_a_part_that_fails_is_missed_and_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> dict[str, Any]:
        raise OSError("no such device")

    monkeypatch.setitem(command.PARTS, "ks20", broken)
    assert command.measured("ks20", command.options([])) == {"missed": ["not measured: OSError: no such device"]}


def test_what_is_stretched_are_times_of_the_device() -> None:
    known = to_dict(override(choose("ks20"), dict(emulated.KS20)))
    assert all(emulated.field(known, name) > 0 for name in emulated.SPEEDS)
