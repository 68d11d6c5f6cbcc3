"""What is promised in seconds: noted in every run, and failed only on a machine that is said to be quiet.

How long something takes says as much of the machine as of us, so `make test` prints it and `make soak` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """How long something took, and may take; seconds."""

    what: str
    seconds: float
    due: float

    @property
    def kept(self) -> bool:
        """Whether it was in time."""
        return self.seconds <= self.due

    def __str__(self) -> str:
        return f"{self.seconds:7.2f} s of {self.due:5.1f}  {'' if self.kept else 'LATE: '}{self.what}"


class Promises:
    """Those of one run."""

    def __init__(self) -> None:
        self.strict = False
        self.noted: list[Promise] = []

    def note(self, what: str, seconds: float, due: float) -> None:
        """Note one.

        Raises
        ------
        AssertionError
            If it is late and the machine is said to be quiet (`--on-time`).
        """
        promise = Promise(what, seconds, due)
        self.noted.append(promise)
        assert promise.kept or not self.strict, str(promise)


promises = Promises()
"""Of this process."""
