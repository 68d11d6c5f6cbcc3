"""All sinks together: what one does is no other's concern."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.outputs.broker import wait_for
from tests.unit.detector.outputs.made import Tally, crossing, report

from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.jsonlines import JsonLines
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.outputs import Outputs
from edgedetector.detector.outputs.reports import Report, Scene


class Collecting:
    name = "collecting"

    def __init__(self, enough: int) -> None:
        self.reports: list[Report] = []
        self.full = threading.Event()
        self._enough = enough

    def run(self, mailbox: Mailbox, _scene: Callable[[], Scene], stop: threading.Event) -> None:
        while not stop.is_set():
            self.reports += mailbox.take(16, 0.05)
            if len(self.reports) >= self._enough:
                self.full.set()


class Dead:
    """Takes nothing, ever."""

    name = "dead"

    def run(self, _mailbox: Mailbox, _scene: Callable[[], Scene], stop: threading.Event) -> None:
        stop.wait()


class Broken(Collecting):
    """Raises the first time."""

    name = "broken"
    runs = 0

    def run(self, mailbox: Mailbox, scene: Callable[[], Scene], stop: threading.Event) -> None:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError
        super().run(mailbox, scene, stop)


def test_a_dead_sink_loses_its_oldest_and_a_broken_one_begins_again_while_the_others_get_all() -> None:
    good, dead, broken, tally, stop = Collecting(200), Dead(), Broken(10), Tally(), threading.Event()
    outputs = Outputs([dead, good, broken], tally, queue=200)
    for number in range(100):
        outputs.publish("gate", "people", [crossing("enter", number)])
    threads = outputs.start(stop)
    for number in range(100):
        outputs.publish("gate", "people", [crossing("leave", number)])
    assert good.full.wait(20)
    for number in range(200, 250):
        outputs.publish("gate", "people", [crossing("enter", number)])
    assert broken.full.wait(20)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert [one.kind for one in good.reports[:200]] == ["new"] * 100 + ["end"] * 100
    assert tally["dead", "queued"] == 250
    assert tally["dead", "dropped"] == 50


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 8), st.integers(1, 8))
def test_a_mailbox_gives_the_newest_in_order_and_counts_the_rest(puts: list[int], limit: int, most: int) -> None:
    mailbox, dropped = Mailbox(limit), 0
    every = [report(str(number)) for number in range(sum(puts))]
    start = 0
    for count in puts:
        dropped += mailbox.put(every[start : start + count])
        start += count
    taken = list[Report]()
    while found := mailbox.take(most, 0.0):
        assert len(found) <= most
        taken += found
    assert taken == every[dropped:]
    assert len(taken) <= limit


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))
def test_what_is_inherited_is_older_and_the_first_to_be_dropped(left: int, here: int, limit: int) -> None:
    old, new = Mailbox(limit), Mailbox(limit)
    every = [report(str(number)) for number in range(left + here)]
    dropped = old.put(every[:left]) + new.put(every[left:])
    dropped += new.inherit(old)
    assert len(old) == 0
    taken = new.take(limit, 0.0)
    assert dropped + len(taken) == len(every)
    assert taken == every[dropped:] or here > limit


def test_sinks_are_exchanged_without_a_report_being_lost_or_told_twice() -> None:
    outputs = Outputs((), Tally())
    rounds = [Collecting(0) for _ in range(20)]
    for number, sink in enumerate(rounds):
        outputs.use([sink])
        outputs.publish("gate", "people", [crossing("enter", number)])
    last = Collecting(0)
    outputs.use([last])
    outputs.publish("gate", "people", [crossing("enter", 99)])
    assert last.full.wait(20)
    wait_for(lambda: sum(len(one.reports) for one in (*rounds, last)) == 21, lambda: [o.reports for o in rounds])
    outputs.close(20)
    told = [one.after.id for sink in (*rounds, last) for one in sink.reports]
    assert len(set(told)) == 21
    assert len(outputs.scene.things) == 0


def test_an_exchanged_sink_gets_nothing_any_more() -> None:
    """It may send what is not to be sent any longer, or to whom nothing is to be sent."""
    for _ in range(20):
        outputs, old, new = Outputs((), Tally()), Collecting(1), Collecting(1)
        outputs.use([old])
        outputs.use([new])
        outputs.publish("gate", "people", [crossing("enter", 1)])
        assert new.full.wait(20)
        outputs.close(20)
        assert old.reports == []


def test_a_camera_that_goes_to_another_replica_ends_its_objects_here() -> None:
    sink, stop = Collecting(2), threading.Event()
    outputs = Outputs([sink], Tally(), epoch=lambda at: 1000.0 + at)
    outputs.serve({"gate": True})
    outputs.publish("gate", "people", [crossing("enter", 1)])
    assert outputs.scene.counts() == {"gate": {"person": 1}}
    outputs.forget("gate", removed=False)
    assert outputs.scene == Scene()
    threads = outputs.start(stop)
    assert sink.full.wait(20)
    stop.set()
    threads[0].join(20)
    assert [one.kind for one in sink.reports] == ["new", "end"]
    assert sink.reports[0].after.start == 1001.0


def test_lines_of_json_are_written_if_asked_for() -> None:
    stream, mailbox, stop, tally = io.StringIO(), Mailbox(10), threading.Event(), Tally()
    mailbox.put([report("1"), report("2")])
    stop.set()
    JsonLines(stream, "/namespaces/site-a/edgedetectors/yard", tally).run(mailbox, Scene, stop)
    assert [json.loads(line)["id"] for line in stream.getvalue().splitlines()] == ["1", "2"]
    assert tally == {("stdout", "sent"): 2}


@given(st.integers(0, 2000), st.floats(0, 1))
def test_waits_grow_to_their_limit_and_are_never_short(failures: int, drawn: float) -> None:
    backoff = Backoff(first=0.5, most=30.0, draw=lambda: drawn)
    for number in range(failures):
        wait = backoff.failed()
        ceiling = min(30.0, 0.5 * 2.0 ** min(number, 20))
        assert ceiling / 2 <= wait <= ceiling
    backoff.succeeded()
    assert backoff.failed() <= 0.5
