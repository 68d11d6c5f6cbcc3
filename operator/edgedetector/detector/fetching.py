"""The pod's init step that fetches models: an init container that goes on, so that a file can come late.

It alone talks to model servers. It has neither Triton's repository nor its key, and nothing waits for it: models whose
files are there serve meanwhile, and one whose server is down is fetched once it is up. What it has is kept under its
digest and read, never fetched, ever after.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from edgedetector.api import conditions, names
from edgedetector.api.dataplane import FetchedFile, ModelServing, ServingConfig
from edgedetector.detector import files
from edgedetector.detector.documents import Document
from edgedetector.detector.download import DEFAULT_LIMIT, Network, download
from edgedetector.detector.files import Digests, ModelFileError, Problem
from edgedetector.detector.repository import Paths, replace_file

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between looks at the serving configuration."""
BACKOFF_FIRST: Final = 1.0
BACKOFF_MAX: Final = 60.0
_PARALLEL: Final = 4
"""Transfers at a time: one slow server does not hold the other models."""
_SHARE: Final = 9
"""Times the duration of an attempt that failed until the next: 500 MB with the wrong digest are no load for ever."""
_PAUSE_MAX: Final = 600.0
_ABANDONED: Final = 24 * 3600.0
"""Seconds after which an incomplete file of another pod is taken for a leftover: far more than any transfer."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Failed:
    """Attempts to fetch one file that failed. Times in seconds, monotonic."""

    problem: Problem
    attempts: int
    retry_at: float

    @classmethod
    def after(cls, before: Failed | None, problem: Problem, started: float, now: float) -> Failed:
        """Return what is known after one more attempt."""
        attempts = before.attempts + 1 if before else 1
        pause = min(BACKOFF_MAX, BACKOFF_FIRST * 2.0 ** min(attempts - 1, 10))
        return cls(problem, attempts, now + min(max(pause, _SHARE * (now - started)), _PAUSE_MAX))


Wanted = tuple[str, FetchedFile]
"""Name of a model and a file of it: several may ask for one file, each in its own way."""


class Fetcher:
    """Keeps the files that the accepted serving configuration names.

    Parameters
    ----------
    paths
        Where the pod's files lie.
    pod
        Name of this pod: others may keep their files in the same volume.
    own
        Whether the volume is this pod's alone, so that what is no longer wanted can go.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        pod: str,
        own: bool,
        network: Network | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = paths
        self._pod = pod
        self._own = own
        self._network = network
        self._clock = clock
        self._accepted = Document(paths.serving / names.FILE_ACCEPTED, ServingConfig)
        self._digests = Digests()
        self._failed: dict[Wanted, Failed] = {}
        self._running: dict[Wanted, Future[Problem | None]] = {}
        self._started: dict[Wanted, float] = {}
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
        self._reported = ""

    def run(self) -> None:
        """Work for ever."""
        self.tidy()
        while True:
            self.round()
            time.sleep(POLL)

    def tidy(self) -> None:
        """Remove incomplete files: our own of an earlier run, and those that other pods have left behind long ago."""
        self._paths.fetched.mkdir(parents=True, exist_ok=True)
        for path in self._paths.fetched.glob(".*.partial"):
            with contextlib.suppress(FileNotFoundError):
                old = time.time() - path.stat().st_mtime > _ABANDONED
                if old or path.name.endswith(f".{self._pod}.partial"):
                    path.unlink()

    def round(self) -> None:
        """Look once, and start what is to do."""
        accepted = self._accepted.read()
        if accepted is None:
            return
        wanted = {(model.name, file): model for model in accepted.models for file in model.fetched}
        self._collect()
        self._failed = {key: failed for key, failed in self._failed.items() if key in wanted}
        missing = {key: model for key, model in wanted.items() if not self._is_kept(key[1])}
        for key, model in missing.items():
            self._attend(key, model)
        if not missing and self._own:
            self._prune({file.sha256 for _, file in wanted})
        self._report(missing)

    def settle(self) -> None:
        """Wait for the transfers that run, and look again."""
        wait(self._running.values())
        self.round()

    def _is_kept(self, file: FetchedFile) -> bool:
        """Tell whether the file is there with the right content; one that is damaged is removed."""
        path = self._paths.kept(file)
        found = self._digests.of(path)
        if found and found != file.sha256:
            log.error("the file kept as %s is damaged", file.sha256)
            path.unlink(missing_ok=True)
        return found == file.sha256

    def _attend(self, key: Wanted, model: ModelServing) -> None:
        failed = self._failed.get(key)
        if any(file.sha256 == key[1].sha256 for _, file in self._running) or (
            failed and self._clock() < failed.retry_at
        ):
            return
        self._started[key] = self._clock()
        self._running[key] = self._pool.submit(self._attempt, key[1], model)

    def _collect(self) -> None:
        """Take the results of attempts that have ended; one that failed by a fault of ours ends the process."""
        for key in [key for key, future in self._running.items() if future.done()]:
            problem, started = self._running.pop(key).result(), self._started.pop(key)
            before = self._failed.pop(key, None)
            if problem is not None:
                self._failed[key] = Failed.after(before, problem, started, self._clock())

    def _attempt(self, file: FetchedFile, model: ModelServing) -> Problem | None:
        try:
            self._fetch(file, model)
        except ModelFileError as error:
            log.warning("model %s: %s", model.name, error)
            return error.problem
        log.info("model %s: fetched %s", model.name, file.sha256)
        return None

    def _fetch(self, file: FetchedFile, model: ModelServing) -> None:
        if not file.lookup:
            raise ModelFileError(
                conditions.REASON_MODEL_HOST_NOT_ALLOWED,
                f"host {urlsplit(file.url).hostname} is no Service of this namespace and not on the operator's list",
            )
        tls = self._tls(file, model)
        limit = model.size_limit or DEFAULT_LIMIT
        path = self._paths.kept(file)
        partial = path.with_name(f".{path.name}.{self._pod}.partial")

        def fill(sink: files.Sink) -> None:
            found = download(file.url, file.lookup, sink, limit=limit, tls=tls, network=self._network)
            if found != file.sha256:
                raise ModelFileError(
                    conditions.REASON_CHECKSUM_MISMATCH, f"the file fetched has the SHA-256 digest {found}"
                )

        try:
            files.write_durably(path, partial, fill)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ModelFileError(conditions.REASON_MODEL_FETCH_FAILED, f"its file cannot be kept: {why}") from None

    def _tls(self, file: FetchedFile, model: ModelServing) -> ssl.SSLContext:
        if not file.own_authority:
            return ssl.create_default_context()
        path = self._paths.authorities / model.name / names.FILE_AUTHORITY
        try:
            return ssl.create_default_context(cafile=str(path))
        except OSError:  # of which ssl.SSLError is one
            raise ModelFileError(
                conditions.REASON_MODEL_FETCH_FAILED,
                "the ConfigMap of source.http.caConfigMap, its key, or a certificate in PEM format in it is missing",
            ) from None

    def _prune(self, wanted: set[str]) -> None:
        for path in self._paths.fetched.iterdir():
            if _DIGEST.fullmatch(path.name) and path.name not in wanted:
                path.unlink(missing_ok=True)

    def _report(self, missing: Iterable[Wanted]) -> None:
        problems = {
            f"{model} {file.sha256}": dataclasses.asdict(self._failed[model, file].problem)
            for model, file in missing
            if (model, file) in self._failed
        }
        text = json.dumps(problems, sort_keys=True)
        if text != self._reported:
            replace_file(self._paths.report / names.FILE_FETCH_REPORT, text)
            self._reported = text


def fetch(paths: Paths, pod: str, *, own: bool) -> None:
    """Run until the process is ended."""
    Fetcher(paths, pod=pod, own=own).run()
