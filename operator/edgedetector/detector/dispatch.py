"""Frames of all cameras to results: fair batches, prepared where Triton reads them, and decoded where it wrote.

A frame goes through every model of its camera, each in a lane of its own; its fate is known when all have settled it.
Tensors lie in shared memory. Where that cannot be had they travel in the message, and that is said, not hidden; now and
then it is tried again, since whoever filled the memory may have gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edgedetector.detector import geometry
from edgedetector.detector.batching import Batch, Capacity, Offer, Outcome
from edgedetector.detector.detection import UnexpectedOutputError
from edgedetector.detector.frame import Frame, Scaler
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.scheduling import Scheduler, Start
from edgedetector.triton.client import Client
from edgedetector.triton.errors import SharedMemoryError, TritonError, UnavailableError
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.slots import Pool, Slot
from edgedetector.triton.tensors import Signature
from edgedetector.triton.transport import LINGER, Transport

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 10.0
"""Until a request is given up: far above any inference, far below what an operator takes for a hang."""
SLOT_SECONDS: Final = 1.0
"""To wait for memory: there are as many slots as requests, so none is only missing while answers are outstanding."""
AGAIN_SECONDS: Final = 30.0
"""For which tensors travel in messages before shared memory is tried again. A try costs a file and a request more; the
time in messages costs each request about twice its time (docs/results/shared-memory.md)."""
STEADY_SECONDS: Final = 10.0
"""For which shared memory must hold before it is believed: with room for one of two models the other's next frame ends
it again, and comes well within this."""
IMAGE_DIMS: Final = 4
"""Of an input with a batch dimension, the model's own or Triton's."""

Image = Any
Timed = Callable[[str], Any]
"""Returns a context manager that adds the time of its block to a stage."""


class Owner(Protocol):
    """The camera of a frame, as far as the way of a frame is concerned. Called from many threads."""

    @property
    def confidence(self) -> float | None:
        """Score from which an object counts; None: the model's own."""

    def found(self, shot: Shot, model: str, decoded: Decoded, seconds: float) -> None:
        """Take what a model found, and how many seconds Triton took to answer."""

    def failed(self, shot: Shot, model: str, error: Exception) -> None:
        """Take note that a model gave no answer for a frame."""

    def settled(self, shot: Shot, fate: Outcome) -> None:
        """Take note of what became of a frame. A lock is held: only count."""


class Shot:
    """A frame on its way through its camera's models.

    Parameters
    ----------
    frame
        Gives its pixels by `image()`, which is asked at most once.
    models
        How many models it is offered to.
    answers
        Of which of its camera's models each of those is the answer; one that is not named, of itself alone.
    """

    def __init__(
        self, owner: Owner, frame: Frame, models: int, answers: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.owner = owner
        self.frame = frame
        self.answers = answers or {}
        self._lock = threading.Lock()
        self._image: Image | None = None
        self._left = models
        self._fates: list[Outcome] = []

    def image(self) -> Image:
        """Return the pixels, RGB uint8 [height, width, 3]."""
        with self._lock:
            if self._image is None:
                self._image = self.frame.image()
            return self._image

    def settle(self, outcome: Outcome) -> None:
        """Count a model's outcome; the last one tells the camera the worst, since a frame is inferred by all or not."""
        with self._lock:
            self._fates.append(outcome)
            self._left -= 1
            over = self._left == 0
        if over:
            self.owner.settled(self, max(self._fates, key=_BADNESS.index))


_BADNESS: Final = (Outcome.SERVED, Outcome.WITHDRAWN, Outcome.SUPERSEDED, Outcome.EXPIRED, Outcome.FAILED)


Tap = Callable[[str, Slot, int], None]
"""Takes model, slot and rows of a request that is about to be sent."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A model's memory for requests beside those of its frames, and the way that they go."""

    pool: Pool
    transport: Transport
    room: Capacity
    """Of its frames."""


class _Lane:
    """A model and the memory of its requests."""

    def __init__(self, model: Model, room: Capacity) -> None:
        self.model = model
        self.room = room
        self.pool: Pool | None = None

    @property
    def signature(self) -> Signature:
        config = self.model.config
        return Signature(self.model.asked, config.inputs, config.outputs, config.max_batch_size)


class Dispatcher:
    """Sends the frames of all cameras to all models of one Triton.

    Parameters
    ----------
    regions
        Where shared memory is made; None: tensors travel in the message, for a Triton on another host.
    start
        Starts a thread whose failure ends the process.
    stage
        See `Timed`; stages are prepare, request and boxes.
    clock
        Monotonic seconds, the frames' too.
    ledger
        Counts what becomes of frames, by model.
    """

    def __init__(
        self,
        client: Client,
        *,
        regions: Regions | None,
        start: Start,
        stage: Timed,
        clock: Callable[[], float],
        ledger: Ledger | None = None,
    ) -> None:
        self._client, self._start, self._stage, self._clock = client, start, stage, clock
        self._ledger = ledger or Ledger()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._local = threading.local()
        self._transport = self._connect(regions)
        self._regions = regions
        self._shared = regions is not None
        self._again = self._returned = 0.0
        self._told: type[SharedMemoryError] | None = None
        self._lanes: dict[str, _Lane] = {}
        self._scheduler: Scheduler[Shot] = Scheduler(self._run, start=start, settled=self._settled, clock=clock)
        self.trouble = ""
        """Why tensors do not lie in shared memory although they should; empty if they do."""
        self.tap: Tap | None = None
        """Sees each request; None: nobody looks."""

    def sweep(self, *, linger: float = LINGER) -> None:
        """Remove what a killed process left behind, before the first frame; a Triton that does not answer has nothing.

        Parameters
        ----------
        linger
            Seconds after which no request of that process runs at Triton any more. Only then what a Triton before
            24.10 still has is unregistered, and only that by name: by then there may be regions of our own, in use,
            that look left.
        """
        transport = self._transport
        try:
            left = transport.sweep()
        except TritonError as error:
            log.info("regions of a former process: %s", error)
            return
        if left:
            # Not an alarm of the transport: what is left fills the memory, so that the transport is soon given up.
            self._start("sweep", lambda: None if self._closing.wait(linger) else transport.forget(left))

    def configure(
        self, models: Mapping[str, Model], capacities: Mapping[str, Capacity], cameras: Mapping[str, int]
    ) -> None:
        """Serve these models with these capacities, and these cameras with these priorities."""
        rooms = {name: _room(model, capacities.get(name, Capacity()), len(cameras)) for name, model in models.items()}
        gone = []
        with self._lock:
            for name, model in models.items():
                lane = self._lanes.get(name)
                if lane is None or lane.model is not model:
                    gone += [lane] if lane else []
                    self._lanes[name] = _Lane(model, rooms[name])
                elif lane.room != rooms[name]:
                    lane.room = rooms[name]
                    if lane.pool is not None:
                        lane.pool.resize(batch=lane.room.batch, slots=lane.room.requests)
            gone += [self._lanes.pop(name) for name in [name for name in self._lanes if name not in models]]
        self._scheduler.configure(rooms, cameras)
        for lane in gone:
            if lane.pool is not None:
                # Asks Triton, which may take its time: whoever configures has cameras to look after.
                self._start("release", lane.pool.close)

    def offer(self, camera: str, models: Sequence[str], shot: Shot, *, arrived: float, wait: float) -> None:
        """Offer a camera's newest frame to its models; it waits no longer than `wait` seconds after its arrival."""
        for model in models:
            self._ledger.offered(model)
            self._scheduler.offer(model, camera, shot, arrived=arrived, wait=wait)

    def beside(self, models: Collection[str]) -> dict[str, Beside]:
        """Return memory of their own for requests to those of the models that are served, of no slots yet.

        Whoever asks resizes the pools, and closes them.
        """
        with self._lock:
            found = {name: self._lanes[name] for name in models if name in self._lanes}
            return {
                name: Beside(
                    self._transport.pool(lane.signature, batch=lane.room.batch, slots=0), self._transport, lane.room
                )
                for name, lane in found.items()
            }

    def waiting(self, model: str) -> int:
        """Return how many frames wait to be sent to a model."""
        return self._scheduler.waiting(model)

    def close(self) -> None:
        """End every thread after its request and remove all shared memory."""
        self._closing.set()
        self._scheduler.close()
        self._transport.close()

    @property
    def transport(self) -> str:
        """How tensors travel now: `SharedMemory`, or `Grpc`, in messages."""
        return "SharedMemory" if self._shared else "Grpc"

    def _settled(self, model: str, offer: Offer[Shot], outcome: Outcome) -> None:
        self._ledger.settled(model, outcome)
        offer.frame.settle(outcome)

    def _connect(self, regions: Regions | None) -> Transport:
        return Transport(self._client, regions=regions, around=lambda: self._stage("request"))

    def _run(self, name: str, batch: Batch[Shot]) -> Sequence[bool]:
        with self._lock:
            lane = self._lanes.get(name)
        return self._send(lane, [offer.frame for offer in batch.offers]) if lane else ()

    def _send(self, lane: _Lane, shots: Sequence[Shot]) -> list[bool]:
        """Send frames, and return which of them have a result."""
        transport = None
        try:
            pool, transport = self._pool(lane)
            slot = pool.acquire(SLOT_SECONDS)
            rows = slot.layout.rows
            if len(shots) <= rows:
                self._ask(lane.model, transport, slot, shots)
                return [True] * len(shots)
            slot.release()
        except SharedMemoryError as error:
            if self._leave_shared_memory(transport, error):
                return self._send(lane, shots)
            return self._failed(lane, shots, error)
        except (TritonError, UnexpectedOutputError) as error:
            closed = isinstance(error, UnavailableError) and transport is not None
            if closed and transport is not self._transport:
                return self._send(lane, shots)  # Its slots were closed under this request.
            return self._failed(lane, shots, error)
        # The batch became smaller while these were on their way.
        return [sent for at in range(0, len(shots), rows) for sent in self._send(lane, shots[at : at + rows])]

    def _failed(self, lane: _Lane, shots: Sequence[Shot], error: Exception) -> list[bool]:
        for shot in shots:
            shot.owner.failed(shot, lane.model.name, error)
        return [False] * len(shots)

    def _ask(self, model: Model, transport: Transport, slot: Slot, shots: Sequence[Shot]) -> None:
        try:
            mappings = self._prepare(slot, model, shots)
        except BaseException:
            slot.release()
            raise
        if (tap := self.tap) is not None:
            tap(model.name, slot, len(shots))
        sent = self._clock()
        answer = transport.infer(slot, rows=len(shots), timeout=REQUEST_SECONDS)
        seconds = self._clock() - sent
        if self.trouble and slot.region is not None:
            self._arrived(transport)
        with answer, self._stage("boxes"):
            decoded = model.decode_batch(answer.outputs, mappings, [shot.owner.confidence for shot in shots])
        ages = []
        for shot, found in zip(shots, decoded, strict=True):
            shot.owner.found(shot, model.name, found, seconds)
            ages.append(self._clock() - shot.frame.arrived)
        self._ledger.answered(model.name, seconds, ages)

    def _pool(self, lane: _Lane) -> tuple[Pool, Transport]:
        """Return a model's slots, and the transport that they belong to.

        Raises
        ------
        UnavailableError
            If the model was taken away or replaced since the lane was looked up: nobody would close new slots in it.
        """
        self._return_to_shared_memory()
        with self._lock:
            if self._lanes.get(lane.model.name) is not lane:
                raise UnavailableError(f"{lane.model.name}: no longer served as it was")
            if lane.pool is None or lane.pool.closed:
                lane.pool = self._transport.pool(lane.signature, batch=lane.room.batch, slots=lane.room.requests)
            return lane.pool, self._transport

    def _prepare(self, slot: Slot, model: Model, shots: Sequence[Shot]) -> list[geometry.Mapping]:
        name, found = model.preparation.name, []
        for row, shot in enumerate(shots):
            with self._stage("prepare"):
                array = slot.inputs.get(name)
                if array is None:  # of variable size: one frame a request
                    tensors, mapping = model.prepare(shot.image())
                    slot.give(name, tensors[name])
                else:
                    frame, out = shot.frame, array[row] if array.ndim == IMAGE_DIMS else array
                    # Scaled and made RGB in one pass, straight from the decoder's planes.
                    render = self._scaler().of(frame)
                    mapping = model.preparation.render_into(out, frame.width, frame.height, render)
                found.append(mapping)
        return found

    def _scaler(self) -> Scaler:
        """Return this thread's scaler."""
        scaler: Scaler | None = getattr(self._local, "scaler", None)
        if scaler is None:
            scaler = self._local.scaler = Scaler()
        return scaler

    def _leave_shared_memory(self, used: Transport | None, error: SharedMemoryError) -> bool:
        """Send tensors in messages for a while; return whether there is any use in another try."""
        with self._lock:
            if used is not None and used is not self._transport:
                return True  # Another thread was faster.
            if not self._shared:
                return False  # It was in a message: nothing that is done here helps.
            # Not the same in other words: regions have names, and this text ends up in a condition.
            told = type(error) is self._told
            if not told:
                self._told, self.trouble = type(error), str(error)
            self._again = self._clock() + AGAIN_SECONDS
            former = self._change(None)
        if not told:
            log.error("tensors travel in the message for now: %s", error)
        former.close()
        return True

    def _return_to_shared_memory(self) -> None:
        """Try shared memory again if it was left long ago; that it was left is true until it has held for a while."""
        with self._lock:
            if self._shared or self._regions is None or self._clock() < self._again:
                return
            # By other names: those of before go when the transport that had them is closed.
            former = self._change(self._regions.another())
            self._returned = self._clock()
        former.close()

    def _change(self, regions: Regions | None) -> Transport:
        """Use another transport from now on, and return the former one, which is to be closed. The lock is held."""
        former, self._transport = self._transport, self._connect(regions)
        self._shared = regions is not None
        for lane in self._lanes.values():
            lane.pool = None
        return former

    def _arrived(self, used: Transport) -> None:
        """Note a request that was answered through shared memory: it ends the trouble with it, if that has held."""
        with self._lock:
            held = self._clock() - self._returned >= STEADY_SECONDS
            if held and self.trouble and self._shared and used is self._transport:
                log.info("tensors lie in shared memory again")
                self._told, self.trouble = None, ""


def _room(model: Model, room: Capacity, cameras: int) -> Capacity:
    """Return a capacity that the model's input and the cameras can have.

    Frames of different sizes do not go into one tensor; and a batch holds at most one frame of a camera, so that memory
    for more would only be taken from others. A power of two, so that a camera more seldom means other slots.
    """
    layout = model.preparation.layout
    if layout.height <= 0 or layout.width <= 0 or model.config.max_batch_size <= 0:
        return Capacity(1, room.requests)
    most = 1 << max(0, cameras - 1).bit_length()
    return Capacity(min(room.batch, most), room.requests)
