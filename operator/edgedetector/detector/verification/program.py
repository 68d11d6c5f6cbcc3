"""The test of a profile on the card, beside a Triton of its own: `python -m edgedetector.detector verify`.

It loads one model with one instance, keeps it under load, changes the number of instances and reloads it, and leaves
what it has seen as the container's last words. The exit code is 0 whatever it has found, and 1 if it found nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorConfig, ModelServing, ServingConfig
from edgedetector.api.verification import Report, Task, text
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.detector.documents import Document
from edgedetector.detector.files import ModelFileError
from edgedetector.detector.repository import InvalidNameError, Paths, Repository
from edgedetector.detector.verification.judge import report
from edgedetector.detector.verification.load import CLIENTS, TIMEOUT, Exporter, Load, is_fixed, random_inputs
from edgedetector.detector.verification.observations import Change, Observations, Stretch, stretch, together
from edgedetector.triton.client import Client
from edgedetector.triton.config import InvalidConfigError, signature, with_instances, with_parameter
from edgedetector.triton.errors import RejectedError, SharedMemoryError, TritonError
from edgedetector.triton.shared_memory import Regions
from edgedetector.triton.tensors import Array, Signature, UnknownDataTypeError
from edgedetector.triton.transport import Transport

T = TypeVar("T")

log = logging.getLogger(__name__)

STEPS: Final = (2, 4, 2)
"""Instances after the first one, one change after the other: up twice, down once."""
_PARAMETER: Final = "edgedetector_verification"
"""That nobody reads. Triton takes a model with another parameter for another model."""
_FEW: Final = 5
"""Inferences below which Triton's count does not tell whether it began anew."""
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    start: float = 300.0
    """For Triton to answer."""
    files: float = 600.0
    """For the model's files to come."""
    quiet: float = 8.0
    """Of load without a change, before the first one and again behind the last one, there at least as long as the
    changes took."""
    settle: float = 1.0
    """Behind a load, that still count as a part of the change."""
    rest: float = 3.0
    """Before the next one, so that there is a count that can begin anew."""


class CannotTestError(Exception):
    """There is nothing to be found out; the message says why."""


def verify(paths: Paths, environment: Mapping[str, str], last_words: Path, pace: Pace | None = None) -> int:
    """Test, leave a report and return the exit code.

    Parameters
    ----------
    environment
        VERIFICATION: the task, as JSON.
    last_words
        File that the kubelet reads when the container has ended.
    """
    task = Task("", "")
    try:
        task = from_json(Task, environment.get(names.VARIABLE_VERIFICATION, ""))
        found = _run(paths, task, pace or Pace())
    except (CannotTestError, InvalidDocumentError, TritonError) as error:
        found = Report(task.request, task.basis, failure=str(error))
    except Exception as error:  # every end has to leave words; the log has the rest
        log.exception("a defect in the test")
        found = Report(
            task.request, task.basis, failure=f"a defect in the test ({type(error).__name__}); its log has more"
        )
    words = text(found)
    log.info("%s", words)
    last_words.write_text(words)
    return 1 if found.failure else 0


def _run(paths: Paths, task: Task, pace: Pace) -> Report:
    repository = Repository(paths)
    serving = _model(paths)
    config = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig).read()
    if config is None:
        raise CannotTestError(f"no {names.FILE_DETECTOR} says where Triton is")
    with Client(config.triton_url, key=repository.key()) as client, Exporter(task) as exporter:
        _wait("Triton does not answer", client.is_live, pace.start)
        _wait_for_files(repository, serving, pace.files)
        test = _Test(client, repository, serving, pace)
        test.load_first()
        seen = test.observe()
    return report(task, replace(seen, readings=exporter.readings, drivers=exporter.drivers))


def _model(paths: Paths) -> ModelServing:
    """Return the first model of which random numbers can be asked."""
    accepted = Document(paths.serving / names.FILE_ACCEPTED, ServingConfig).read()
    if accepted is None:
        raise CannotTestError(f"no {names.FILE_ACCEPTED} says which models there are")
    for serving in accepted.models:
        if names.POST_PROCESSING in serving.name or serving.platform == names.ENSEMBLE:
            continue
        try:
            if all(is_fixed(tensor) for tensor in signature(serving.config).inputs):
                return serving
        except (InvalidConfigError, UnknownDataTypeError) as error:
            raise CannotTestError(f"model {serving.name}: {error}") from None
    raise CannotTestError("no model takes inputs of fixed dims only, and of others nobody can make any up")


def _wait(what: str, ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise CannotTestError(f"{what} within {seconds:.0f} s")
        time.sleep(0.25)


def _wait_for_files(repository: Repository, serving: ModelServing, seconds: float) -> None:
    def there() -> bool:
        try:
            repository.copy_files(serving)
        except ModelFileError as error:
            if error.problem.reason:
                raise CannotTestError(f"model {serving.name}: {error.problem.message}") from None
            return False
        except (OSError, InvalidNameError) as error:
            raise CannotTestError(f"model {serving.name}: {error}") from None
        return True

    _wait(f"the files of model {serving.name} are not there", there, seconds)


class _Test:
    """One model on one Triton."""

    def __init__(self, client: Client, repository: Repository, serving: ModelServing, pace: Pace) -> None:
        self._client, self._repository, self._pace = client, repository, pace
        self._name = serving.name
        self._signature: Signature = signature(serving.config)
        self._inputs = random_inputs(self._signature, np.random.default_rng(1))
        self._text = with_instances(serving.config, 1)
        self._instances = 1

    def load_first(self) -> None:
        """Load the model with one instance."""
        self._repository.write_config(self._name, self._text)
        try:
            self._client.load(self._name)
        except RejectedError as error:
            raise CannotTestError(f"model {self._name} does not load: {error}") from None
        _wait(f"model {self._name} does not get ready", lambda: self._client.is_ready(self._name), self._pace.start)

    def observe(self) -> Observations:
        """Keep the model under load, change it, and return what was seen."""
        shared = self._shared()
        log.info("shared memory: %s", shared or "works")
        regions = None if shared else Regions()
        with Transport(self._client, regions=regions) as transport:
            pool = transport.pool(self._signature, batch=1, slots=CLIENTS)
            with Load(transport, pool, self._inputs) as load:
                quiet = [self._quiet(load, self._pace.quiet)]
                changes = self._change_instances(load)
                reload = self._change(load, with_parameter(self._text, _PARAMETER, "1"), self._instances)
                during = sum(one.stretch.seconds for one in (*changes, reload))
                quiet.append(self._quiet(load, max(self._pace.quiet, during - self._pace.quiet)))
        return Observations(
            model=self._name,
            triton=_asked(self._client.version),
            user=os.geteuid(),
            quiet=together(quiet),
            changes=tuple(changes),
            reload=reload,
            shared=shared,
        )

    def _change_instances(self, load: Load) -> list[Change]:
        """Change the number of instances; after the first refusal it goes back down and that is that."""
        found: list[Change] = []
        for count in STEPS:
            found.append(self._change(load, with_instances(self._text, count), count))
            if found[-1].refused:
                if self._instances > 1:
                    found.append(self._change(load, with_instances(self._text, 1), 1))
                break
        return found

    def _quiet(self, load: Load, seconds: float) -> Stretch:
        begun = time.monotonic()
        time.sleep(seconds)
        return stretch(load.answers, begun, time.monotonic())

    def _change(self, load: Load, wanted: str, count: int) -> Change:
        time.sleep(self._pace.rest)
        before, refused, kept = self._instances, "", None
        counted = self._counted()
        begun = time.monotonic()
        try:
            self._repository.write_config(self._name, wanted)
            self._client.load(self._name)
        except RejectedError as error:
            refused = str(error)
            self._repository.write_config(self._name, self._text)  # a Triton that restarts has to find what works
        else:
            kept = None if counted < _FEW else self._counted() >= counted
            self._text, self._instances = wanted, count
        took = time.monotonic() - begun
        time.sleep(self._pace.settle)
        ended = time.monotonic()
        log.info("%d -> %d instances in %.2f s: %s", before, count, took, refused or f"statistics kept: {kept}")
        seen = stretch(load.answers, begun, ended)
        return Change(before, count, took, kept, refused, stretch=seen, begun=begun, ended=ended)

    def _counted(self) -> int:
        """Return how many inferences Triton has counted since the model was last loaded whole."""
        return int(_asked(lambda: self._client.statistics(self._name)).inference_count)

    def _shared(self) -> str:
        """Return why no tensors can pass through shared memory; empty if they can."""
        outputs = [tensor.name for tensor in self._signature.outputs if is_fixed(tensor)]
        plain, again = (self._client.infer(self._name, self._inputs, outputs) for _ in range(2))
        try:
            with Transport(self._client, regions=Regions()) as transport:
                pool = transport.pool(self._signature, batch=1, slots=1)
                slot = pool.acquire(TIMEOUT)
                for name, array in self._inputs.items():
                    slot.inputs[name][...] = array
                with transport.infer(slot, rows=1, timeout=TIMEOUT) as answer:
                    shared = {name: answer.outputs[name].copy() for name in outputs}
        except SharedMemoryError as error:
            return str(error)
        if _alike(plain, again) and not _alike(plain, shared):
            return "answers through /dev/shm differ from those in messages"
        return ""


def _alike(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Tell whether two answers to one question are equal but for a device's rounding."""
    return all(
        array.shape == other[name].shape and np.allclose(array, other[name], rtol=0.05, atol=1e-2, equal_nan=True)
        for name, array in one.items()
    )


def _asked(question: Callable[[], T]) -> T:
    """Return the answer to a question that a busy Triton may miss once or twice."""
    for _ in range(_TRIES - 1):
        try:
            return question()
        except TritonError as error:
            if not error.retry:
                raise
    return question()
