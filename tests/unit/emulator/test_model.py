"""The device's laws, for any device and any traffic, in virtual time."""

import itertools
import math

import pytest
from emulator import model, seeds
from emulator.device import CALIBRATION
from emulator.profile import Compute, DeviceProfile, Host, Memory, Scheduler, Shape, Thermal, load, override
from hypothesis import given, settings
from hypothesis import strategies as st

KS20 = load(CALIBRATION)["ks20"]
PLAIN = DeviceProfile("plain", {"fp32": Compute(base=2.0, per_image=3.0)})
devices = st.one_of(st.just(KS20), st.integers(1, 200).map(seeds.device))


@st.composite
def traffic(draw):
    """(instances, [(instance, images, milliseconds since the one before)])"""
    instances = draw(st.integers(1, 4))
    step = st.tuples(st.integers(0, instances - 1), st.integers(1, 8), st.floats(0, 40, allow_nan=False))
    return instances, draw(st.lists(step, min_size=1, max_size=40))


def opened(device, count, **arguments):
    state, sessions = model.DeviceState(), []
    for index in range(count):
        state, session = model.open_session(
            state, device, **{"model": f"m{index}", "precision": "fp32", "max_batch": 8, **arguments}
        )
        sessions.append(session.id)
    return state, sessions


def replay(device, plan):
    """Executions in the order of their arrival: (arrival, session, execution), and the last state."""
    instances, steps = plan
    device = override(device, {"memory.total": 1e6})
    state, sessions = opened(device, instances)
    ready, now, runs = dict.fromkeys(sessions, 0.0), 0.0, []
    for index, images, pause in steps:
        session = sessions[index]
        now = max(now + pause, ready[session])  # an instance has one execution at a time
        state, run = model.execute(state, device, session, images=images, payload=1_000_000 * images, now=now)
        ready[session] = run.done
        runs.append((now, session, images, run))
    return device, state, runs


@settings(deadline=None)
@given(devices, traffic())
def test_time_only_goes_forward_and_nothing_is_free(device, plan):
    device, _state, runs = replay(device, plan)

    for arrival, _session, images, run in runs:
        assert arrival <= run.link_start <= run.link_end <= run.device_start < run.done
        assert run.done - run.device_start >= device.compute["fp32"].per_image * images * (1 - 1e-9)
        assert 0 <= run.busy <= (run.done - run.link_start) * (1 + 1e-9)


@settings(deadline=None)
@given(devices, traffic())
def test_link_and_engines_do_one_thing_at_a_time(device, plan):
    device, _state, runs = replay(device, plan)
    executions = [run for *_, run in runs]

    for earlier, later in itertools.pairwise(executions):
        assert later.link_start >= earlier.link_end
    for run in executions:
        at_once = [other for other in executions if other.device_start <= run.device_start < other.done]
        assert len(at_once) <= device.scheduler.engines


@settings(deadline=None)
@given(devices, traffic())
def test_the_monitor_s_figures_stay_in_range(device, plan):
    device, state, runs = replay(device, plan)
    thermal = device.thermal
    hottest = thermal.ambient + thermal.max_power * thermal.degrees_per_watt

    for now in (runs[-1][0], runs[-1][3].done, runs[-1][3].done + 5_000):
        state = model.advance(state, device, now)
        reading = model.read(state, device, now)
        assert 0 <= reading.utilisation <= 1
        assert 0 <= reading.host_utilisation <= 1
        assert thermal.ambient <= reading.temperature <= hottest + 1e-9
        assert thermal.idle_power <= reading.power <= thermal.max_power
    assert reading.utilisation == 0, "idle for longer than the window"


@settings(deadline=None)
@given(devices, traffic())
def test_equal_traffic_gives_equal_times(device, plan):
    assert replay(device, plan)[2] == replay(device, plan)[2]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 32), st.booleans()), max_size=40))
def test_memory_is_never_overcommitted_and_comes_back(steps):
    state, sessions = model.DeviceState(), []
    for max_batch, close in steps:
        if close and sessions:
            state = model.close_session(state, sessions.pop())
        else:
            try:
                state, session = model.open_session(state, KS20, model="m", precision="fp32", max_batch=max_batch)
                sessions.append(session.id)
            except model.RefusedError:
                free = KS20.memory.total - model.used_memory(state, KS20)
                assert model.memory_of(KS20, "fp32", max_batch) > free
        assert model.used_memory(state, KS20) <= KS20.memory.total
    for session in sessions:
        state = model.close_session(state, session)
    assert model.used_memory(state, KS20) == KS20.memory.reserved


def test_an_instance_that_is_alone_takes_link_and_device_time():
    state, (session,) = opened(KS20, 1)

    _, run = model.execute(state, KS20, session, images=1, payload=0, now=0.0)

    assert run.done == pytest.approx(2.89 + 4.24, abs=0.01)


@pytest.mark.parametrize(("changes", "factor"), [({"link.lanes": 1}, 4), ({"link.generation": 3}, 2)])
def test_a_narrower_or_older_link_is_slower_in_proportion(changes, factor):
    times = []
    for device in (KS20, override(KS20, changes)):
        state, (session,) = opened(device, 1)
        _, run = model.execute(state, device, session, images=2, payload=0, now=0.0)
        times.append(run.link_end - run.link_start)

    assert times[1] / times[0] == pytest.approx(factor, rel=0.01)


def test_a_link_that_counts_bytes_takes_twice_as_long_for_twice_as_many():
    device = override(KS20, {"link.elements_per_image": 0})

    assert model.link_bytes(device, "fp32", 1, 2_000_000) == 2 * model.link_bytes(device, "fp32", 1, 1_000_000)


@pytest.mark.parametrize(
    ("shape", "images", "expected"),
    [
        (Shape(), 4, 2 + 3 * 4),
        (Shape(profiles=(1, 4, 8)), 3, 2 + 3 * 4),
        (Shape(profiles=(1, 4, 8)), 9, 2 + 3 * 9),
        (Shape(cliff_batch=4, cliff_factor=2.0), 4, 2 + 3 * 4),
        (Shape(cliff_batch=4, cliff_factor=2.0), 5, 2 * (2 + 3 * 5)),
        (Shape(contention=0.5), 1, (2 + 3) * 1.5),
    ],
    ids=["line", "padded to the profile", "beyond the profiles", "below the cliff", "beyond the cliff", "contention"],
)
def test_the_time_of_a_batch_has_the_shape_of_the_device(shape, images, expected):
    device = DeviceProfile("shaped", PLAIN.compute, shape=shape)

    assert model.compute_time(device, "fp32", images, active=2) == pytest.approx(expected)


def test_turning_to_another_instance_costs_and_the_patch_makes_it_cheaper():
    device = DeviceProfile("s", PLAIN.compute, scheduler=Scheduler(switch=2.0, switch_per_further_instance=1.0,
                                                                   patched_switch=0.5))  # fmt: skip
    patched = override(device, {"scheduler.patched": True})

    assert [model.switch_time(device, active) for active in (1, 2, 3, 4)] == [2, 2, 3, 4]
    assert [model.switch_time(patched, active) for active in (1, 2, 3, 4)] == [0.5] * 4


def test_the_host_limits_the_rate_but_works_ahead():
    device = DeviceProfile("h", {"fp32": Compute(1.0, 0.0)}, host=Host(time_per_image=10.0, lead=50.0))
    state, (session,) = opened(device, 1)
    now, ends = 1_000.0, []
    for _ in range(50):
        state, run = model.execute(state, device, session, images=1, payload=0, now=now)
        now = run.done
        ends.append(now)

    assert ends[0] == 1_001.0, "the first one was ready"
    assert (ends[-1] - ends[9]) / 40 == pytest.approx(10.0, rel=0.01)


def test_more_than_the_engine_was_compiled_for_is_refused():
    state, (session,) = opened(KS20, 1, max_batch=4)

    with pytest.raises(model.RefusedError, match="compiled for 1 to 4"):
        model.execute(state, KS20, session, images=5, payload=0, now=0.0)


def test_what_is_not_there_is_refused():
    with pytest.raises(model.RefusedError, match="no session"):
        model.execute(model.DeviceState(), KS20, 1, images=1, payload=0, now=0.0)
    with pytest.raises(model.RefusedError, match="no int8"):
        model.open_session(model.DeviceState(), PLAIN, model="m", precision="int8", max_batch=1)


def test_it_warms_up_under_load_throttles_and_cools_down():
    device = DeviceProfile("hot", {"fp32": Compute(9.0, 1.0)}, memory=Memory(),
                           thermal=Thermal(max_power=60.0, throttle_at=90.0, time_constant=5_000.0))  # fmt: skip
    state, (session,) = opened(device, 1)
    now, lengths = 0.0, []
    while now < 30_000.0:
        state, run = model.execute(state, device, session, images=1, payload=0, now=now)
        lengths.append(run.done - run.device_start)
        now = run.done

    hot = model.read(model.advance(state, device, now), device, now)
    assert hot.throttled
    assert hot.utilisation == pytest.approx(1.0, abs=0.02)
    assert (lengths[0], lengths[-1]) == (10.0, 13.0)
    cold = model.advance(state, device, now)
    for second in range(1, 61):
        cold = model.advance(cold, device, now + second * 1e3)
    assert cold.temperature == pytest.approx(device.thermal.ambient + 9.0 * 1.4, abs=1)
    assert not math.isnan(cold.temperature)


def test_a_late_caller_does_not_slow_the_device_down():
    state, (session,) = opened(KS20, 1)
    state, first = model.execute(state, KS20, session, images=1, payload=0, now=0.0)

    _, punctual = model.execute(state, KS20, session, images=1, payload=0, now=first.done + 1.0)
    _, late = model.execute(state, KS20, session, images=1, payload=0, now=first.done + 21.0, late=20.0)
    _, hopeless = model.execute(state, KS20, session, images=1, payload=0, now=first.done + 1_000.0, late=999.0)

    assert late.done == pytest.approx(punctual.done)
    assert hopeless.done > first.done + 950.0
