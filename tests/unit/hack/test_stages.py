"""The runner of demo and tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import Runner, Stage, StageError

HACK = Path(__file__).parents[3] / "hack"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("EDGEDETECTOR_CACHE", str(tmp_path))
    return Runner("test", budget=60)


def test_a_stage_runs_after_what_it_needs(runner: Runner) -> None:
    order: list[str] = []
    runner.run(
        [
            Stage("second", lambda: order.append("second"), 10, needs=("first",)),
            Stage("first", lambda: order.append("first"), 10),
        ]
    )
    assert order == ["first", "second"]


def test_a_stage_over_its_budget_is_ended_and_fails(runner: Runner) -> None:
    with pytest.raises(StageError, match="over its budget"):
        runner.run([Stage("slow", ["sleep", "60"], 0.2)])
    assert "FAILED" in runner.table()


def test_a_function_over_its_budget_fails_and_the_table_says_so(runner: Runner) -> None:
    with pytest.raises(StageError, match="its budget is"):
        runner.run([Stage("slow", lambda: None, -1.0)])
    assert "OVER BUDGET" in runner.table()


def test_a_command_that_fails_inside_a_function_fails_its_stage(runner: Runner) -> None:
    with pytest.raises(StageError, match=r"broken failed.*exit status 1"):
        runner.run([Stage("broken", lambda: subprocess.run(["false"], check=True) and None, 10)])
    assert "FAILED" in runner.table()


def test_a_terminated_run_ends_its_stages(tmp_path: Path) -> None:
    script = (
        "import sys; from stages import Runner, Stage, main; runner = Runner('t', budget=60);"
        "stage = Stage('long', ['sh', '-c', 'echo $$ >&2; exec sleep 600'], 60, show=True);"
        "sys.exit(main(runner, lambda: runner.run([stage])))"
    )
    environment = {**os.environ, "EDGEDETECTOR_CACHE": str(tmp_path), "PYTHONPATH": str(HACK)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        stage = int(run.stderr.readline())
        run.terminate()
        assert run.wait(timeout=30) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(stage, 0)


def test_a_failed_stage_shows_the_end_of_its_output(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageError, match="exit code 3"):
        runner.run([Stage("broken", ["sh", "-c", "echo the reason; exit 3"], 10)])
    assert "the reason" in capsys.readouterr().out


def test_nothing_starts_after_a_failure(runner: Runner) -> None:
    started: list[str] = []
    with pytest.raises(StageError):
        runner.run(
            [Stage("broken", ["false"], 10), Stage("after", lambda: started.append("after"), 10, needs=("broken",))]
        )
    assert started == []
