"""What the tests of the detector share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import authority
from tests.unit.detector.modelserver import ModelServer, model_server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of models.example and mirror.example. Session, since making keys takes a moment."""
    folder = tmp_path_factory.mktemp("certificates")
    authority.make(folder, "DNS:models.example", "DNS:mirror.example")
    return folder


@pytest.fixture
def models(certificates: Path) -> Iterator[ModelServer]:
    """A model server."""
    with model_server(certificates) as server:
        yield server
