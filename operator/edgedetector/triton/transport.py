"""Requests to a Triton, in shared memory or in the message: the same calls for both.

    transport = Transport(client, regions=Regions())    # regions=None: tensors in the message
    pool = transport.pool(signature, batch=8, slots=3)
    slot = pool.acquire()
    slot.inputs["images"][0] = ...                      # prepared straight into what Triton reads
    with transport.submit(slot, rows=1, timeout=0.2).result() as answer:
        answer.outputs["output0"]                       # views of what Triton wrote, until the block ends

Threads, as counted on two cores: gRPC's core makes six native ones a process (a timer, four of its event engine, one
that looks after these), and the client one for each request at once. This module adds one a transport for deadlines,
and one for repairs once there is something to repair. None of them touches a pixel in shared memory.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Final, Self

from edgedetector.triton.alarms import Alarms
from edgedetector.triton.client import Around, Client
from edgedetector.triton.errors import DeadlineError, RejectedError, TritonError, UnknownRegionError
from edgedetector.triton.registration import Registrar
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.slots import Pool, Slot
from edgedetector.triton.tensors import Array, Signature

LINGER: Final = 60.0
"""Seconds for which a call stays open after its deadline, to learn when its slot is free. More than any inference."""


class Answer:
    """Outputs of a request by name, valid until `release`; then the slot serves the next request."""

    def __init__(self, outputs: Mapping[str, Array], slot: Slot) -> None:
        self.outputs = dict(outputs)
        self._slot: Slot | None = slot

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot back; an array that is needed longer must be copied before."""
        slot, self._slot = self._slot, None
        self.outputs = {}
        if slot is not None:
            slot.release()


class _Flight:
    """A request on its way."""

    def __init__(self, slot: Slot, rows: int, deadline: float) -> None:
        self.slot, self.rows, self.deadline = slot, rows, deadline
        self.future: Future[Answer] = Future()
        self.resent = False

    def fail(self, error: TritonError) -> None:
        # Without the frames in which it was raised: they hold this flight, which holds the error. In that circle the
        # slot's memory would stay until all objects are looked through, long after its region was removed.
        error = error.with_traceback(None)
        error.__context__ = None
        _resolve(lambda: self.future.set_exception(error))

    def expire(self) -> None:
        if not self.future.done():
            self.fail(DeadlineError(f"infer {self.slot.layout.model}: no answer in time"))


class Transport:
    """Requests to one Triton. Safe for many threads.

    Parameters
    ----------
    client
        With the key for restricted protocols; it stays the caller's to close, after the transport.
    regions
        Where regions are made; None: every tensor travels in the message, for a Triton on another host.
    linger
        Seconds, see `LINGER`.
    around
        See `client.Around`.
    """

    def __init__(
        self, client: Client, *, regions: Regions | None, linger: float = LINGER, around: Around = nullcontext
    ) -> None:
        self._around = around
        self._client, self._regions, self._linger = client, regions, linger
        self._registrar = Registrar(client) if regions else None
        self._alarms = Alarms()
        self._repairs = ThreadPoolExecutor(1, thread_name_prefix="triton-repairs")
        self._pools: list[Pool] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def sweep(self) -> tuple[str, ...]:
        """Remove what killed processes have left in the tmpfs and in Triton; call it before there is another transport.

        Returns
        -------
        tuple of str
            Names of the regions that Triton still has, for `forget` once their requests have ended: after `LINGER`.

        Raises
        ------
        UnavailableError, DeadlineError, RefusedError
            If Triton cannot be asked; the files are gone all the same.
        """
        if self._regions is None or self._registrar is None:
            return ()
        self._regions.sweep()
        return self._registrar.forget_left(self._regions)

    def forget(self, names: Iterable[str]) -> None:
        """Unregister regions by name, which no request may be using; a closed transport does it, too."""
        if self._registrar is not None:
            self._registrar.forget_names(names)

    def pool(self, signature: Signature, *, batch: int, slots: int) -> Pool:
        """Return slots for a model; close them when the model goes.

        Raises
        ------
        UnknownDataTypeError
            If a tensor of the model is of no type of Triton's.
        """
        pool = Pool(
            signature,
            batch=batch,
            slots=slots,
            regions=self._regions,
            registrar=self._registrar,
            later=self._repair,
        )
        self._pools = [*(known for known in self._pools if not known.closed), pool]
        return pool

    def submit(self, slot: Slot, *, rows: int, timeout: float) -> Future[Answer]:
        """Send a request with the first `rows` rows of a slot, which is the request's from now on.

        Parameters
        ----------
        timeout
            Seconds until the future fails. Triton is not told: what it has begun it ends, and the slot waits for that.

        Returns
        -------
        concurrent.futures.Future of Answer
            Fails with a `TritonError`. Its callbacks run on the request's thread. After a restart of
            Triton regions are registered again and the request is sent a second time, within the same time.
        """
        flight = self._launch(slot, rows, timeout)
        if not flight.future.done() and slot.region is not None:
            self._alarms.at(flight.deadline, _weakly(flight.expire))
        return flight.future

    def infer(self, slot: Slot, *, rows: int, timeout: float) -> Answer:
        """Send a request and wait for its answer; parameters and errors are those of `submit`."""
        flight = self._launch(slot, rows, timeout)
        try:
            with contextlib.suppress(FutureTimeoutError):  # who waits needs no alarm
                return flight.future.result(timeout if slot.region is not None else None)
            flight.expire()
            return flight.future.result()
        finally:
            del flight  # See `_Flight.fail`: this frame is one of the error that is raised here.

    def close(self) -> None:
        """Remove all regions, those of slots that are still held too; requests in flight fail with the client's end."""
        for pool in self._pools:
            pool.close()
        if self._regions is not None:
            self._regions.remove_files()
        self._alarms.close()
        self._repairs.shutdown()

    def _launch(self, slot: Slot, rows: int, timeout: float) -> _Flight:
        if not 1 <= rows <= slot.layout.rows:
            raise ValueError(f"{rows} rows: a slot of {slot.layout.model} has 1 to {slot.layout.rows}")
        flight = _Flight(slot, rows, time.monotonic() + timeout)
        self._send(flight)
        return flight

    def _send(self, flight: _Flight) -> None:
        slot = flight.slot
        remaining = max(flight.deadline - time.monotonic(), 0.001)
        try:
            if slot.region is not None and self._registrar is not None:
                slot.epoch = self._registrar.ensure(slot.region, slot.epoch, remaining)
                remaining += self._linger
            self._client.begin(
                slot.request(flight.rows),
                lambda result, error: self._ended(flight, result, error),
                timeout=remaining,
                around=self._around,
            )
        except TritonError as error:
            slot.release()
            flight.fail(error)
        except (KeyError, ValueError) as error:
            slot.release()
            missing = isinstance(error, KeyError)
            flight.fail(
                RejectedError(f"infer {slot.layout.model}: {f'input {error} was not given' if missing else error}")
            )

    def _ended(self, flight: _Flight, result: Any, error: TritonError | None) -> None:
        """Take Triton's answer. On the request's thread: an exception would be lost, and the future with it."""
        slot = flight.slot
        if error is None:
            self._deliver(flight, result)
        elif isinstance(error, UnknownRegionError) and slot.region is not None and not flight.resent:
            self._repair(lambda: self._resend(flight))
        else:
            # Without shared memory there is nothing that Triton could write to.
            ended = error.answered or slot.region is None
            if ended:
                slot.release()
            else:
                slot.pool.doubt(slot)
            flight.fail(error)

    def _deliver(self, flight: _Flight, result: Any) -> None:
        slot = flight.slot
        try:
            answer = Answer(slot.answer(result), slot)
        except (AttributeError, TypeError, ValueError) as problem:
            slot.release()
            flight.fail(RejectedError(f"infer {slot.layout.model}: an answer of another shape: {problem}"))
            return
        if not _resolve(lambda: flight.future.set_result(answer)):
            answer.release()

    def _resend(self, flight: _Flight) -> None:
        if self._registrar is not None:
            self._registrar.restarted(flight.slot.epoch)
        flight.resent = True
        if flight.future.done():
            flight.slot.release()
        else:
            self._send(flight)

    def _repair(self, call: Callable[[], None]) -> None:
        """Make a call that waits for Triton, elsewhere than on a request's thread."""
        try:
            self._repairs.submit(call)
        except RuntimeError:  # closed: nobody waits for this thread any more
            call()


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a call of a method that does not keep its object: gRPC does, for as long as the request is on its way."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        found = reference()
        if found is not None:
            found()

    return call


def _resolve(setter: Callable[[], None]) -> bool:
    """Return whether this was what the future waited for: answer, error, deadline and `cancel` race for it."""
    try:
        setter()
    except InvalidStateError:
        return False
    return True
