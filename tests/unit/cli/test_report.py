"""A report has what support needs, and no secret: a canary is put wherever somebody could write one."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.worlds import World, child

from edgedetector.api.trace import Trace, Traced
from edgedetector.cli import redact
from edgedetector.cli.errors import ForbiddenError

Run = Callable[..., Result]
CANARY = "c4nary"


def opened(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def leaky(world: World) -> None:
    """Write the canary into every place in which people put passwords."""
    spec, metadata = world.detector["spec"], world.detector["metadata"]
    spec["cameras"][0]["url"] = f"rtsp://viewer:{CANARY}@gate.cams.svc:554/main"
    spec["cameras"][0]["substreamUrl"] = f"rtsp://gate.cams.svc/user=viewer_password={CANARY}_channel=1"
    spec["outputs"] = {"webhook": {"url": f"https://hooks.site/{CANARY}/in?token={CANARY}"}}
    metadata["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec)}
    metadata["managedFields"] = [{"manager": CANARY}]
    variables = [{"name": "CAMERA_PASSWORD", "value": CANARY}, {"name": "PLAIN", "value": f"uses {CANARY} too"}]
    world.pods[0]["spec"]["containers"][0]["env"] = variables
    world.camera("gate", state="Failing", message=f"rtsp://viewer:{CANARY}@gate.cams.svc: 401")
    world.condition("Ready", "False", "CamerasFailing", f"gate: {CANARY} refused")
    world.events.append(
        {"metadata": {"name": "e"}, "involvedObject": {"name": "yard"}, "message": f"password={CANARY} refused"}
    )
    world.children.append(child("v1", "ConfigMap", "yard-media", data={"media.json": json.dumps(spec["cameras"])}))
    world.logs = {
        "detector": f"open rtsp://gate/{CANARY}\nAuthorization: Basic dmlld2VyOmM0bmFyeQ==\n",
        "go2rtc": f'{{"token": "{CANARY}"}} then {CANARY} again, Bearer {CANARY}{CANARY}\n',
    }


def test_no_canary_gets_into_a_report(world: World, run: Run, tmp_path: Path) -> None:
    leaky(world)
    target = tmp_path / "report.zip"

    result = run("report", "-f", str(target))

    assert result.exit_code == 0
    files = opened(target)
    assert {name for name, text in files.items() if CANARY in text} == set()
    assert "dmlld2VyOmM0bmFyeQ" not in "".join(files.values())
    assert CANARY not in "".join(files)
    assert CANARY not in result.output


def test_what_support_needs_is_in_it(world: World, run: Run, tmp_path: Path) -> None:
    leaky(world)
    world.gauge(pcieWidth=1.0)
    target = tmp_path / "report.zip"
    run("report", "-f", str(target))

    files = opened(target)

    assert json.loads(files["report/site/yard/edgedetector.json"])["spec"]["models"][0]["name"] == "people"
    assert "rtsp://gate.cams.svc:554/***" in files["report/site/yard/edgedetector.json"]
    assert "ED0601" in files["report/findings.txt"]
    assert "ED0004" in files["report/findings.txt"]
    assert "open rtsp://gate/***" in files["report/logs/site/yard-triton-1/detector.log"]
    assert json.loads(files["report/cluster/nodes.json"])["items"][0]["metadata"]["name"] == "box"
    assert json.loads(files["report/status.json"])["kind"] == "Status"


def test_the_last_trace_and_its_verbose_log_are_in_it(world: World, run: Run, tmp_path: Path) -> None:
    requests = (Traced("people", {"network": 0.001, "compute": 0.009}),)
    world.traces["yard-triton-1"] = Trace(
        "2026-11-23T11:00:00.000+00:00", "2026-11-23T11:00:02.500+00:00", 1, requests, verbose=True
    )
    world.logs = {"triton": "".join(f"2026-11-23T11:00:0{second}.123456789Z line {second}\n" for second in range(5))}
    target = tmp_path / "report.zip"
    run("report", "-f", str(target))

    files = opened(target)

    found = json.loads(files["report/site/yard/trace-yard-triton-1.json"])
    assert (found["kind"], found["models"][0]["name"]) == ("Trace", "people")
    log = files["report/logs/site/yard-triton-1/triton.trace.log"]
    assert [line.rpartition(" ")[2] for line in log.splitlines()] == ["0", "1", "2"]


def test_without_a_trace_nothing_is_told_of_one(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "report.zip"
    run("report", "-f", str(target))

    files = opened(target)
    assert not [name for name in files if "trace" in name]
    assert json.loads(files["report/status.json"])["notSeen"] == []


def test_a_log_that_may_not_be_read_is_told(world: World, run: Run, tmp_path: Path) -> None:
    def text(path: str, query: object = None) -> str:
        raise ForbiddenError("pods/log is forbidden")

    target = tmp_path / "report.zip"
    world.text = text  # type: ignore[method-assign]

    assert run("report", "-f", str(target)).exit_code == 0
    assert "pods/log is forbidden" in opened(target)["report/findings.txt"]


def test_without_logs_none_is_asked_for(world: World, run: Run, tmp_path: Path) -> None:
    run("report", "--no-logs", "-f", str(tmp_path / "report.zip"))

    assert not [path for path in world.asked if path.endswith("/log")]


def test_standard_output_takes_a_report(run: Run) -> None:
    result = run("report", "-f", "-")

    with zipfile.ZipFile(io.BytesIO(result.stdout_bytes)) as archive:
        assert "report/ABOUT.txt" in archive.namelist()


def test_a_place_that_cannot_be_written_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("report", "-f", str(tmp_path / "none/report.zip"))

    assert result.exit_code == 2
    assert "name another place with -f" in result.output


WORDS = st.text("abcdefgh0123456789", min_size=6, max_size=12).map(lambda text: f"zq{text}")


@given(secret=WORDS, host=st.sampled_from(["gate", "10.0.0.5", "cam.site.svc:554"]))
def test_an_address_keeps_its_host_alone(secret: str, host: str) -> None:
    for url in (
        f"rtsp://viewer:{secret}@{host}/a",
        f"rtsp://{host}/{secret}",
        f"http://{host}?x={secret}",
        f"http://{host}/a?b={secret}&c=d",
    ):
        told = redact.text(f"cannot open {url}: refused")
        assert secret not in told
        assert host in told
        assert told.startswith("cannot open ")
        assert told.endswith(" refused")


@given(secret=WORDS)
def test_what_was_secret_once_is_so_everywhere(secret: str) -> None:
    seen = {"env": [{"name": "DB_PASSWORD", "value": secret}], "url": f"rtsp://{secret}x:pass{secret}@gate/x"}

    secrets = redact.known([seen])

    assert secret in secrets
    assert secret not in redact.text(f"it said {secret}, and {secret} again", secrets)
    assert secret not in json.dumps(redact.value(seen, secrets))


def test_names_of_secrets_stay() -> None:
    spec = {"credentialsSecretRef": {"name": "gate"}, "tokenSecretRef": {"name": "hook"}}

    assert redact.value(spec, redact.known([spec])) == spec
