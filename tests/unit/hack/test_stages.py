"""The runner of demo and tests."""

from pathlib import Path

import pytest

from stages import Runner, Stage, StageError


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
