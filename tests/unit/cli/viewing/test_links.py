"""Ports are opened once, closed when they do not work, and none stays open."""

from __future__ import annotations

import contextlib
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
