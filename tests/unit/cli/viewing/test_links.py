"""Ports are opened once, closed when they do not work, and none stays open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from edgedetector.cli.errors import CommandError
from edgedetector.cli.viewing.links import Links


class Ports:
    def __init__(self) -> None:
        self.opened: list[tuple[str, int]] = []
        self.open: set[str] = set()

    @contextlib.contextmanager
    def enter(self, pod: str, port: int) -> Iterator[str]:
        self.opened.append((pod, port))
        url = f"http://127.0.0.1:{len(self.opened)}"
        self.open.add(url)
        yield url
        self.open.remove(url)


def test_a_port_is_opened_once_for_all() -> None:
    ports = Ports()
    links = Links(ports.enter)

    assert links.url("a", 1) == links.url("a", 1) != links.url("a", 2)
    assert ports.opened == [("a", 1), ("a", 2)]


def test_one_that_does_not_work_is_opened_anew_and_closed_once() -> None:
    ports = Ports()
    links = Links(ports.enter)
    dead = links.url("a", 1)

    links.drop("a", 1, dead)
    new = links.url("a", 1)
    links.drop("a", 1, dead)  # a second reader notices later

    assert links.url("a", 1) == new != dead
    assert ports.open == {new}


def test_ports_of_pods_that_are_gone_are_closed() -> None:
    ports = Ports()
    links = Links(ports.enter)
    links.url("old", 1)
    kept = links.url("new", 1)

    links.keep({"new"})

    assert ports.open == {kept}


def test_after_the_end_none_is_open_and_none_is_opened() -> None:
    ports = Ports()
    links = Links(ports.enter)
    links.url("a", 1)

    links.close()

    assert not ports.open
    with pytest.raises(CommandError, match="closed"):
        links.url("a", 1)


@pytest.mark.parametrize("how", ["close", "keep"])
def test_a_port_that_is_just_being_opened_is_not_waited_for_and_does_not_stay(how: str) -> None:
    ports, entered, opens, said = Ports(), threading.Event(), threading.Event(), []

    @contextlib.contextmanager
    def slow(pod: str, port: int) -> Iterator[str]:
        entered.set()
        assert opens.wait(60)
        with ports.enter(pod, port) as url:
            yield url

    def ask() -> None:
        with pytest.raises(CommandError) as error:
            links.url("a", 1)
        said.append(str(error.value))

    links = Links(slow)
    asking = threading.Thread(target=ask)
    asking.start()
    assert entered.wait(60)
    ending = threading.Thread(target=links.close if how == "close" else lambda: links.keep({"b"}), daemon=True)
    ending.start()
    ending.join(60)
    waited = ending.is_alive()
    opens.set()
    asking.join(60)

    assert not waited
    assert len(said) == 1
    assert ports.opened
    assert not ports.open
