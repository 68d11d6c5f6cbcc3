"""Events on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.killed import lines_of, run_killed

from edgedetector.detector.outputs.spool import Bound, Spool

BATCHES = st.lists(st.one_of(st.none(), st.lists(st.integers(0, 30), max_size=6)), max_size=20)


def drained(path: Path, bound: Bound = Bound()) -> list[str]:  # noqa: B008 - frozen
    spool = Spool(path, bound)
    found = []
    while event := spool.first():
        found.append(event.id)
        assert spool.remove(event)
    assert spool.used == (0, 0)
    spool.close()
    return found


@given(BATCHES, st.integers(1, 8), st.integers(0, 80), st.booleans())
def test_it_is_a_queue_whose_oldest_make_room(
    batches: list[list[int] | None],
    events: int,
    size: int,
    reopened: bool,  # noqa: FBT001 - drawn
) -> None:
    bound, model, number = Bound(events, size), list[tuple[str, bytes]](), 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool = Spool(path, bound)
        for batch in batches:
            if batch is None:
                first = spool.first()
                assert (first and (first.id, first.body)) == (model[0] if model else None)
                if first:
                    assert spool.remove(first)
                    assert not spool.remove(first)
                    model.pop(0)
            else:
                new = [(str(number + i), b"x" * length) for i, length in enumerate(batch)]
                number += len(new)
                model += new
                dropped = 0
                while len(model) > events or sum(len(body) for _, body in model) > size:
                    model.pop(0)
                    dropped += 1
                assert spool.append(new) == dropped
            if reopened:
                spool.close()
                spool = Spool(path, bound)
            assert spool.used == (len(model), sum(len(body) for _, body in model))
        spool.close()
        assert drained(path, bound) == [identity for identity, _ in model]


def use(path: Path, said: Callable[[str], None]) -> None:
    """Write and remove, and say of each what was done when it was."""
    spool = Spool(path, Bound(events=4))
    for start in (0, 2, 4):
        spool.append([(str(start), b"a"), (str(start + 1), b"b")])
        said(f"+{start + 1}")
    event = spool.first()
    assert event
    spool.remove(event)
    said(f"-{event.id}")
    spool.close()


def test_killed_at_any_line_it_holds_what_it_said_it_had_and_nothing_twice(tmp_path: Path) -> None:
    lines = lines_of(lambda: use(tmp_path / "whole", lambda _: None))
    assert lines > 50
    for at in range(1, lines + 1):
        path, log = tmp_path / f"spool-{at}", tmp_path / f"log-{at}"

        def say(what: str, log: Path = log) -> None:
            with log.open("a") as file:
                file.write(f"{what}\n")

        run_killed(lambda path=path, say=say: use(path, say), at)
        said = log.read_text().split() if log.exists() else []
        promised = max((int(one[1:]) for one in said if one.startswith("+")), default=-1)
        ids = [int(one) for one in drained(path, Bound(events=4))]
        # In order and without a gap; at most one batch, or one removal, more than was said.
        assert ids == list(range(ids[0], ids[-1] + 1)) if ids else promised == -1
        if ids:
            assert ids[-1] in {promised, promised + 2}
            oldest = max(0, ids[-1] - 3)
            removed = "-2" in said
            assert ids[0] == oldest + 1 if removed else ids[0] in {oldest, oldest + (ids[-1] == 5)}


def test_one_that_was_dropped_while_it_was_under_way_is_not_removed_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Bound(events=1))
    spool.append([("1", b"")])
    under_way = spool.first()
    assert under_way
    assert spool.append([("2", b"")]) == 1
    assert not spool.remove(under_way)
    assert spool.used == (1, 0)


def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    spool = Spool(path, Bound())
    assert spool.append([("1", b"")]) == 0
    assert (tmp_path / "spool.damaged").read_bytes().startswith(b"no database")


def test_a_full_disk_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Bound())
    spool.append([("1", b"a")])
    spool._file.execute("PRAGMA max_page_count=4")
    with pytest.raises(OSError, match="full"):
        spool.append([("2", b"b" * 100_000)])
    assert spool.used == (1, 1)
    spool.close()
    assert drained(tmp_path / "spool") == ["1"]


def test_a_place_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="spool"):
        Spool(tmp_path / "absent" / "spool", Bound())


@pytest.mark.parametrize("limit", [1 << 20, 8 << 20])
def test_the_files_outgrow_the_bound_by_what_the_plan_allows_for(tmp_path: Path, limit: int) -> None:
    """See plan/outputs.py: a volume above its limit ends the pod."""
    spool, body, most = Spool(tmp_path / "spool", Bound(limit // 256, limit)), b"x" * 500, 0
    for number in range(3 * limit // (256 * len(body))):
        spool.append([(f"{number}-{index}".rjust(36), body) for index in range(256)])
        most = max(most, sum(file.stat().st_size for file in tmp_path.iterdir()))
    assert spool.used[1] > limit - len(body), "full"
    assert most <= 1.25 * limit + (8 << 20)
