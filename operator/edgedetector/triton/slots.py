"""Slots: the memory of one request, reused, and never while Triton may still write to it.

A caller that gives up does not stop Triton: a request that times out or whose connection breaks is executed all the
same, and its outputs are written to the region when they are ready, seconds after nobody waits for them any more. So
a slot comes back only with proof that its request has ended at Triton, which is one of

* its answer, good or bad, however late: the call stays open after the caller's deadline for that alone;
* the end of Triton's process, since with it goes its mapping.

Without either, after a broken connection or an answer that never came, a slot is *doubtful*. Once no other slot is left
Triton is asked whether it is the same process. If not, all doubtful slots are free. If so, the region is *abandoned*:
its file goes, Triton keeps its mapping, and a new region takes the slot's place. As many as a pool has slots can be
abandoned, which bounds the memory; after that the pool waits for Triton's restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from tritonclient.grpc.service_pb2 import ModelInferRequest

from edgedetector.triton.errors import DeadlineError, SharedMemoryFullError, UnavailableError
from edgedetector.triton.registration import NEVER, Registrar
from edgedetector.triton.shared_memory import Region, Regions
from edgedetector.triton.tensors import Area, Array, Layout, Signature, contents, layout

GROW_SECONDS: Final = 30.0
"""For which a pool that found no memory for another slot does with those that it has: whoever filled the memory may
have gone. A try costs a request a file; shared memory that was left altogether is tried again as often."""


class Slot:
    """The memory of one request: write to `inputs`, then hand it to `Transport.submit`, or `release` it.

    Attributes
    ----------
    inputs
        Input name -> array to write to, [rows, ...dims], or [...dims] for a model without batch dimension. What is in
        it from the request before stays. An input of variable dims or of strings is not there: `give` it.
    """

    def __init__(self, pool: Pool, placed: Layout, region: Region | None) -> None:
        self.pool = pool
        self.layout = placed
        self.region = region
        self.epoch = NEVER
        fixed = [area for area in placed.inputs if area.fixed]
        self.inputs: Mapping[str, Array] = MappingProxyType(
            {area.name: area.view(region.memory) if region else np.zeros(area.shape, area.dtype) for area in fixed}
        )
        self._given: dict[str, Array] = {}
        self._requests: dict[int, ModelInferRequest] = {}

    def give(self, name: str, array: Array) -> None:
        """Set an input of variable dims or of strings, with the batch dimension; it travels in the message."""
        self._given[name] = array

    def sample(self, rows: int) -> dict[str, Array]:
        """Return a copy of what the first `rows` rows of all inputs hold, with the batch dimension if there is one."""
        return {area.name: np.array(self._array(area, rows)) for area in self.layout.inputs}

    def fill(self, sample: Mapping[str, Array]) -> None:
        """Write a sample of another slot of the model into all rows, as often as they take it."""
        for area in self.layout.inputs:
            if area.fixed:
                np.copyto(self.inputs[area.name], np.resize(sample[area.name], area.shape))
            else:
                self.give(area.name, sample[area.name])

    def release(self) -> None:
        """Give the slot back without, or after, a request."""
        self._given.clear()
        self.pool.release(self)

    def request(self, rows: int) -> ModelInferRequest:
        """Return the request for the first `rows` rows; made once for each number, if all inputs lie in the region.

        Raises
        ------
        KeyError
            If an input was not given.
        ValueError
            If one was given that is of another data type.
        """
        known = self._requests.get(rows)
        if known is None:
            known = self._made(rows)
            if self.region is not None and all(area.fixed for area in self.layout.inputs):
                self._requests[rows] = known
        return known

    def answer(self, result: Any) -> dict[str, Array]:
        """Return the outputs; those in shared memory are views, read-only.

        Raises
        ------
        ValueError
            If one is missing, or is of another data type.
        """
        found = {}
        for area in self.layout.outputs:
            tensor = result.get_output(area.name)
            if tensor is None:
                raise ValueError(f"no output {area.name}")
            if self.region is None or not area.fixed:
                found[area.name] = result.as_numpy(area.name)
                continue
            if tensor.datatype != area.datatype:
                raise ValueError(f"output {area.name} is {tensor.datatype}, not {area.datatype}")
            shown = replace(area, shape=tuple(tensor.shape)).view(self.region.memory)
            shown.flags.writeable = False
            found[area.name] = shown
        return found

    def _made(self, rows: int) -> ModelInferRequest:
        request = ModelInferRequest(model_name=self.layout.model)
        for area in self.layout.inputs:
            array = self._array(area, rows)
            tensor = request.inputs.add(name=area.name, datatype=area.datatype, shape=array.shape)
            if self.region is not None and area.fixed:
                _place(tensor, self.region, array.nbytes, area.offset)
            else:
                request.raw_input_contents.append(contents(area, array))
        for area in self.layout.outputs:
            output = request.outputs.add(name=area.name)
            if self.region is not None and area.fixed:
                _place(output, self.region, area.size // self.layout.rows * rows, area.offset)
        return request

    def _array(self, area: Area, rows: int) -> Array:
        if not area.fixed:
            return self._given[area.name]
        return self.inputs[area.name][:rows] if self.layout.batched else self.inputs[area.name]


def _place(tensor: Any, region: Region, size: int, offset: int) -> None:
    """Say where a tensor lies; the names are those of Triton's extension for shared memory."""
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_byte_size"].int64_param = size
    if offset:
        tensor.parameters["shared_memory_offset"].int64_param = offset


@dataclass(frozen=True, slots=True)
class Counts:
    """A pool's slots by state. `made` = `free` + `doubtful` + those that are held or in flight."""

    made: int
    free: int
    doubtful: int
    abandoned: int


class Pool:
    """The slots of one model. Made when they are first needed; safe for many threads.

    Parameters
    ----------
    batch
        Rows for which a slot has room.
    slots
        How many requests can be prepared, in flight or read at once.
    regions, registrar
        For shared memory; without them slots are ordinary memory, and tensors travel in the message.
    clock
        Monotonic seconds, by which another try at a slot is due.
    """

    def __init__(
        self,
        signature: Signature,
        *,
        batch: int,
        slots: int,
        regions: Regions | None = None,
        registrar: Registrar | None = None,
        later: Callable[[Callable[[], None]], object] = lambda call: call(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signature = signature
        self._layout = layout(signature, batch)
        self._wanted = self._size = slots  # The second is less while the tmpfs has no room for more.
        self._clock, self._grow_at = clock, 0.0
        self._regions, self._registrar, self._later = regions, registrar, later
        self._changed = threading.Condition()
        self._free: list[Slot] = []
        self._doubtful: list[Slot] = []
        self._made = 0
        self._abandoned = (0, 0)
        self._closed = False

    @property
    def counts(self) -> Counts:
        """Return the slots by state."""
        with self._changed:
            return Counts(self._made, len(self._free), len(self._doubtful), self._abandoned[1])

    @property
    def rows(self) -> int:
        """Return for how many rows a slot has room."""
        return self._layout.rows

    @property
    def bytes(self) -> int:
        """Return the bytes of a slot in shared memory."""
        return self._layout.size if self._regions else 0

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        return self._closed

    def acquire(self, timeout: float = 0.0) -> Slot:
        """Return a slot that nobody else has.

        Parameters
        ----------
        timeout
            Seconds to wait for one.

        Raises
        ------
        DeadlineError
            If all are in use for that long.
        SharedMemoryFullError
            If the tmpfs has no room for another.
        UnavailableError
            If Triton's answers are outstanding and it cannot be asked about them, or the pool is closed.
        """
        ends = time.monotonic() + timeout
        while True:
            with self._changed:
                if self._closed:
                    raise UnavailableError(f"{self._layout.model}: the pool is closed")
                if self._free:
                    return self._free.pop()
                if self._size < self._wanted and self._clock() >= self._grow_at:
                    self._size = self._wanted
                fresh = self._made < self._size
                self._made += fresh
                doubtful = self._doubtful[0] if self._doubtful and not fresh else None
                if not fresh and doubtful is None and not self._changed.wait(max(0.0, ends - time.monotonic())):
                    raise DeadlineError(f"{self._layout.model}: all {self._made} slots are in use")
            if doubtful is not None:
                self._settle(doubtful)
            if fresh and (slot := self._room_for_one()) is not None:
                return slot

    def release(self, slot: Slot) -> None:
        """Take a slot back whose request, if there was one, has ended at Triton."""
        with self._changed:
            kept = not self._closed and self._made <= self._size and slot.layout == self._layout
            if kept:
                self._free.append(slot)
            else:
                self._made -= 1
            self._changed.notify()
        if not kept:
            self._later(lambda: self._destroy(slot))

    def doubt(self, slot: Slot) -> None:
        """Take a slot back to which Triton may still write."""
        with self._changed:
            if not self._closed:
                self._doubtful.append(slot)
                self._changed.notify()
                return
            self._made -= 1
        if slot.region:
            slot.region.close()

    def resize(self, *, batch: int, slots: int) -> None:
        """Change how many there are and how large; those in use follow when they come back."""
        with self._changed:
            self._layout = layout(self._signature, batch)
            self._wanted = self._size = slots
            superfluous = [slot for slot in self._free if slot.layout != self._layout]
            self._free = [slot for slot in self._free if slot.layout == self._layout]
            while self._free and self._made - len(superfluous) > self._size:
                superfluous.append(self._free.pop())
            self._made -= len(superfluous)
            self._changed.notify_all()
        if superfluous:
            # Asks Triton, which may take its time: whoever changes the size has other things to do.
            self._later(lambda: self._destroy_all(superfluous))

    def close(self) -> None:
        """Remove all regions that no request uses; the others go when their requests end."""
        with self._changed:
            self._closed = True
            free, doubtful = self._free, self._doubtful
            self._free, self._doubtful = [], []
            self._made -= len(free) + len(doubtful)
            self._changed.notify_all()
        for slot in free:
            self._destroy(slot)
        for slot in doubtful:
            if slot.region:
                slot.region.close()

    def _room_for_one(self) -> Slot | None:
        """Return a new slot; None if the tmpfs has room for those that there are and no more, which do for a while."""
        try:
            return self._make()
        except SharedMemoryFullError:
            with self._changed:
                if self._made == 0 or self._closed:
                    raise
                self._size, self._grow_at = self._made, self._clock() + GROW_SECONDS
            return None

    def _make(self) -> Slot:
        try:
            placed = self._layout  # which another thread may change meanwhile
            region = self._regions.create(placed.size) if self._regions and placed.size > 0 else None
            return Slot(self, placed, region)
        except BaseException:
            with self._changed:
                self._made -= 1
            raise

    def _destroy_all(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self._destroy(slot)

    def _destroy(self, slot: Slot) -> None:
        if slot.region is None:
            return
        if self._registrar and slot.epoch == self._registrar.epoch:
            self._registrar.forget(slot.region)
        slot.region.close()

    def _settle(self, slot: Slot) -> None:
        """Find out what became of the Triton to which the doubtful slot went, and act on it."""
        if slot.region is None or self._registrar is None:  # only a slot in shared memory can be doubtful
            return
        same = self._registrar.is_same_process(slot.region, slot.epoch)
        with self._changed:
            if slot not in self._doubtful:
                return  # another thread was faster
            if not same:
                self._reclaim()
                return
            self._abandon(slot)
        slot.region.close()

    def _reclaim(self) -> None:
        present = self._registrar.epoch if self._registrar else NEVER
        ended = [slot for slot in self._doubtful if slot.epoch != present]
        self._doubtful = [slot for slot in self._doubtful if slot.epoch == present]
        fit = [slot for slot in ended if slot.layout == self._layout]
        self._free += fit
        self._made -= len(ended) - len(fit)
        self._changed.notify_all()
        for slot in ended:
            if slot.region and slot not in fit:
                slot.region.close()  # The Triton that had it is gone.

    def _abandon(self, slot: Slot) -> None:
        epoch, count = self._abandoned
        count = count if epoch == slot.epoch else 0
        if count >= self._size:
            raise UnavailableError(
                f"{self._layout.model}: {count + len(self._doubtful)} requests were never answered; waiting for"
                " Triton's restart"
            )
        self._abandoned = (slot.epoch, count + 1)
        self._doubtful.remove(slot)
        self._made -= 1
        self._changed.notify()
