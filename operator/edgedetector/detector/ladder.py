"""The degradation ladder: a replica under pressure gives up a little at a time, and takes it back when there is room.

    over its limit for `react_after`  ──> one move down: rungs until the work fits by estimate, at least one
    room by all signals for the dwell ──> one move back, the last one first

A move back that had to be undone within its dwell is made again as it was, since with it all was well, but as two
halves of which the later one is tried next: so in a few attempts it comes to rest on the rung that is just enough. The
dwell doubles each time, up to eight times, and up to 32 times while all that presses is as it was when the attempt was
made: then it would fail again. One that held halves it again. So a steady overload costs at most one attempt every
``32 * recover_after``, and once the load is seen to be gone all is back within ``recover_after * (moves + 11)`` and the
seconds in which smoothed signals fall: at worst the first dwells are 8, 4 and 2 times as long.

Pure: state in, state out; times in seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from edgedetector.detector.pressure import Finding, Limits, Pressure, Signal, blended, eased, findings, relaxed
from edgedetector.detector.rates import Room
from edgedetector.detector.rungs import Level, Options, Rung, Step, ladder, level, work
from edgedetector.detector.sentences import sentences

MAX_SHED: Final = 0.5
"""Share of the work that one move may give up by estimate: signals such as age are no measure of how much is enough."""
MAX_DOUBLINGS: Final = 3
"""Of the dwell before a move back of which something says that it may hold,"""
MAX_VAIN_DOUBLINGS: Final = 5
"""and of one where nothing has changed since it did not hold: a quarter of an hour."""
_SMOOTHING: Final = 0.5
"""Weight of the newest measurement of about one a second: a single odd one moves nothing."""
_USUAL: Final = 0.05
"""The same for what is usual between two moves, which shows whether the load is another one: 20 s."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user may change; right as it is. Seconds."""

    enabled: bool = True
    steps: tuple[Step, ...] = tuple(Step)
    protected_priority: int = 100
    react_after: float = 3.0
    recover_after: float = 30.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Move:
    """One step down."""

    rungs: tuple[Rung, ...]
    """Taken by it; never empty."""
    signal: Signal
    because: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A move back: when, and how often the dwell before it had been doubled."""

    at: float
    doublings: int
    rungs: int
    """That it gave back."""
    usual: Pressure | None
    """Before it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a camera stands, for status and metrics."""

    camera: str
    level: Level
    rungs: int
    """Taken from it; 0: nothing is."""
    signal: Signal | None = None
    """Why the last one was."""
    because: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What one move did to some cameras in the same way."""

    cameras: tuple[str, ...]
    down: bool
    signal: Signal | None
    sentence: str
    """E.g. "lowered gate from 5 to 3 frames/s because the host CPU was 96 % busy"."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The state of one replica's ladder."""

    settings: Settings = field(default_factory=Settings)
    cameras: tuple[Options, ...] = ()
    moves: tuple[Move, ...] = ()
    """Down and not yet taken back, the last one last."""
    room: Room = Room.HOLD
    smoothed: Pressure | None = None
    usual: Pressure | None = None
    """What was measured since the last move, in the mean."""
    over_since: float | None = None
    relaxed_since: float | None = None
    doublings: int = 0
    tried: Attempt | None = None
    """The last move back, if nothing was given up since."""
    failed: Pressure | None = None
    """What was usual before the last move back that did not hold, if none did since."""

    @property
    def taken(self) -> tuple[Rung, ...]:
        """All rungs that are taken."""
        return tuple(rung for move in self.moves for rung in move.rungs)

    @property
    def dwell(self) -> float:
        """Seconds of room before the next move back."""
        return float(self.settings.recover_after * 2**self._doublings)

    @property
    def _doublings(self) -> int:
        """Of the dwell, as what is measured now has it."""
        vain = self.failed is not None and not eased(self.failed, self.usual)
        return self.doublings if vain else min(MAX_DOUBLINGS, self.doublings)

    @property
    def moving(self) -> bool:
        """Whether anything is given up now: the tuner's measurements then say little."""
        return bool(self.moves)

    def standings(self) -> tuple[Standing, ...]:
        """Return where each camera stands, in the order of the cameras."""
        return tuple(self._standing(camera) for camera in self.cameras)

    def advance(self, pressure: Pressure, now: float) -> tuple[Ladder, tuple[Change, ...]]:
        """Return the ladder after a measurement, about one a second, and what changed."""
        seen, found = _measured(self, pressure, now)
        if not self.settings.enabled:
            return seen, ()
        if found and seen.over_since is not None and now - seen.over_since >= self.settings.react_after:
            return _down(seen, found, now)
        if self.moves and seen.relaxed_since is not None and now - seen.relaxed_since >= seen.dwell:
            return _back(seen, now)
        return seen, ()

    def configured(self, settings: Settings, cameras: Iterable[Options]) -> tuple[Ladder, tuple[Change, ...]]:
        """Return the ladder for other settings or cameras; a new camera gives up what its equals do.

        With other steps, or none, everything comes back at once.
        """
        cameras = tuple(cameras)
        if settings == self.settings and cameras == self.cameras:
            return self, ()
        kept = settings.enabled and settings.steps == self.settings.steps
        rungs = ladder(cameras, settings.steps, settings.protected_priority)
        moves = _carried(self.moves, rungs) if kept else ()
        after = replace(self, settings=settings, cameras=cameras, moves=moves)
        if settings != self.settings:
            # What did not hold within other limits says nothing of these.
            doublings = min(MAX_DOUBLINGS, self.doublings) if kept else 0
            after = replace(after, failed=None, tried=None, doublings=doublings)
        if kept:
            return after, ()
        told = tuple(camera for camera in self.cameras if camera in cameras)
        why = "because degradation was switched off or has other steps"
        return after, _changes(told, (self, after), why, None)

    def _standing(self, camera: Options) -> Standing:
        mine = [(m, rung) for m in self.moves for rung in m.rungs if rung.priority == camera.priority]
        left = level(camera, (rung for _, rung in mine), self.settings.steps)
        if left == Level(camera.target):
            return Standing(camera.camera, left, 0)
        return Standing(camera.camera, left, len(mine), mine[-1][0].signal, mine[-1][0].because)


def _measured(known: Ladder, pressure: Pressure, now: float) -> tuple[Ladder, tuple[Finding, ...]]:
    smoothed = blended(known.smoothed, pressure, _SMOOTHING)
    limits = known.settings.limits
    # What was is over, and what is now: the average of one odd measurement stays over its limit for seconds.
    found = findings(smoothed, limits) if findings(pressure, limits) else ()
    free = relaxed(smoothed, limits, {move.signal for move in known.moves} or None)
    measured = replace(
        known,
        room=Room.OVER if found else Room.ROOM if free and not known.moves else Room.HOLD,
        smoothed=smoothed,
        usual=blended(known.usual, pressure, _USUAL),
        over_since=(now if known.over_since is None else known.over_since) if found else None,
        relaxed_since=(now if known.relaxed_since is None else known.relaxed_since) if free else None,
    )
    return measured, found


def _down(before: Ladder, found: tuple[Finding, ...], now: float) -> tuple[Ladder, tuple[Change, ...]]:
    tried = before.tried
    if tried is not None and now - tried.at > before.settings.recover_after * 2**tried.doublings:
        tried = None  # It held for as long as one has to.
    rungs = _more(before, found) if tried is None else _again(before, found, tried.rungs)
    if not rungs:
        return before, ()
    worst = found[0]
    half = len(rungs) if tried is None else math.ceil(len(rungs) / 2)
    moves = tuple(Move(part, worst.signal, worst.because) for part in (rungs[:half], rungs[half:]) if part)
    after = _moved(before, (*before.moves, *moves))
    if tried is not None:
        after = replace(after, doublings=min(MAX_VAIN_DOUBLINGS, tried.doublings + 1), failed=tried.usual)
    return after, _changes(before.cameras, (before, after), f"because {worst.because}", worst.signal)


def _more(before: Ladder, found: tuple[Finding, ...]) -> tuple[Rung, ...]:
    """Return the rungs of one move: as many as by estimate bring the worst finding to its limit."""
    taken = before.taken
    goal = _work(before, taken) * max(1.0 - MAX_SHED, 1.0 / found[0].excess)
    more: tuple[Rung, ...] = ()
    for rung in _next(before, found):
        more = (*more, rung)
        if _work(before, (*taken, *more)) <= goal:
            break
    return more


def _again(before: Ladder, found: tuple[Finding, ...], count: int) -> tuple[Rung, ...]:
    """Return the rungs that a move back gave: with them all was well, and an estimate might take what is not needed."""
    return tuple(islice(_next(before, found), count))


def _next(before: Ladder, found: tuple[Finding, ...]) -> Iterator[Rung]:
    """Yield the rungs that may be taken next, in order."""
    settings = before.settings
    harm = any(finding.harm for finding in found)
    for rung in ladder(before.cameras, settings.steps, settings.protected_priority)[len(before.taken) :]:
        if settings.steps[rung.place] is Step.PAUSE_CAMERAS and not harm:
            return
        yield rung


def _back(before: Ladder, now: float) -> tuple[Ladder, tuple[Change, ...]]:
    waited, move = before._doublings, before.moves[-1]  # noqa: SLF001 - of this module
    after = _moved(before, before.moves[:-1])
    tried = Attempt(now, waited, len(move.rungs), before.usual)
    after = replace(after, doublings=max(0, waited - 1), tried=tried, failed=None)
    return after, _changes(before.cameras, (before, after), f"because there was room for {before.dwell:.0f} s", None)


def _moved(before: Ladder, moves: tuple[Move, ...]) -> Ladder:
    # What was measured before a move says nothing about the time after it.
    return replace(
        before,
        moves=moves,
        tried=None,
        smoothed=None,
        usual=None,
        over_since=None,
        relaxed_since=None,
        room=Room.HOLD,
    )


def _work(of: Ladder, taken: tuple[Rung, ...]) -> float:
    return sum(work(level(camera, taken, of.settings.steps)) for camera in of.cameras)


def _carried(moves: tuple[Move, ...], rungs: tuple[Rung, ...]) -> tuple[Move, ...]:
    """Return the moves with the rungs that there are now; what is taken stays the lower part of the ladder."""
    carried: list[Move] = []
    start = 0
    for move in moves:
        end = sum(rung <= move.rungs[-1] for rung in rungs)
        if end > start:
            carried.append(replace(move, rungs=rungs[start:end]))
            start = end
    return tuple(carried)


def _changes(
    cameras: tuple[Options, ...], ladders: tuple[Ladder, Ladder], why: str, signal: Signal | None
) -> tuple[Change, ...]:
    """Return what the way from one ladder to the other means for the cameras, those together that fare alike."""
    alike: dict[tuple[Level, Level], list[str]] = {}
    for camera in cameras:
        old, new = (level(camera, of.taken, of.settings.steps) for of in ladders)
        if old != new:
            alike.setdefault((old, new), []).append(camera.camera)
    return tuple(
        Change(tuple(names), signal is not None, signal, sentence)
        for (old, new), names in alike.items()
        for sentence in sentences(names, old, new, why)
    )
