"""The calibrated device and its seeded relatives, in virtual time."""

import tomllib
from collections import Counter

import pytest
from emulator import model, seeds, simulate
from emulator.device import CALIBRATION
from emulator.profile import load, override

DEVICES = load(CALIBRATION)
KS20 = DEVICES["ks20"]
RUNGS = tomllib.loads(CALIBRATION.read_text())["rungs"]


def run(rung, **changes):
    return simulate.closed_loop(
        override(KS20, {**rung["set"], **changes}), instances=rung["instances"], precision=rung["precision"]
    )


def rung(target):
    return next(entry for entry in RUNGS if entry["target"] == target)


@pytest.mark.parametrize("entry", RUNGS, ids=lambda entry: entry["name"])
def test_each_rung_of_the_reference_comes_out(entry):
    outcome = run(entry)

    assert outcome.images_per_second == pytest.approx(entry["target"], rel=0.02)
    if "utilisation" in entry:
        assert outcome.utilisation == pytest.approx(entry["utilisation"], abs=0.05)


def test_the_rungs_are_those_of_the_reference():
    assert [entry["target"] for entry in RUNGS] == [35, 120, 140, 165, 175, 200]


def test_at_the_175_rung_the_host_is_the_limit_and_the_device_has_room():
    full, halved = run(rung(175)), run(rung(175), **{"host.time_per_image": KS20.host.time_per_image / 2})

    assert full.host_utilisation == pytest.approx(0.95, abs=0.02)
    assert halved.images_per_second == pytest.approx(200, rel=0.02)
    # The monitor's figure is proportional to the rate.
    assert full.utilisation * 150 / 175 <= 0.80
    assert 150 / halved.images_per_second <= 0.80


def test_latency_on_the_first_rungs_is_the_reference_s():
    assert run(rung(35)).latency == pytest.approx(28, abs=1)
    assert run(rung(120)).latency == pytest.approx(8, abs=0.7)


def test_without_the_patch_four_instances_are_worse_than_two():
    two = simulate.closed_loop(KS20, instances=2)
    four = simulate.closed_loop(KS20, instances=4)

    assert four.images_per_second < 0.9 * two.images_per_second


def test_a_tuner_can_reach_165_on_the_fp32_engine_without_the_patch():
    outcomes = simulate.sweep(KS20, instances=3)

    assert outcomes[simulate.best(outcomes)].images_per_second > 170
    assert outcomes[1, 1].images_per_second == pytest.approx(120, rel=0.02)


def test_on_the_narrow_link_nothing_that_a_tuner_can_do_comes_near_the_wide_one():
    narrow = override(KS20, {"link.generation": 3, "link.lanes": 1})

    outcomes = simulate.sweep(narrow, instances=3)

    assert max(outcome.images_per_second for outcome in outcomes.values()) < 45


def test_the_batching_device_gains_more_than_four_times():
    outcomes = simulate.sweep(DEVICES["batching"], instances=2)

    assert outcomes[simulate.best(outcomes)].images_per_second > 4.4 * outcomes[1, 1].images_per_second


def test_a_seed_gives_the_same_device_every_time():
    assert [seeds.device(seed) for seed in range(1, 21)] == [seeds.device(seed) for seed in range(1, 21)]
    assert len({seeds.device(seed).name for seed in range(1, 21)}) == 20


def test_the_seeded_devices_have_different_optima():
    swept = {seed: simulate.sweep(seeds.device(seed), instances=4, seconds=0.8) for seed in range(1, 21)}
    optima = {seed: simulate.best(outcomes) for seed, outcomes in swept.items()}
    gain = {
        seed: outcomes[optima[seed]].images_per_second / outcomes[1, 1].images_per_second
        for seed, outcomes in swept.items()
    }

    assert len(set(optima.values())) >= 8
    assert max(Counter(optima.values()).values()) <= 6
    assert optima[5][0] == optima[15][0] == 1, "contention: one instance"
    assert min(optima[10][0], optima[20][0]) >= 2, "several engines"
    assert max(gain[9], gain[19]) < 1.1, "the host is the limit: nothing to gain"
    assert min(gain[10], gain[20]) > 3


@pytest.mark.parametrize("seed", [7, 17])
def test_on_a_device_with_a_memory_wall_few_instances_fit(seed):
    device, state = seeds.device(seed), model.DeviceState()

    def fill():
        nonlocal state
        while True:
            state, _ = model.open_session(state, device, model="m", precision="fp32", max_batch=device.max_batch)

    with pytest.raises(model.RefusedError, match="out of memory"):
        fill()

    assert 1 <= len(state.sessions) < 4
