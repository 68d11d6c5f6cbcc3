"""Each alert fires when it should and not before, judged by Prometheus' own promtool, on series that really exist."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.node.localnode import debian
from tests.unit.plan import exposed, scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api.profile import AcceleratorProfile, ExistingExporter
from edgedetector.plan import detector_children, figures, serving_config

CAMERA = {"name": "gate", "url": "rtsp://gate.cams/main"}
KS20 = scenarios.PROFILES["denglin-ks20"]
OURS = 'namespace="site-a",edgedetector="yard"'
UP = f'up{{{OURS},endpoint="detector",node="box"}}'
ELSEWHERE = 'up{namespace="site-a",edgedetector="other",endpoint="detector",node="far"}'
DEVICE = '{accelerator_profile="denglin-ks20",node="box"}'
LONG = "x80"  # samples, one every 15 s: 20 minutes


def rules(profile: AcceleratorProfile = KS20, **more: Any) -> dict[str, Any]:
    outputs = {"webhook": {"url": "https://hook.example.org"}}
    wanted = detector(
        "yard", minimal(**{"acceleratorProfile": profile.name, "cameras": [CAMERA], "outputs": outputs} | more)
    )
    accepted = serving_config(wanted, profile)
    objects = detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, accepted)
    spec: dict[str, Any] = child(list(objects), "PrometheusRule", "yard")["spec"]
    return spec


def alerts(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule}


def objectives(spec: dict[str, Any]) -> list[str]:
    """Names of the alerts on objectives, whose cases are in test_objectives.py."""
    return [name for name in alerts(spec) if name.endswith("Burn")]


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


def lost(reports: str) -> dict[str, str]:
    return {
        f'edgedetector_output_reports_total{{{OURS},pod="a",sink="webhook",result="dropped"}}': f"0+{reports}{LONG}"
    }


def camera(metric: str, value: str) -> dict[str, str]:
    return {f'{metric}{{{OURS},camera="gate",pod="a"}}': f"{value}{LONG}"}


OPERATOR = '{namespace="edgedetector-system",pod="o"}'


def passes(**results: int) -> dict[str, str]:
    family, labels = "edgedetector_operator_reconciles_total", 'namespace="edgedetector-system",subject="detector"'
    return {f'{family}{{{labels},result="{result}"}}': f"0+{number}{LONG}" for result, number in results.items()}


LAST_SUCCESS = "edgedetector_operator_last_success_timestamp_seconds"
UTILIZATION = f"DCGM_FI_DEV_GPU_UTIL{DEVICE}"
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
    "an exporter that is gone": ("EdgeDetectorExporterSilent", RUNS, True),
    "an exporter that answers": ("EdgeDetectorExporterSilent", RUNS | {UTILIZATION: f"1{LONG}"}, False),
    "no detector on the exporter's node": ("EdgeDetectorExporterSilent", {ELSEWHERE: f"1{LONG}"}, False),
    "a camera that gives way": ("EdgeDetectorDegraded", camera("edgedetector_camera_degradation_rungs", "2"), True),
    "a camera that does not": ("EdgeDetectorDegraded", camera("edgedetector_camera_degradation_rungs", "0"), False),
    "software instead": ("EdgeDetectorDecoderFallback", camera("edgedetector_camera_decoder_fallback", "1"), True),
    "hardware": ("EdgeDetectorDecoderFallback", camera("edgedetector_camera_decoder_fallback", "0"), False),
    "a media server that crashes": (
        "EdgeDetectorMediaRestarting",
        {f'go2rtc_restarts_total{{{OURS},pod="m"}}': "0x12 1x12 2x12 3x12 4x12 5x30"},
        True,
    ),
    "a media server with two new cameras": (
        "EdgeDetectorMediaRestarting",
        {f'go2rtc_restarts_total{{{OURS},pod="m"}}': "0x12 1x12 2x60"},
        False,
    ),
    "a receiver that is gone": ("EdgeDetectorOutputLosing", lost("3"), True),
    "a receiver that takes all": ("EdgeDetectorOutputLosing", lost("0"), False),
    "no operator": ("EdgeDetectorOperatorDown", RUNS, True),
    "an operator": ("EdgeDetectorOperatorDown", {f"edgedetector_operator_queued_keys{OPERATOR}": f"0{LONG}"}, False),
    "passes that fail": ("EdgeDetectorOperatorFailing", passes(error=3, ok=1), True),
    "passes of which some fail": ("EdgeDetectorOperatorFailing", passes(error=1, ok=1), False),
    "one of two answers": ("EdgeDetectorDown", RUNS | {UP.replace("box", "other"): f"0{LONG}"}, False),
}


LATER = [
    ("done for the last time", "EdgeDetectorOperatorStuck", {f"{LAST_SUCCESS}{OPERATOR}": "60x200"}, True),
    ("still at work", "EdgeDetectorOperatorStuck", {f"{LAST_SUCCESS}{OPERATOR}": "1+15x200"}, False),
]
"""Cases that take 40 minutes."""


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    for fires in (True, False):
        cases = {alert for alert, _, firing in CASES.values() if firing is fires}
        cases |= {alert for _, alert, _, firing in LATER if firing is fires}
        assert cases | set(objectives(rules())) == set(alerts(rules())) | set(alerts(exposed.chart_rules()))


def check(promtool: str, folder: Path, spec: dict[str, Any], cases: list[dict[str, Any]], every: str = "15s") -> None:
    (folder / "rules.yaml").write_text(json.dumps(spec))
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": cases}
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run([promtool, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def case(
    name: str, alert: str, series: dict[str, str], *, fires: bool, at: str = "16m", every: str = "15s"
) -> dict[str, Any]:
    """One case of promtool's: after a while the alert fires, or it does not; `every` is the time between samples."""
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    expected = {"expr": firing, "eval_time": at, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
    return {
        "name": name,
        "interval": every,
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [expected],
    }


def test_each_alert_fires_when_it_should_and_only_then(promtool: str, tmp_path: Path) -> None:
    found = [case(name, alert, series, fires=fires) for name, (alert, series, fires) in CASES.items()]
    found += [case(name, alert, series, fires=fires, at="40m") for name, alert, series, fires in LATER]
    spec = {"groups": [*rules()["groups"], *exposed.chart_rules()["groups"]]}
    check(promtool, tmp_path, spec, found)


def test_a_device_that_somebody_else_exports_is_watched_by_that_exporters_labels(promtool: str, tmp_path: Path) -> None:
    assert KS20.spec.exporter is not None
    exporter = replace(KS20.spec.exporter, existing=ExistingExporter("gpu", {"app": "dcgm"}))
    profile = replace(KS20, spec=replace(KS20.spec, exporter=exporter))
    series = RUNS | {'DCGM_FI_DEV_GPU_UTIL{namespace="gpu",Hostname="box",node="wrong"}': f"95{LONG}"}
    busy = case("busy", "EdgeDetectorDeviceBusy", series, fires=True)
    check(promtool, tmp_path, rules(profile), [busy])


def test_every_expression_asks_for_series_that_somebody_exports() -> None:
    written = [rule for group in (*rules()["groups"], *exposed.chart_rules()["groups"]) for rule in group["rules"]]
    for rule in written:
        asked = set(re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{", rule["expr"]))
        asked |= set(re.findall(r"edgedetector[a-z_:]+[a-z]", re.sub(r"\{.*?\}|by \(.*?\)", "", rule["expr"])))
        assert asked, rule
        assert asked <= exposed.known(), rule


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


def test_labels_of_the_chart_and_of_the_detector_are_on_both_objects_and_the_detectors_win() -> None:
    wanted = detector("yard", minimal(cameras=[CAMERA], monitoring={"labels": {"team": "yard", "release": "own"}}))
    settings = replace(scenarios.SETTINGS, monitoring_labels={"release": "prometheus", "tier": "edge"})
    objects = children(wanted, settings)
    for kind in ("ServiceMonitor", "PrometheusRule"):
        labels = child(objects, kind, "yard")["metadata"]["labels"]
        assert {"team": "yard", "release": "own", "tier": "edge"}.items() <= labels.items()


def test_pages_lie_where_the_settings_say() -> None:
    settings = replace(scenarios.SETTINGS, runbooks="https://wiki.example.com/x")
    spec = child(children(detector("yard", minimal(cameras=[CAMERA])), settings), "PrometheusRule", "yard")["spec"]
    for name, rule in alerts(spec).items():
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/x/{name}.md"


def test_the_vendors_figures_are_recorded_under_our_names_and_units(promtool: str, tmp_path: Path) -> None:
    exporter = KS20.spec.exporter
    assert exporter is not None
    rule = figures.prometheus_rule(KS20, exporter, scenarios.SETTINGS)
    assert rule is not None
    series = {f"DCGM_FI_DEV_GPU_UTIL{DEVICE}": f"81{LONG}", f"DCGM_FI_DEV_FB_USED{DEVICE}": f"7{LONG}"}
    recorded = case("figures", "none", series, fires=False)
    recorded["promql_expr_test"] = [
        {"expr": name, "eval_time": "5m", "exp_samples": [{"labels": f"{name}{DEVICE}", "value": value}]}
        for name, value in (("node:accelerator_utilization:ratio", 0.81), ("node:accelerator_memory_used:bytes", 7e6))
    ]
    check(promtool, tmp_path, rule["spec"], [recorded])
