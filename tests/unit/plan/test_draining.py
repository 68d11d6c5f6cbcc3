"""Triton outlives the detector beside it: the hook that holds its end up, in a real shell, and the times that fit."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api import names
from edgedetector.detector import run
from edgedetector.detector.farewell import FORGOTTEN, Farewell
from edgedetector.plan import detector_children, serving_config, triton

# Stands in for time: the n-th call of it is the end of the n-th second, at which the detector may do something.
SLEEP = """#!/bin/sh
echo >> "{calls}"
[ "$(wc -l < "{calls}")" = "{second}" ] && echo 1 > "{leaving}"
exit {code}
"""


@pytest.fixture
def leaving(tmp_path: Path) -> Path:
    return tmp_path / names.FILE_LEAVING


def seconds(leaving: Path, *, left_after: int = 0, code: int = 0) -> int:
    """Return for how many seconds the hook holds up Triton's end."""
    calls = leaving.parent / "calls"
    sleep = leaving.parent / "sleep"
    sleep.write_text(SLEEP.format(calls=calls, second=left_after, leaving=leaving, code=code))
    sleep.chmod(0o755)
    command = [part.replace(names.DIR_RUN, str(leaving.parent)) for part in ("/bin/sh", "-c", triton.DRAIN)]
    environment = os.environ | {"PATH": f"{leaving.parent}:{os.environ['PATH']}"}
    subprocess.run(command, check=True, env=environment, timeout=30)
    return len(calls.read_text().splitlines())


def test_a_triton_that_is_only_started_again_waits_for_nobody(leaving: Path) -> None:
    assert seconds(leaving) == 1


def test_it_waits_until_the_detector_has_left(leaving: Path) -> None:
    Farewell(leaving).leaving()
    assert seconds(leaving, left_after=4) == 4


def test_it_does_not_wait_for_a_detector_that_was_at_once_done(leaving: Path) -> None:
    Farewell(leaving).left(several=False)
    assert seconds(leaving) == 1


def test_where_a_service_has_other_pods_clients_have_time_to_go_there(leaving: Path) -> None:
    Farewell(leaving).left(several=True)
    assert seconds(leaving) == FORGOTTEN


def test_a_detector_that_never_leaves_is_not_waited_for_longer_than_it_may_take(leaving: Path) -> None:
    Farewell(leaving).leaving()
    assert seconds(leaving) == triton.DRAIN_SECONDS


def test_an_image_without_sleep_waits_for_nobody_rather_than_turning_round_and_round(leaving: Path) -> None:
    Farewell(leaving).leaving()
    assert seconds(leaving, code=127) == 2


def test_what_a_detector_said_before_it_was_started_again_does_not_count(leaving: Path) -> None:
    Farewell(leaving).left(several=False)
    Farewell(leaving).none()
    Farewell(leaving).none()
    assert seconds(leaving) == 1


def test_a_farewell_that_cannot_be_written_keeps_nobody(tmp_path: Path) -> None:
    farewell = Farewell(tmp_path / "missing" / "leaving")
    farewell.none()
    farewell.leaving()
    farewell.left(several=False)
    assert list(tmp_path.iterdir()) == []


def pod(**changes: Any) -> dict[str, Any]:
    spec = child(children(detector("yard", minimal(**changes))), "Deployment", "yard-triton")["spec"]["template"][
        "spec"
    ]
    return dict(spec)


def test_all_of_it_fits_into_the_pods_grace() -> None:
    """The kubelet counts the hook into it, and kills what is left with 2 s to spare."""
    assert run.FAREWELL < triton.DRAIN_SECONDS
    assert pod()["terminationGracePeriodSeconds"] >= triton.DRAIN_SECONDS + triton.EXIT_SECONDS + 2


def test_triton_alone_has_the_hook() -> None:
    containers = {c["name"]: c for c in pod()["containers"]}
    hook = containers[names.CONTAINER_TRITON]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["/bin/sh", "-c", triton.DRAIN]
    # The detector hands its cameras over from the first moment: a hook would only delay that.
    assert "lifecycle" not in containers[names.CONTAINER_DETECTOR]
    mounts = {
        name: {m["mountPath"]: m.get("readOnly", False) for m in c["volumeMounts"]} for name, c in containers.items()
    }
    assert mounts[names.CONTAINER_DETECTOR][names.DIR_RUN] is False
    assert mounts[names.CONTAINER_TRITON][names.DIR_RUN] is True


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        *((known, []) for known in ("", "23.07", "26.03")),
        *((refusing, ["--allow-client-shm=true"]) for refusing in ("26.04", "27.01")),
    ],
)
def test_a_triton_that_refuses_memory_of_clients_is_told_to_take_it(version: str, arguments: list[str]) -> None:
    shipped = scenarios.PROFILES["cpu"]
    server = replace(shipped.spec.triton, version=version, arguments=("--log-verbose=1",))
    of = replace(shipped, spec=replace(shipped.spec, triton=server))
    wanted = detector("yard", minimal())
    objects = detector_children(wanted, of, scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, of))
    containers = child(list(objects), "Deployment", "yard-triton")["spec"]["template"]["spec"]["containers"]
    # The profile's own come last, so that they win.
    told = [one for one in containers[0]["args"] if not one.startswith("--trace-config=")]
    assert told == [*arguments, "--log-verbose=1"]
