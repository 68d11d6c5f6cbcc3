"""Addresses from DNS, which may fail or not answer at all."""

from __future__ import annotations

import threading

from edgedetector.detector.candidates import Candidates


def test_when_dns_fails_the_last_answer_stays() -> None:
    told: list[frozenset[str]] = []
    answers = iter([frozenset({"10.0.0.1"}), None, frozenset({"10.0.0.2"})])

    def resolve(_host: str) -> frozenset[str]:
        if (answer := next(answers)) is None:
            raise OSError("no name server")
        return answer

    candidates = Candidates(told.append, resolve)
    candidates.of("replicas")
    for _ in range(3):
        candidates.look("replicas")
    assert told == [frozenset({"10.0.0.1"}), frozenset({"10.0.0.2"})]


def test_a_name_server_that_does_not_answer_holds_up_nobody() -> None:
    asked, answer, told = threading.Event(), threading.Event(), threading.Event()

    def resolve(_host: str) -> frozenset[str]:
        asked.set()
        answer.wait(60)
        return frozenset({"10.0.0.1"})

    stop = threading.Event()
    candidates = Candidates(lambda _: told.set(), resolve)
    thread = threading.Thread(target=candidates.run, args=(stop,), daemon=True)
    thread.start()
    candidates.of("replicas")
    assert asked.wait(60)
    candidates.of("replicas")
    candidates.again()
    assert not told.is_set(), "both returned while the look-up was under way"
    answer.set()
    assert told.wait(60)
    stop.set()
    candidates.again()
    thread.join(60)
    assert not thread.is_alive()


def test_an_answer_to_a_question_of_the_past_is_not_told() -> None:
    told: list[frozenset[str]] = []
    candidates = Candidates(told.append, lambda _: frozenset({"10.0.0.1"}))
    candidates.of("other")
    candidates.look("replicas")
    assert told == []
