"""Each alert fires when it should and not before, judged by Prometheus' own promtool, on series that really exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.node.localnode import debian
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api.profile import AcceleratorProfile, ExistingExporter
from edgedetector.detector.metrics import Metrics
from edgedetector.go2rtc.state import MediaState
from edgedetector.media.metrics import exposition
from edgedetector.plan import detector_children, serving_config

CAMERA = {"name": "gate", "url": "rtsp://gate.cams/main"}
KS20 = scenarios.PROFILES["denglin-ks20"]
OURS = 'namespace="site-a",edgedetector="yard"'
UP = f'up{{{OURS},endpoint="detector",node="box"}}'
ELSEWHERE = 'up{namespace="site-a",edgedetector="other",endpoint="detector",node="far"}'
DEVICE = '{accelerator_profile="denglin-ks20",node="box"}'
LONG = "x60"  # samples, one every 15 s: 15 minutes


def rules(profile: AcceleratorProfile = KS20, **more: Any) -> dict[str, Any]:
    wanted = detector("yard", minimal(acceleratorProfile=profile.name, cameras=[CAMERA], **more))
    accepted = serving_config(wanted, profile)
    objects = detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, accepted)
    spec: dict[str, Any] = child(list(objects), "PrometheusRule", "yard")["spec"]
    return spec


def alerts(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Debian's promtool. Session, since finding it may install it."""
    debian.ensure({"promtool": "prometheus"})
    return "promtool"


def cpu(idle: str, host: str = "10.0.0.1:9100", node: str = "", name: str = "box") -> dict[str, str]:
    """Series of node-exporter: two processors that are idle for `idle` of each 15 s."""
    labels = f'instance="{host}"' + (f',node="{node}"' if node else "")
    idling = {f'node_cpu_seconds_total{{{labels},cpu="{n}",mode="idle"}}': f"0+{idle}{LONG}" for n in "01"}
    working = {f'node_cpu_seconds_total{{{labels},cpu="{n}",mode="user"}}': f"0+9{LONG}" for n in "01"}
    return idling | working | {f'node_uname_info{{{labels},nodename="{name}"}}': f"1{LONG}"}


def frames(read: str) -> dict[str, str]:
    return {f'edgedetector_camera_frames_total{{{OURS},camera="gate",result="read",pod="a"}}': f"0+{read}{LONG}"}


def model(ready: str) -> dict[str, str]:
    return {f'edgedetector_model_state{{{OURS},pod="a",model="people",state="Ready"}}': f"{ready}{LONG}"}


def queue(waiting: float) -> dict[str, str]:
    """Series of Triton's with `waiting` requests in the queue on average."""
    return {f'nv_inference_queue_duration_us{{{OURS},pod="a",model="people"}}': f"0+{waiting * 15e6:.0f}{LONG}"}


RUNS = {UP: f"1{LONG}"}
CASES: dict[str, tuple[str, dict[str, str], bool]] = {
    "a busy host": ("EdgeDetectorHighCPU", RUNS | cpu("1.5"), True),
    "a host with a little left": ("EdgeDetectorHighCPU", RUNS | cpu("3"), False),
    "a busy host by the label of its scrape": ("EdgeDetectorHighCPU", RUNS | cpu("1", node="box", name="pod-x"), True),
    "a busy host without the detector": ("EdgeDetectorHighCPU", RUNS | cpu("1", name="far"), False),
    "no node-exporter": ("EdgeDetectorHighCPU", RUNS, False),
    "a busy device": ("EdgeDetectorDeviceBusy", RUNS | {f"DCGM_FI_DEV_GPU_UTIL{DEVICE}": f"81{LONG}"}, True),
    "a device at its ceiling": ("EdgeDetectorDeviceBusy", RUNS | {f"DCGM_FI_DEV_GPU_UTIL{DEVICE}": f"80{LONG}"}, False),
    "a busy device elsewhere": (
        "EdgeDetectorDeviceBusy",
        {ELSEWHERE: f"1{LONG}", f"DCGM_FI_DEV_GPU_UTIL{DEVICE}": f"99{LONG}"},
        False,
    ),
    "a hot device": ("EdgeDetectorDeviceHot", RUNS | {f"DCGM_FI_DEV_GPU_TEMP{DEVICE}": f"86{LONG}"}, True),
    "a warm device": ("EdgeDetectorDeviceHot", RUNS | {f"DCGM_FI_DEV_GPU_TEMP{DEVICE}": f"85{LONG}"}, False),
    "a queue": ("EdgeDetectorQueueGrowing", queue(40), True),
    "a short queue": ("EdgeDetectorQueueGrowing", queue(1), False),
    "a silent camera": ("EdgeDetectorCameraSilent", frames("0"), True),
    "a slow camera": ("EdgeDetectorCameraSilent", frames("1"), False),
    "a model that is not there": ("EdgeDetectorModelNotLoaded", model("0"), True),
    "a model that is": ("EdgeDetectorModelNotLoaded", model("1"), False),
    "nobody answers": ("EdgeDetectorDown", {UP: f"0{LONG}"}, True),
    "nobody is even there": ("EdgeDetectorDown", {ELSEWHERE: f"1{LONG}"}, True),
    "one of two answers": ("EdgeDetectorDown", RUNS | {UP.replace("box", "other"): f"0{LONG}"}, False),
}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    for fires in (True, False):
        assert {alert for alert, _, firing in CASES.values() if firing is fires} == set(alerts(rules()))


def check(promtool: str, folder: Path, spec: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    (folder / "rules.yaml").write_text(json.dumps(spec))
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": cases}
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run([promtool, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def case(name: str, alert: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """One case of promtool's: after 14 minutes the alert fires, or it does not."""
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    expected = {"expr": firing, "eval_time": "14m", "exp_samples": [{"labels": "{}", "value": int(fires)}]}
    return {
        "name": name,
        "interval": "15s",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [expected],
    }


def test_each_alert_fires_when_it_should_and_only_then(promtool: str, tmp_path: Path) -> None:
    found = [case(name, alert, series, fires=fires) for name, (alert, series, fires) in CASES.items()]
    check(promtool, tmp_path, rules(), found)


def test_a_device_that_somebody_else_exports_is_watched_by_that_exporters_labels(promtool: str, tmp_path: Path) -> None:
    assert KS20.spec.exporter is not None
    exporter = replace(KS20.spec.exporter, existing=ExistingExporter("gpu", {"app": "dcgm"}))
    profile = replace(KS20, spec=replace(KS20.spec, exporter=exporter))
    series = RUNS | {'DCGM_FI_DEV_GPU_UTIL{namespace="gpu",Hostname="box",node="wrong"}': f"95{LONG}"}
    busy = case("busy", "EdgeDetectorDeviceBusy", series, fires=True)
    check(promtool, tmp_path, rules(profile), [busy])


def families(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if match := re.match(r"# TYPE (\S+) counter$", line):
            yield match[1] if match[1].endswith("_total") else f"{match[1]}_total"
        elif match := re.match(r"# TYPE (\S+) ", line):
            yield match[1]


def known() -> set[str]:
    """Series that the pods export, by their own code; and those of Triton, the exporter, node-exporter, Prometheus."""
    ours = set(families(Metrics().exposition().decode())) | set(families(exposition(MediaState(1, "r", ready=True))))
    assert "edgedetector_camera_frames_total" in ours
    assert KS20.spec.exporter is not None
    vendors = {metric.metric for metric in KS20.spec.exporter.metrics}
    return ours | vendors | {"nv_inference_queue_duration_us", "node_cpu_seconds_total", "node_uname_info", "up"}


def test_every_expression_asks_for_series_that_somebody_exports() -> None:
    for name, rule in alerts(rules()).items():
        asked = set(re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{", rule["expr"]))
        assert asked, name
        assert asked <= known(), name


def test_all_three_endpoints_are_scraped_every_ten_seconds() -> None:
    objects = children(detector("yard", minimal(cameras=[CAMERA])))
    spec = child(objects, "ServiceMonitor", "yard")["spec"]
    endpoints = {endpoint["port"]: (endpoint["path"], endpoint["interval"]) for endpoint in spec["endpoints"]}
    assert endpoints == dict.fromkeys(("metrics", "detector", "api"), ("/metrics", "10s"))
    served = {
        port["name"]
        for service in (child(objects, "Service", name) for name in ("yard-triton", "yard-media"))
        for port in service["spec"]["ports"]
    }
    assert set(endpoints) <= served
