"""The command `size`, and the arithmetic behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.worlds import ROOT, World

from edgedetector.cli import sizing
from edgedetector.cli.sizing import Box, Load, Need

Run = Callable[..., Result]
MANY = str(ROOT / "manifests/samples/35-cameras/denglin-ks20.yaml")


def by_name(load: Load, box: Box) -> dict[str, Need]:
    return {one.resource: one for one in sizing.needs(load, box)}


def told(result: Result) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads(result.output)["resources"]}


def test_the_estimate_of_processors_gives_what_was_measured_with_30_cameras() -> None:
    """docs/results/dataplane.md: 0.58 + 0.05 + 0.22 cores, 30 sub-streams, 150 frames/s."""
    found = by_name(Load(30, 0, 150.0, sizing.assumed(30, 0)), Box())

    assert found[sizing.CPU].need == pytest.approx(0.85, rel=0.03)


def test_the_reference_s_35_cameras_take_all_of_its_175_frames_a_second_and_no_headroom() -> None:
    load, box = Load(35, 0, 175.0, sizing.assumed(35, 0)), Box(capacity=175.0)
    found = sizing.needs(load, box)

    verdict = sizing.verdict(load, found)

    assert not verdict["fits"]
    assert verdict["fullFirst"] == sizing.DEVICE
    assert verdict["camerasAtMost"] == 28, "80 % of 175, at 5 a camera"


def test_what_is_not_known_neither_fits_nor_fails() -> None:
    load = Load(4, 0, 20.0, sizing.assumed(4, 0))

    verdict = sizing.verdict(load, sizing.needs(load, Box()))

    assert verdict["fits"]
    assert verdict["unknown"] == [sizing.DEVICE, sizing.CPU, sizing.MEMORY, sizing.DEVICE_MEMORY]


def test_a_reload_needs_memory_for_old_and_new_instances() -> None:
    load = replace(Load(1, 0, 5.0, 1e5), instances=2)

    found = by_name(load, Box(device_memory=8 * 2**30, instance_memory=2**30))

    assert (found[sizing.DEVICE_MEMORY].need, found[sizing.DEVICE_MEMORY].room) == (4.0, 8.0)


@pytest.mark.parametrize(
    ("profile", "need", "said"),
    [("cpu", 2.0, "1 instance, "), ("nobody-has-it", 4.0, "assumed: 2 instances, ")],
)
def test_instances_that_nobody_can_plan_are_one_of_each_model(run: Run, profile: str, need: float, said: str) -> None:
    detector = yaml.safe_load((ROOT / "manifests/samples/one-camera/cpu.yaml").read_text())
    detector["spec"]["acceleratorProfile"] = profile
    if profile != "cpu":
        detector["spec"]["models"].append({**detector["spec"]["models"][0], "name": "another"})

    result = run("size", "-f", "-", "--instance-memory", "1Gi", "-o", "json", stdin=yaml.safe_dump(detector))

    found = told(result)["device memory"]
    assert found["need"] == need
    assert str(found["from"]).startswith(said)


def test_so_many_cameras_are_assumed_to_need_one_instance(run: Run) -> None:
    arguments = ("--device-memory", "1.5Gi", "--instance-memory", "1Gi", "-o", "json")

    result = run("size", "--cameras", "4", *arguments)

    found = told(result)["device memory"]
    assert (found["need"], found["room"]) == (2.0, 1.5)
    assert found["from"] == "assumed: 1 instance, old and new in a reload"
    assert result.exit_code == 1


@given(
    cameras=st.integers(1, 2000),
    rate=st.floats(0.1, 60),
    mains=st.booleans(),
    capacity=st.floats(1, 5000),
    cores=st.floats(1, 128),
    link=st.floats(1e6, 1e10),
)
def test_as_many_cameras_as_are_promised_fit_and_more_do_not(
    cameras: int, rate: float, capacity: float, cores: float, link: float, *, mains: bool
) -> None:
    box = Box(capacity=capacity, cores=cores, link=link)

    def fits(count: int) -> bool:
        main = count if mains else 0
        load = Load(count, main, count * rate, sizing.assumed(count, main))
        return bool(sizing.verdict(load, sizing.needs(load, box))["fits"])

    main = cameras if mains else 0
    load = Load(cameras, main, cameras * rate, sizing.assumed(cameras, main))
    most = sizing.verdict(load, sizing.needs(load, box))["camerasAtMost"]

    assert most == 0 or fits(most - 1) or fits(most), "exactly at the bound rounding decides"
    assert not fits(most + 2)


def test_a_file_is_sized_without_a_cluster(run: Run) -> None:
    result = run("size", "-f", MANY, "--images-per-second", "160", "--cores", "8", "--memory", "16Gi", "-o", "json")

    document = json.loads(result.output)
    assert result.exit_code == 1
    assert (document["kind"], document["cameras"], document["inferencesPerSecond"]) == ("Sizing", 35, 140.0)
    assert (document["fits"], document["fullFirst"], document["camerasAtMost"]) == (False, "device", 32)


def test_so_many_cameras_without_any_file(run: Run) -> None:
    result = run("size", "--cameras", "30", "--frame-rate", "4", "--images-per-second", "175", "--cores", "4")

    assert result.exit_code == 0
    assert result.output.startswith("30 cameras, 120 inferences/s\n")
    assert "it fits; room for 35 such cameras" in result.output


def test_what_runs_is_sized_by_its_status_exporter_node_and_streams(run: Run) -> None:
    found = told(run("size", "yard", "-o", "json"))

    assert found["device"]["room"] == pytest.approx(166 * 0.8), "166 is what a device without a pause serves"
    assert found["host CPU"]["room"] == pytest.approx(8 * 0.85)
    assert found["device memory"]["need"] == 2.0
    assert found["link"]["need"] == 4.0, "1,000,000 bytes in two seconds"
    assert str(found["link"]["from"]).startswith("measured")


@pytest.mark.parametrize("flags", [(), ("--images-per-second", "200")], ids=["measured", "stated"])
@pytest.mark.parametrize("stays_free", ["35%", "0%"])
def test_what_runs_keeps_the_headroom_that_its_specification_says(
    world: World, run: Run, stays_free: str, flags: tuple[str, ...]
) -> None:
    world.detector["spec"].setdefault("tuning", {})["headroom"] = {"accelerator": stays_free}

    found = told(run("size", "yard", *flags, "-o", "json"))

    whole = 200 if flags else 166
    assert found["device"]["room"] == pytest.approx(whole * (1 - int(stays_free[:-1]) / 100))


@pytest.mark.parametrize(("stays_free", "room"), [("35%", 130.0), ("0%", 200.0), (None, 160.0)])
def test_a_file_keeps_the_headroom_that_it_says_and_the_default_without(
    run: Run, stays_free: str | None, room: float
) -> None:
    detector = yaml.safe_load((ROOT / "manifests/samples/one-camera/cpu.yaml").read_text())
    tuning = detector["spec"].setdefault("tuning", {})
    tuning.pop("headroom", None)
    if stays_free is not None:
        tuning["headroom"] = {"accelerator": stays_free}

    result = run("size", "-f", "-", "--images-per-second", "200", "-o", "json", stdin=yaml.safe_dump(detector))

    assert told(result)["device"]["room"] == pytest.approx(room)


def test_cameras_whose_measured_bytes_exceed_a_slow_link_do_not_fit(run: Run) -> None:
    result = run("size", "yard", "--link", "4", "-o", "json")

    assert result.exit_code == 1
    assert json.loads(result.output)["fullFirst"] == "link"


def test_main_streams_fill_the_link_before_sub_streams_do(run: Run) -> None:
    assert run("size", "--cameras", "120").exit_code == 0
    assert run("size", "--cameras", "120", "--main-stream").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of NAME, --filename and --cameras"),
        (("yard", "--cameras", "3"), "give one of"),
        (("-f", str(ROOT / "manifests/samples")), "give one at a time"),
        (("--cameras", "3", "--memory", "much"), "write for example 16Gi"),
    ],
)
def test_what_is_asked_wrongly_is_answered_with_the_way_out(run: Run, arguments: tuple[str, ...], words: str) -> None:
    result = run("size", *arguments)

    assert result.exit_code == 2
    assert words in result.output


def test_a_wrong_specification_is_not_sized(world: World, run: Run) -> None:
    world.detector["spec"]["models"] = []

    result = run("size", "yard")

    assert result.exit_code == 2
    assert "diagnose says how" in result.output


def test_every_field_is_documented(run: Run) -> None:
    text = (ROOT / "docs/sizing.md").read_text()
    document = yaml.safe_load(run("size", "yard", "-o", "yaml").output)

    fields = set(document) - {"apiVersion", "kind", "time", "notSeen"} | set(document["resources"][0])
    assert {name for name in fields if f"`{name}`" not in text} == set()
