"""Documents that the kubelet projects from a ConfigMap, read anew when they change."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Generic, TypeVar

from edgedetector.api.wire import InvalidDocumentError, from_json

log = logging.getLogger(__name__)

T = TypeVar("T")


class Document(Generic[T]):
    """A JSON file of one type.

    A missing file is an answer: None. A file that is not valid is not: the last valid value stays in force, since the
    data plane must outlive a bad write. The kubelet swaps the directory by a symbolic link, so a single read never sees
    halves of two versions.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._kind = kind
        self._text: str | None = None
        self.value: T | None = None

    def read(self) -> T | None:
        """Return the value in force."""
        try:
            text = self._path.read_text()
        except (FileNotFoundError, NotADirectoryError):
            self._text, self.value = None, None
            return None
        if text != self._text:
            self._text = text
            try:
                self.value = from_json(self._kind, text)
            except InvalidDocumentError as error:
                log.error("%s stays as it was: %s", self._path.name, error)  # noqa: TRY400 - the message says it all
        return self.value
