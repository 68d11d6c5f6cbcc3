"""Settings of every test, and a bare API server for those that ask for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.apiserver import Server

# A time limit on an example would make a test fail because its machine is busy.
settings.register_profile("untimed", deadline=None)
# `make test` judges a commit: the same examples each time, so that it is the commit that fails and not the draw.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "untimed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the machine be called quiet."""
    parser.addoption(
        "--on-time", action="store_true", help="the machine is quiet: fail what takes longer than promised"
    )


class Collection:
    """Whether every module could be read. One that could not leaves others out, and that is no failure of a test."""

    def __init__(self) -> None:
        self.broken = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that cannot be imported, also in a worker of pytest-xdist."""
        self.broken |= report.failed

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End with the code for an interrupted run, as pytest does without pytest-xdist."""
        if self.broken:
            session.exitstatus = pytest.ExitCode.INTERRUPTED


def pytest_configure(config: pytest.Config) -> None:
    """Watch the collection."""
    config.pluginmanager.register(Collection(), "collection")


@pytest.fixture(scope="session")
def apiserver() -> Iterator[Server]:
    """A bare API server that knows all our kinds. Session, since it takes seconds: work in a namespace of your own."""
    from tests import apiserver as bare  # noqa: PLC0415 - most tests need none of what it needs

    with bare.start() as server:
        server.install_crds()
        yield server
