"""What an autoscaler goes by says what is offered, judged by Prometheus' own promtool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan import exposed, scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal
from tests.unit.plan.test_rules import OURS, check, promtool

from edgedetector.plan import demand, scaling

__all__ = ["promtool"]  # the fixture

Series = dict[str, str]
CAMERAS = [
    {"name": "gate", "url": "rtsp://gate.cams/main", "frameRate": {"target": 10, "minimum": 1}},
    {"name": "dock", "url": "rtsp://dock.cams/main", "frameRate": {"target": 30, "minimum": 1}},
]
SCALING = {"minReplicas": 1, "maxReplicas": 4}
LONG = "x80"  # samples, one every 15 s: 20 minutes


def group(**more: Any) -> dict[str, Any]:
    """The rules of a detector that is offered 40 frames/s, 25 in pod a if it has `gate` and half of `dock`."""
    spec = minimal(**{"acceleratorProfile": "denglin-ks20", "cameras": CAMERAS, "scaling": SCALING} | more)
    groups = child(children(detector("yard", spec)), "PrometheusRule", "yard")["spec"]["groups"]
    return next((one for one in groups if one["name"].endswith(".scaling")), {})


def capacity(values: str, configuration: str = "c1", pod: str = "o") -> Series:
    family = "edgedetector_tuning_capacity_frames_per_second"
    labels = f'namespace="site-a",detector="yard",configuration="{configuration}",pod="{pod}"'
    return {f"{family}{{{labels}}}": values}


def camera(name: str, pod: str, offered: int, rungs: int = 0, **left_out: int) -> Series:
    """What a pod says of a camera, in frames a second; `left_out`: by reason."""
    where = f'{{{OURS},camera="{name}",pod="{pod}"'
    return {
        f"edgedetector_camera_offered_frame_rate{where}}}": f"{offered}{LONG}",
        f"edgedetector_camera_degradation_rungs{where}}}": f"{rungs}{LONG}",
    } | {
        f'edgedetector_camera_frames_left_out_total{where},reason="{why}"}}': f"0+{left_out.get(why, 0) * 15}{LONG}"
        for why in ("ladder", "motion", "late")
    }


def queue(pod: str, milliseconds: int, model: str = "people", each: int = 10) -> Series:
    """Requests of a model, `each` a second, that wait so long on average."""
    where = f'{{{OURS},model="{model}",pod="{pod}"}}'
    return {
        f"nv_inference_queue_duration_us{where}": f"0+{milliseconds * 1000 * each * 15}{LONG}",
        f"nv_inference_request_success{where}": f"0+{each * 15}{LONG}",
    }


def busy(percent: int, node: str = "box", pods: str = "a") -> Series:
    """An accelerator, and the detector pods on its node."""
    ups = {f'up{{{OURS},endpoint="detector",node="{node}",pod="{pod}"}}': f"1{LONG}" for pod in pods}
    return ups | {f'DCGM_FI_DEV_GPU_UTIL{{accelerator_profile="denglin-ks20",node="{node}"}}': f"{percent}{LONG}"}


def of(name: str, value: float | None, at: str = "10m", **labels: str) -> dict[str, Any]:
    """The one value that a series is to have, to four digits: rates do not come out even. None: there is none."""
    shown = ",".join((OURS, *(f'{key}="{text}"' for key, text in labels.items())))
    samples = [] if value is None else [{"labels": f"{{{shown}}}", "value": value}]
    where = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return {"expr": f"round({name}{{{where}}}, 0.0001)", "eval_time": at, "exp_samples": samples}


DEMAND, WAIT, BUSY = demand.RECORDED["Demand"], demand.RECORDED["QueueTime"], demand.RECORDED["AcceleratorUtilization"]
POD_DEMAND, POD_WAIT, POD_BUSY = map(demand.by_pod, ("Demand", "QueueTime", "AcceleratorUtilization"))
FULL = camera("gate", "a", 10) | camera("dock", "b", 30)
HALF = camera("gate", "a", 10, rungs=1, ladder=5) | camera("dock", "b", 30)

CASES: dict[str, tuple[Series, list[dict[str, Any]]]] = {
    "a replica serves half of what is offered": (capacity(f"20{LONG}"), [of(DEMAND, 2)]),
    "nothing was measured": (FULL, [of(DEMAND, None), of(POD_DEMAND, None)]),
    "it is shared out as cameras are": (
        capacity(f"20{LONG}") | FULL, [of(POD_DEMAND, 0.5, pod="a"), of(POD_DEMAND, 1.5, pod="b")],
    ),
    "cameras that give way make it no less": (
        capacity(f"20{LONG}") | HALF, [of(DEMAND, 2), of(POD_DEMAND, 0.5, pod="a")],
    ),
    "a replica more does not make itself superfluous": (
        capacity("20x20 40x60"), [of(DEMAND, 2, "5m"), of(DEMAND, 2, "15m")],
    ),
    "what was measured with another configuration does not count": (
        capacity("20x20 _x60") | capacity("_x20 40x60", "c2"), [of(DEMAND, 2, "5m"), of(DEMAND, 1, "15m")],
    ),
    "it counts once it is told, not what was told before": (
        capacity("20x20 stale") | capacity("_x21 40x60", "c2"), [of(DEMAND, 2, "5m"), of(DEMAND, 1, "6m")],
    ),
    "the operator is being restarted": (
        capacity("20x20 stale"), [of(DEMAND, 2, "5m30s"), of(DEMAND, 2, "14m"), of(DEMAND, None, "16m")],
    ),
    "the operator was restarted": (
        capacity("20x20 stale") | capacity("_x21 40x60", pod="p"), [of(DEMAND, 2, "5m"), of(DEMAND, 2, "15m")],
    ),
    "requests wait": (
        FULL | queue("a", 4) | queue("b", 20),
        [of(POD_WAIT, 0.004, pod="a"), of(POD_WAIT, 0.02, pod="b"), of(WAIT, 0.024)],
    ),
    "nobody asks for anything": (
        FULL | queue("a", 0, each=0) | queue("b", 20),
        [of(POD_WAIT, 0, pod="a"), of(POD_WAIT, 0.02, pod="b"), of(WAIT, 0.02)],
    ),
    "one of its models is asked for nothing": (
        queue("a", 0, each=0) | queue("a", 30, "plates"), [of(POD_WAIT, 0.03, pod="a")],
    ),
    "Triton tells nothing": (FULL, [of(POD_WAIT, None, pod="a"), of(WAIT, None)]),
    "the model whose requests wait longest counts": (
        queue("a", 4) | queue("a", 30, "plates"), [of(POD_WAIT, 0.03, pod="a")],
    ),
    "an ensemble has no queue of its own": (
        queue("a", 4) | queue("a", 30, "people+pipeline"), [of(POD_WAIT, 0.004, pod="a")],
    ),
    "nobody waits since cameras give way": (
        HALF | queue("a", 0) | queue("b", 4), [of(POD_WAIT, 0.02, pod="a"), of(POD_WAIT, 0.004, pod="b")],
    ),
    "they wait although cameras give way": (HALF | queue("a", 90), [of(POD_WAIT, 0.09, pod="a")]),
    "all cameras are paused": (
        camera("gate", "a", 10, rungs=4, ladder=10) | queue("a", 0, each=0) | busy(8),
        [of(POD_WAIT, 0.1, pod="a"), of(POD_BUSY, 0.8, pod="a")],
    ),
    "a camera is lost": (camera("gate", "a", 10) | busy(40), [of(POD_BUSY, 0.4, pod="a")]),
    "a camera is lost that gives way": (camera("gate", "a", 10, rungs=2) | busy(40), [of(POD_BUSY, 0.4, pod="a")]),
    "nothing moves before a camera that gives way": (
        camera("gate", "a", 10, rungs=1, ladder=2, motion=7) | busy(40), [of(POD_BUSY, 0.5, pod="a")],
    ),
    "frames of a camera that gives way come too late": (
        camera("gate", "a", 10, rungs=3, ladder=2, late=3) | busy(40), [of(POD_BUSY, 0.8, pod="a")],
    ),
    "frames come too late now and then": (camera("gate", "a", 10, late=1) | busy(40), [of(POD_BUSY, 0.4, pod="a")]),
    "cameras just took everything back": (camera("gate", "a", 10, ladder=5) | busy(40), [of(POD_BUSY, 0.4, pod="a")]),
    "an accelerator is busy": (FULL | busy(60), [of(POD_BUSY, 0.6, pod="a"), of(BUSY, 0.6)]),
    "it is less busy since cameras give way": (HALF | busy(60), [of(POD_BUSY, 1.2, pod="a")]),
    "two replicas": (
        FULL | busy(60) | busy(30, "far", "b"), [of(POD_BUSY, 0.3, pod="b"), of(BUSY, 0.9)],
    ),
    "an accelerator elsewhere": (FULL | busy(60, "far", ""), [of(BUSY, None)]),
    "a pod of a former release": (busy(60), [of(POD_BUSY, 0.6, pod="a")]),
}  # fmt: skip


def test_figures_say_what_is_offered(promtool: str, tmp_path: Path) -> None:
    tests = [
        {
            "name": name,
            "interval": "15s",
            "input_series": [{"series": key, "values": values} for key, values in series.items()],
            "promql_expr_test": expected,
        }
        for name, (series, expected) in CASES.items()
    ]
    check(promtool, tmp_path, {"groups": [group()]}, tests)


def test_a_day_later_a_low_capacity_is_forgotten(promtool: str, tmp_path: Path) -> None:
    test = {
        "interval": "10m",
        "input_series": [{"series": key, "values": v} for key, v in capacity("20x3 40x200").items()],
        "promql_expr_test": [of(DEMAND, 2, "24h"), of(DEMAND, 1, "25h")],
    }
    check(promtool, tmp_path, {"groups": [group()]}, [test], every="10m")


def test_the_floor_of_the_queue_time_is_the_target_that_is_stated() -> None:
    stated = SCALING | {"metrics": [{"name": "QueueTime", "target": {"averageValue": "25m"}}]}
    (told,) = [rule["expr"] for rule in group(scaling=stated)["rules"] if rule["record"] == POD_WAIT]
    assert "(0.025 / " in told


def test_without_an_autoscaler_or_monitoring_nothing_is_recorded() -> None:
    assert group(scaling={"minReplicas": 2, "maxReplicas": 2}) == {}
    spec = minimal(cameras=CAMERAS, scaling=SCALING, monitoring={"enabled": False})
    assert all(obj["kind"] != "PrometheusRule" for obj in children(detector("yard", spec)))


def test_an_accelerator_of_which_nobody_tells_is_not_asked() -> None:
    recorded = {rule["record"] for rule in group(acceleratorProfile="cpu")["rules"]}
    assert {DEMAND, WAIT} <= recorded
    assert recorded.isdisjoint({BUSY, POD_BUSY})


def test_every_expression_asks_for_series_that_somebody_exports() -> None:
    rules = group()["rules"]
    for rule in rules:
        asked = set(re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{", rule["expr"]))
        assert asked, rule
        assert asked <= exposed.known() | {one["record"] for one in rules}, rule


def test_a_rate_has_four_scrapes() -> None:
    rules = group(monitoring={"scrapeInterval": "30s"})["rules"]
    assert "[120s]" in next(rule["expr"] for rule in rules if rule["record"] == POD_WAIT)


@given(
    targets=st.lists(st.integers(1, 60), max_size=6),
    models=st.lists(st.lists(st.sampled_from(["people", "plates"]), unique=True), min_size=6, max_size=6),
)
def test_what_is_offered_counts_a_frame_for_each_model_of_its_camera(
    targets: list[int], models: list[list[str]]
) -> None:
    model = minimal()["models"][0]
    cameras = [
        {"name": f"c{n}", "url": "rtsp://c/main", "frameRate": {"target": rate, "minimum": 1}, "models": used}
        for n, (rate, used) in enumerate(zip(targets, models, strict=False))
    ]
    wanted = detector("yard", minimal(models=[model, model | {"name": "plates"}], cameras=cameras))
    expected = sum(rate * (len(used) or 2) for rate, used in zip(targets, models, strict=False))
    assert demand.offered(wanted) == expected


def adapter() -> dict[str, Any]:
    """The adapter's rules in the documentation."""
    text = (scenarios.REPOSITORY / "manifests/prometheus-adapter/values.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)["rules"]
    return loaded


@pytest.mark.parametrize(("kind", "named"), [("external", demand.RECORDED.get), ("custom", demand.by_pod)])
def test_the_adapter_gives_each_figure_the_name_that_the_autoscaler_asks_for(kind: str, named: Any) -> None:
    (rule,) = adapter()[kind]
    chosen = re.compile(re.search(r'__name__=~"([^"]+)"', rule["seriesQuery"])[1])  # type: ignore[index]
    for name in demand.RECORDED:
        assert chosen.fullmatch(named(name)), name
        groups = re.fullmatch(rule["name"]["matches"].strip("^$"), named(name))
        assert groups is not None
        assert rule["name"]["as"].replace("${1}", groups[1]).replace("${2}", groups[2]) == scaling.api_name(name)
    assert not chosen.fullmatch(demand.CAPACITY)
    assert not chosen.fullmatch(demand.UNMET)
