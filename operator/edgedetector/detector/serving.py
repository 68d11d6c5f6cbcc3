"""Keeps Triton's models as the serving configuration wants them, whoever restarts meanwhile.

Level-triggered: every round compares what is wanted with what Triton says, and does one step per model. There is no
memory of "done" that a restart of Triton, of this container or of the operator could make a lie.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgedetector.api import names
from edgedetector.api.dataplane import ModelServing, ModelState, Probe, ServingConfig
from edgedetector.detector import trial as trials
from edgedetector.detector.applying import Failure, Seen, Step, step
from edgedetector.detector.documents import Document
from edgedetector.detector.files import ModelFileError, Problem
from edgedetector.detector.handover import Handover
from edgedetector.detector.repository import InvalidNameError, Paths, Repository
from edgedetector.detector.trial import Outcome, Trial
from edgedetector.triton.client import Client
from edgedetector.triton.config import InvalidConfigError, differences, parse, parts
from edgedetector.triton.errors import TritonError, UnavailableError

log = logging.getLogger(__name__)

POLL: Final = 0.25
"""Seconds between looks at the files: with the refresh annotation the kubelet changes them within 0.2 s."""
_REVIEW: Final = 1.0
"""Seconds between looks at Triton while the files are the same; bounds how late its restart is noticed."""
_PATIENCE: Final = 5.0
"""Seconds without an answer after which a model that served no longer counts as Ready: on a busy box a question
takes longer than its time-out now and then, and status must not flap with it."""
_SETTLING: Final = 3.0
"""Seconds for which a source's files must be as they are before a change is taken: a copy in progress is none."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Return seconds since boot, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Serving:
    """The applier of one pod.

    Parameters
    ----------
    paths
        Where the pod's files lie.
    client
        Triton, with the admin key.
    pod
        Name of this pod: probes for others are passed over.
    clock
        Seconds since boot.
    """

    def __init__(self, paths: Paths, client: Client, *, pod: str, clock: Callable[[], float] = boottime) -> None:
        self._repository = Repository(paths)
        self._client = client
        self._pod = pod
        self._clock = clock
        self._boot = _BOOT_ID.read_text().strip()
        self._accepted = Document(paths.serving / names.FILE_ACCEPTED, ServingConfig)
        self._probe = Document(paths.serving / names.FILE_PROBE, Probe)
        self._trial: Trial | None = self._repository.trial()
        self._failures: dict[str, Failure] = {}
        self._changes: dict[str, tuple[tuple[object, ...], float]] = {}
        self._reviewed: tuple[str, float] = ("", 0.0)
        self._answered = -_PATIENCE
        self._wanted: dict[str, ModelServing] = {}
        self._loads = 0
        self._handover = Handover(clock)
        self._lock = threading.Lock()
        self._states: dict[str, ModelState] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.wait(POLL):
            self.round()

    def round(self) -> None:
        """Look once, and do what is to do."""
        # The probe first: to keep one is to accept its configuration and remove it in one write. With that between the
        # two looks the other way round, it would look withdrawn, and the former configuration be loaded for a moment.
        probe = self._probe.read()
        accepted = self._accepted.read()
        if accepted is None:
            return
        self._set_trial(trials.judge(probe, self._trial, pod=self._pod, now=self._clock(), boot=self._boot))
        wanted = trials.target(accepted, probe, self._trial)
        at, now = self._reviewed, self._clock()
        if at[0] == wanted.id and now - at[1] < _REVIEW and not self._unsettled(wanted):
            return
        self._reviewed = (wanted.id, now)
        self._wanted = {model.name: model for model in wanted.models}
        for model in wanted.models:
            self._serve(wanted.id, model)
        self._handover.round()
        self._unload(keep={model.name for model in wanted.models})
        self._end_failed_trial(accepted, wanted)

    @property
    def accepted_id(self) -> str:
        """Id of the accepted configuration."""
        accepted = self._accepted.value
        return accepted.id if accepted else ""

    @property
    def wanted(self) -> Mapping[str, ModelServing]:
        """How each model is to be served now, a trial included: what a client may count on within a second."""
        return self._wanted

    @property
    def asked(self) -> Mapping[str, ModelServing]:
        """How clients are to ask for each model from now on: `wanted`, with batches that Triton takes meanwhile.

        To be asked for once a second by whoever sends requests.
        """
        return self._handover.asked(self._wanted)

    @property
    def trial(self) -> Trial | None:
        """The probe on trial in this pod, or that was."""
        return self._trial

    @property
    def states(self) -> tuple[ModelState, ...]:
        """What Triton really serves, by model name."""
        with self._lock:
            return tuple(state for _, state in sorted(self._states.items()))

    @property
    def loads(self) -> int:
        """Number that is odd while a model is being loaded, and another one after each load.

        Between two equal even ones nothing was loaded, a Triton that restarted in between included: it comes up without
        models. Raised only after the load's outcome stands in `states`.
        """
        return self._loads

    def ready(self, name: str) -> bool:
        """Return whether Triton serves what is wanted under a name that it is asked for."""
        with self._lock:
            known = self._states.get(name)
        return known is not None and known.state == "Ready"

    def _unsettled(self, wanted: ServingConfig) -> bool:
        if self._handover.waiting:
            return True
        with self._lock:
            known = {name: state.state for name, state in self._states.items()}
        return any(known.get(model.name, "Loading") == "Loading" for model in wanted.models)

    def _set_trial(self, trial: Trial | None) -> None:
        if trial == self._trial:
            return
        # On disk first: a crash in between must not give the probe a second life.
        self._repository.remember_trial(trial)
        before, self._trial = self._trial, trial
        if trial is None:
            log.info("probe %s was withdrawn", before.id if before else "")
        elif before is None or before.id != trial.id or before.outcome != trial.outcome:
            log.info("probe %s: %s %s", trial.id, trial.outcome, trial.message)

    def _serve(self, serving_id: str, model: ModelServing) -> None:
        seen = self._look(model)
        problem, changed = self._files(model)
        if problem is not None and seen.live:
            self._report_files(model, problem, seen)
            return
        if missing := self._missing_part(model, seen):
            self._report_missing(model, missing)
            return
        seen = replace(seen, changed=changed)
        failure = self._failures.get(model.name)
        match step(model, seen, failure, self._clock()):
            case Step.WAIT:
                self._report_silence(model)
            case Step.LOAD if seen.ready and not self._handover.may_load(model):
                pass  # clients still send batches that the new configuration would refuse
            case Step.LOAD:
                with self._loading():
                    self._load(serving_id, model, seen)
            case Step.RESTORE:
                with self._loading():
                    self._restore(model)
            case Step.NOTHING if failure is None or failure.config != model.config:
                self._settle(serving_id, model, seen)
            case Step.NOTHING:
                self._report_failure(model, failure, seen)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self._loads += 1
        try:
            yield
        finally:
            self._loads += 1

    def _missing_part(self, model: ModelServing, seen: Seen) -> str:
        """Return a model that an ensemble still waits for; Triton would load that by itself, files or not."""
        if model.platform != names.ENSEMBLE or not seen.live or seen.ready:
            return ""
        try:
            return next((part for part in parts(parse(model.config)) if not self._is_ready(part)), "")
        except InvalidConfigError:
            return ""  # a load says what is wrong

    def _report_missing(self, model: ModelServing, part: str) -> None:
        """Report an ensemble whose part is not served: on its way for as long as the part is."""
        with self._lock:
            known = self._states.get(part)
        if known is None or known.state != "Failed":
            self._report(ModelState(model.name, "Loading", f"waits for model {part}"))
            return
        helps = "correct that one, and this one is loaded by itself"
        self._report(ModelState(model.name, "Failed", f"model {part} of it failed; {helps}"))

    def _is_ready(self, model: str) -> bool:
        try:
            return self._client.is_ready(model)
        except TritonError:
            return False

    def _files(self, model: ModelServing) -> tuple[Problem | None, bool]:
        """Return what is wrong with a model's files, and whether others are to be loaded than those that serve."""
        try:
            problem, changes = self._repository.look(model), self._repository.changes(model)
        except (OSError, InvalidNameError):
            # A file that is being replaced, a volume that hiccups; if it stays so, a load says it.
            return None, False
        now = self._clock()
        before = self._changes.get(model.name)
        if before is None or before[0] != changes:
            before = self._changes[model.name] = (changes, now)
        settled = bool(changes) and now - before[1] >= _SETTLING
        # A fetched file is whole. It may lie in the repository since a load of it failed.
        return problem, settled or self._repository.loaded(model.name) != _fetched(model)

    def _report_files(self, model: ModelServing, problem: Problem, seen: Seen) -> None:
        good = self._repository.good(model.name)
        if problem.reason:
            self._report_failure(model, Failure(model.config, problem.message, self._clock(), problem.reason), seen)
        elif good and seen.ready:
            self._report(ModelState(model.name, "Ready", problem.message, good[0], seen.instances))
        else:
            self._report(ModelState(model.name, "Loading", problem.message))

    def _report_silence(self, model: ModelServing) -> None:
        if self._clock() - self._answered >= _PATIENCE:
            self._report(ModelState(model.name, "Loading", "Triton does not answer yet"))

    def _settle(self, serving_id: str, model: ModelServing, seen: Seen) -> None:
        good = self._repository.good(model.name)
        if good is None or good[0] != serving_id:
            self._repository.remember_good(model.name, serving_id, model.config)
        self._failures.pop(model.name, None)
        self._report(ModelState(model.name, "Ready", "", serving_id, seen.instances))

    def _look(self, model: ModelServing) -> Seen:
        good = self._repository.good(model.name)
        silent = Seen(live=False, good=good[1] if good else None)
        if not self._client.is_live():
            return silent
        try:
            actual = self._client.config(model.name) if self._client.is_ready(model.name) else None
        except TritonError:
            # Not "not ready": a question that timed out on a busy box is no reason to load anything.
            return silent
        self._answered = self._clock()
        seen = replace(silent, live=True)
        if actual is None:
            return seen
        count = sum(group.count for group in actual.instance_group)
        self._handover.serves(model.name, actual.max_batch_size)
        try:
            found = differences(parse(model.config), actual)
        except InvalidConfigError as error:
            found = (str(error),)
        return replace(seen, ready=True, differences=found, instances=count)

    def _load(self, serving_id: str, model: ModelServing, before: Seen) -> None:
        with self._lock:
            known = self._states.get(model.name)
        failure = self._failures.get(model.name)
        # What is only tried again has failed until it succeeds: nothing is news before.
        again = failure is not None and failure.config == model.config
        if not again and (known is None or known.state != "Ready"):
            self._report(ModelState(model.name, "Loading", "the model is being loaded"))
        started = time.monotonic()
        try:
            parse(model.config)
            self._repository.copy_files(model)
            self._repository.write_config(model.name, model.config)
            self._client.load(model.name)
            after = self._verified(model)
        except TritonError as error:
            if error.retry:
                log.warning("%s", error)
                return
            self._fail(model, str(error), before)
        except ModelFileError as error:
            self._fail(model, str(error), before, error.problem.reason)
        except (InvalidConfigError, InvalidNameError, _NotInForceError, OSError) as error:
            self._fail(model, str(error), before)
        else:
            log.info("model %s serves %s after %.2f s", model.name, serving_id, time.monotonic() - started)
            if fetched := _fetched(model):
                self._repository.remember_loaded(model.name, fetched)
            self._repository.remember_good(model.name, serving_id, model.config)
            self._failures.pop(model.name, None)
            self._report(ModelState(model.name, "Ready", "", serving_id, after.instances))

    def _verified(self, model: ModelServing) -> Seen:
        seen = self._look(model)
        if not seen.live:
            raise UnavailableError(f"load {model.name}: no answer what is in force now")
        if seen.differences or not seen.ready:
            raise _NotInForceError("; ".join(seen.differences) or "the model is not ready after its load")
        return seen

    def _fail(self, model: ModelServing, message: str, seen: Seen, reason: str = "") -> None:
        log.error("model %s: %s", model.name, message)
        failure = self._failures[model.name] = Failure(model.config, message, self._clock(), reason)
        if seen.good is not None:
            # Otherwise a restart of Triton would meet the broken file before we do.
            self._repository.write_config(model.name, seen.good)
        self._report_failure(model, failure, seen)

    def _report_failure(self, model: ModelServing, failure: Failure, seen: Seen) -> None:
        good = self._repository.good(model.name)
        still = f"; still serving {good[0]}" if good and seen.ready else ""
        serves = good[0] if still and good else ""
        self._report(ModelState(model.name, "Failed", failure.message + still, serves, seen.instances, failure.reason))

    def _restore(self, model: ModelServing) -> None:
        good = self._repository.good(model.name)
        if good is None:
            return
        try:
            self._repository.write_config(model.name, good[1])
            self._client.load(model.name)
            log.info("model %s serves %s again", model.name, good[0])
        except TritonError as error:
            log.warning("model %s: the last good configuration: %s", model.name, error)

    def _unload(self, keep: set[str]) -> None:
        with self._lock:
            self._states = {name: state for name, state in self._states.items() if name in keep}
        # Ensembles first: one whose models go would be none for a moment.
        for name in sorted(self._repository.remembered() - keep, key=lambda name: not name.endswith(names.PIPELINE)):
            try:
                self._client.unload(name)
            except TritonError as error:
                log.warning("%s", error)
                if error.retry:
                    continue
            self._repository.forget(name)
            self._failures.pop(name, None)
            self._changes.pop(name, None)

    def _end_failed_trial(self, accepted: ServingConfig, wanted: ServingConfig) -> None:
        trial = self._trial
        if trial is None or trial.outcome != Outcome.RUNNING or wanted is accepted:
            return
        failures = [self._failures[m.name] for m in wanted.models if m.name in self._failures]
        if failures:
            self._set_trial(trials.failed(trial, failures[0].message))

    def _report(self, state: ModelState) -> None:
        with self._lock:
            self._states[state.name] = state


def _fetched(model: ModelServing) -> str:
    return " ".join(file.sha256 for file in model.fetched)


class _NotInForceError(Exception):
    """Triton said that the load succeeded, but serves something else."""
