"""Which of a camera's two streams is read: the usual one, or under overload the one in fewer pixels. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SPOILT: Final = 300.0
"""Seconds for which a sub-stream that failed is not gone to again: each try costs frames, on a box that is short of
them."""
LASTING: Final = 10.0
"""Seconds of frames after which a session counts as one that worked: five keyframe intervals. A stream that breaks
sooner than that, again and again, is as good as none."""
_PATIENCE: Final = 2
"""Failures on end of a smaller one that worked before it is given up: its media server restarts for any change of the
cameras, which breaks the session, and may not listen yet when it is opened again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One opening of a stream, and the frames it gave. Seconds, monotonic."""

    url: str
    first: float | None = None
    """When its first frame arrived; None: there was none."""
    last: float = 0.0

    def frame(self, now: float) -> Session:
        """Return the session after another frame."""
        return replace(self, first=now if self.first is None else self.first, last=now)

    @property
    def worked(self) -> bool:
        """Return whether it gave frames for as long as a stream that is well."""
        return self.first is not None and self.last - self.first >= LASTING


@dataclass(frozen=True, slots=True)
class Streams:
    """A camera's streams by URL."""

    usual: str
    smaller: str = ""
    """Empty: there is none, or the usual one is it already."""
    failed_at: float | None = None
    """When the smaller one was given up. Seconds, monotonic."""
    patience: int = 1
    """Failures of the smaller one without frames until it is given up."""

    def has_smaller(self, now: float) -> bool:
        """Return whether there is a smaller one that can be gone to."""
        return bool(self.smaller) and (self.failed_at is None or now - self.failed_at >= SPOILT)

    def url(self, now: float, *, smaller: bool) -> str:
        """Return what to read, if `smaller` says that fewer pixels are wanted."""
        return self.smaller if smaller and self.has_smaller(now) else self.usual

    def failed(self, session: Session, now: float) -> Streams:
        """Return the streams after the failure of a session.

        The smaller one is given up if it gives no frames, which one that worked may do once; and no longer if the
        usual one fails as well, since then it was not the stream that was at fault.
        """
        if not self.smaller or session.url != self.smaller:
            return replace(self, failed_at=None)
        if session.worked:
            return replace(self, patience=_PATIENCE)
        if self.patience > 1:
            return replace(self, patience=self.patience - 1)
        return replace(self, failed_at=now, patience=1)
