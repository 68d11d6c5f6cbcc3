"""A trace is always switched off again, and says what hindered it. What Triton does is in test_tracing_on_triton."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.unit.detector.faketriton import FakeTriton

from edgedetector.api.trace import Order
from edgedetector.api.wire import to_json
from edgedetector.detector.tracer import Left, Tracer, TraceRefusedError
from edgedetector.triton.errors import RefusedError, RejectedError


class Rig:
    """A tracer of a Triton, in virtual time."""

    def __init__(self, home: Path) -> None:
        self.mark, self.now = home / "tracing", 0.0
        self.triton = FakeTriton(home / "trace")
        self.tracer = Tracer(
            self.triton, self.mark, file=str(self.triton.file), clock=lambda: self.now, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def off(self) -> bool:
        return self.triton.settings["trace_level"] == ("OFF",) and self.triton.level == 0 and not self.mark.exists()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def never() -> bool:
    return False


def test_a_trace_is_kept_until_the_next(rig: Rig) -> None:
    assert rig.tracer.last is None
    found = rig.tracer.trace(Order(3, 30.0, by="ann"), never)

    assert (len(found.requests), found.by, found.cut) == (3, "ann", "")
    assert rig.tracer.last == found
    assert rig.off()


def test_triton_is_told_how_many_before_anything_is_traced(rig: Rig) -> None:
    rig.tracer.trace(Order(7, 30.0), never)

    on = next(call for call in rig.triton.calls if isinstance(call, dict) and call.get("trace_level") == ["TIMESTAMPS"])
    assert on["trace_count"] == on["log_frequency"] == "7"


def test_a_mark_says_that_something_is_on(rig: Rig) -> None:
    rig.triton.comes, seen = 0, []

    def gone() -> bool:
        seen.append((rig.mark.exists(), rig.triton.level))
        return True

    rig.tracer.trace(Order(3, 30.0, verbose=True), gone)

    assert seen == [(True, 1)]
    assert rig.off()


def test_a_triton_that_does_not_answer_is_switched_off_when_it_does(rig: Rig) -> None:
    rig.triton.comes = 0

    def gone() -> bool:
        rig.triton.down = 1000
        return True

    rig.tracer.trace(Order(3, 30.0, verbose=True), gone)
    assert rig.mark.exists()
    rig.triton.down = 0

    stop = _Turns(1)
    rig.tracer.run(stop)

    assert rig.off()


def test_nothing_is_asked_of_triton_where_nothing_was_left_on(rig: Rig) -> None:
    rig.tracer.run(_Turns(3))

    assert rig.triton.calls == []


def test_an_order_to_a_triton_that_is_gone_is_refused_and_the_next_one_is_taken(rig: Rig) -> None:
    rig.triton.down = 1
    with pytest.raises(TraceRefusedError, match="nobody answers"):
        rig.tracer.trace(Order(3, 30.0), never)

    assert len(rig.tracer.trace(Order(3, 30.0), never).requests) == 3


def test_a_triton_that_takes_its_file_at_its_start_alone_says_what_to_add(rig: Rig) -> None:
    rig.triton.fixed = True

    with pytest.raises(TraceRefusedError, match=r"add --trace-config=triton,file=.* to triton.arguments"):
        rig.tracer.trace(Order(3, 30.0), never)

    assert rig.off()


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_the_log_is_as_verbose_afterwards_as_before(rig: Rig, level: int, *, verbose: bool) -> None:
    rig.triton.level = level
    rig.tracer.trace(Order(3, 30.0, verbose=verbose), never)

    assert rig.triton.level == level
    touched = [call for call in rig.triton.calls if isinstance(call, int)]
    assert touched == ([1, 0] if verbose and level == 0 else [])
    assert not rig.mark.exists()


@pytest.mark.parametrize("levels", [("TIMESTAMPS",), ("TIMESTAMPS", "TENSORS")])
def test_a_triton_that_traces_already_is_left_alone(rig: Rig, levels: tuple[str, ...]) -> None:
    rig.triton.settings["trace_level"] = levels
    written = rig.triton.file.with_name("trace.0")
    written.write_text("[]")

    with pytest.raises(TraceRefusedError, match=r"traces requests already.*take the level out of --trace-config"):
        rig.tracer.trace(Order(3, 30.0, verbose=True), never)

    assert rig.triton.calls == ["settings"]
    assert written.exists()
    assert not rig.mark.exists()


def test_what_lies_under_a_name_that_is_not_ours_stays(rig: Rig, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    written = theirs.with_name("theirs.0")
    written.write_text("[]")
    rig.triton.settings["trace_file"] = (str(theirs),)

    with pytest.raises(TraceRefusedError, match=r"theirs.0 is there already .* move it"):
        rig.tracer.trace(Order(3, 30.0), never)

    assert written.exists()
    assert rig.triton.calls == ["settings"]


def test_a_file_of_the_administrators_own_name_is_used_where_nothing_lies(rig: Rig, tmp_path: Path) -> None:
    rig.triton.file = tmp_path / "theirs"
    rig.triton.settings["trace_file"] = (str(rig.triton.file),)

    assert len(rig.tracer.trace(Order(3, 30.0), never).requests) == 3
    assert not rig.triton.file.with_name("theirs.0").exists()


@pytest.mark.parametrize("kind", [RejectedError, RefusedError])
def test_what_triton_says_no_to_is_told_once_and_not_tried_again(
    rig: Rig, kind: type[RejectedError | RefusedError], caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> bool:
        rig.triton.refuses = kind
        return True

    rig.triton.comes = 0
    rig.tracer.trace(Order(3, 30.0, verbose=True), gone)
    asked = len(rig.triton.calls)
    rig.tracer.run(_Turns(3))

    assert not rig.mark.exists()
    assert len(rig.triton.calls) == asked
    (said,) = [one.message for one in caplog.records]
    assert "delete the pod" in said


def test_what_a_process_that_died_has_traced_is_removed(rig: Rig) -> None:
    rig.mark.write_text(to_json(Left(str(rig.triton.file), 0)))
    rig.triton.level, rig.triton.settings["trace_level"] = 1, ("TIMESTAMPS",)
    written = [rig.triton.file.with_name(name) for name in ("trace.0", "trace.12")]
    for path in written:
        path.write_text("[]")
    other = rig.triton.file.with_name("trace.txt")
    other.write_text("")

    rig.tracer.run(_Turns(1))

    assert rig.off()
    assert not any(path.exists() for path in written)
    assert other.exists()


def test_an_order_after_a_process_that_died_switches_off_what_it_left(rig: Rig) -> None:
    rig.mark.write_text(to_json(Left(str(rig.triton.file), 0)))
    rig.triton.level, rig.triton.settings["trace_level"] = 1, ("TIMESTAMPS",)

    assert len(rig.tracer.trace(Order(3, 30.0), never).requests) == 3
    assert rig.off()


def test_an_order_is_refused_while_what_was_left_cannot_be_switched_off(rig: Rig) -> None:
    rig.mark.write_text(to_json(Left(str(rig.triton.file), 0)))
    rig.triton.down = 1000

    with pytest.raises(TraceRefusedError, match="cannot be switched off yet; try again"):
        rig.tracer.trace(Order(3, 30.0), never)

    assert rig.mark.exists()


def test_a_mark_that_cannot_be_read_stands_for_all_that_may_be_on(rig: Rig) -> None:
    rig.mark.write_text("{")
    rig.triton.level, rig.triton.settings["trace_level"] = 1, ("TIMESTAMPS",)

    rig.tracer.run(_Turns(1))

    assert rig.off()


def test_what_cannot_be_read_is_none_and_does_not_stay(rig: Rig) -> None:
    rig.triton.comes = 0
    half = rig.triton.file.with_name("trace.4")

    def gone() -> bool:
        half.write_text('[{"id": 1')
        return False

    found = rig.tracer.trace(Order(3, 30.0), gone)

    assert found.requests == ()
    assert "is there room in" in found.cut
    assert not half.exists()


def test_files_of_other_names_stay(rig: Rig) -> None:
    names = ("trace", "trace.txt", "trace.0.bak", "edgedetector-tensors-1")
    for name in names:
        rig.triton.file.with_name(name).write_text("")

    rig.tracer.trace(Order(1, 30.0), never)

    assert all(rig.triton.file.with_name(name).exists() for name in names)
    assert not rig.triton.file.with_name("trace.0").exists()


class _Turns(threading.Event):
    """Is set after so many turns, without any time."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.left = turns

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the signature of Event
        self.left -= 1
        return self.left < 0
