"""Reports to an HTTP server, each until the server has it or refuses it.

One request at a time, in the order of the events, which keeps the order of each camera; an event that is tried again
holds up those behind it. Delivery is at least once: an answer that is lost, or a kill between answer and disk, sends an
event again under the same id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edgedetector.detector.outputs import cloudevents
from edgedetector.detector.outputs.backoff import Backoff
from edgedetector.detector.outputs.health import FINE, Tell, Trouble, failing, lacking
from edgedetector.detector.outputs.mailbox import Mailbox
from edgedetector.detector.outputs.outputs import Count
from edgedetector.detector.outputs.post import Answer, Poster
from edgedetector.detector.outputs.reports import Scene
from edgedetector.detector.outputs.secretfiles import MissingSecretError, SecretFile
from edgedetector.detector.outputs.spool import Spool, Spooled

log = logging.getLogger(__name__)

IDLE: Final = 0.5
"""Seconds between looks for what nobody woke the sender for."""
_BATCH: Final = 256
"""Reports that are written in one transaction."""
_TRIES: Final = 20
"""Answers of 500 and the like to one event: about eight minutes. That many are the event's fault, not the server's."""
_ABSENT: Final = frozenset({0, 408, 429, 502, 503, 504})
"""Statuses that are about the server, or one in between, and never about the event."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends, and how the receiver can tell."""

    source: str
    """Source of the events, see `cloudevents.source`."""
    token: SecretFile | None = None
    """Sent as a bearer token."""
    key: SecretFile | None = None
    """Signs each request."""

    def headers(self, event: Spooled, now: float) -> dict[str, str]:
        """Return the headers of a request; raises MissingSecretError."""
        headers = {"Content-Type": cloudevents.CONTENT_TYPE}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token.read()}"
        if self.key:
            headers |= cloudevents.signature(self.key.read(), event.id, int(now), event.body)
        return headers


@dataclass(slots=True)
class Sender:
    """Empties the spool, one request a step."""

    poster: Poster
    spool: Spool
    identity: Identity
    count: Callable[[str, int], None]
    backoff: Backoff
    epoch: Callable[[], float] = time.time
    tell: Callable[[Trouble], None] = lambda _trouble: None
    _trying: int = 0
    """Number of the event that the server answered with an error of its own."""
    _tries: int = 0
    _said: str = field(default="", repr=False)

    def step(self) -> float:
        """Try to deliver the oldest event; return the seconds until the next step, `IDLE` if nothing waits."""
        event = self.spool.first()
        if event is None:
            return IDLE
        answer = self._send(event)
        verdict = "refused" if self._hopeless(event, answer) else answer.verdict
        self._tell(answer)
        if verdict == "retry":
            self.count("retried", 1)
            return max(answer.wait, self.backoff.failed())
        self.backoff.succeeded()
        # One that was dropped while it was under way is counted as dropped already.
        if self.spool.remove(event):
            self.count(verdict, 1)
        return 0.0

    def _send(self, event: Spooled) -> Answer:
        now = self.epoch()
        try:
            headers = self.identity.headers(event, now)
        except MissingSecretError as error:
            return Answer(0, error=str(error), secret=True)
        except ValueError:
            return Answer(0, error=f"{self.identity.key} is not base64", secret=True)
        return self.poster.post(event.body, headers, now)

    def _hopeless(self, event: Spooled, answer: Answer) -> bool:
        if answer.verdict != "retry" or answer.status in _ABSENT:
            return False
        self._tries = self._tries + 1 if self._trying == event.number else 1
        self._trying = event.number
        return self._tries >= _TRIES

    def _tell(self, answer: Answer) -> None:
        """Log what changed, once and not at each attempt."""
        said = "" if answer.verdict == "sent" else answer.error or f"it answers {answer.status}"
        if said != self._said:
            log.warning("webhook: %s", said or "events are delivered again")
        self._said = said
        self.tell(lacking(said) if answer.secret else failing(f"events are not taken: {said}") if said else FINE)


class Webhook:
    """The sink: one thread writes to the spool, another empties it.

    Parameters
    ----------
    open_spool, make_poster
        Make what each run needs, so that a run that failed leaves nothing behind for the next.
    """

    name = "webhook"

    def __init__(
        self,
        open_spool: Callable[[], Spool],
        make_poster: Callable[[], Poster],
        identity: Identity,
        count: Count,
        *,
        tell: Tell = lambda _name, _trouble: None,
    ) -> None:
        self._open_spool = open_spool
        self._make_poster = make_poster
        self._identity = identity
        self._count = count
        self._tell = tell

    def run(self, mailbox: Mailbox, _scene: Callable[[], Scene], stop: threading.Event) -> None:
        """Deliver until `stop` is set; what is not delivered then stays on disk."""
        spool, poster = self._open_spool(), self._make_poster()
        done, news = threading.Event(), threading.Event()
        sender = Sender(
            poster,
            spool,
            self._identity,
            lambda what, n: self._count(self.name, what, n),
            Backoff(),
            tell=lambda trouble: self._tell(self.name, trouble),
        )
        thread = threading.Thread(target=_deliver, args=(sender, news, done), name="webhook-sender", daemon=True)
        thread.start()
        try:
            # What came before `stop` is kept too: the loop ends with an empty mailbox.
            while not stop.is_set() or len(mailbox):
                self._keep(mailbox, spool)
                news.set()
        finally:
            done.set()
            news.set()
            thread.join()
            poster.close()
            spool.close()

    def _keep(self, mailbox: Mailbox, spool: Spool) -> None:
        reports = mailbox.take(_BATCH, IDLE)
        if not reports:
            return
        try:
            dropped = spool.append([(r.id, cloudevents.encode(r, self._identity.source)) for r in reports])
        except OSError as error:
            log.error("webhook: %s", error)  # noqa: TRY400 - the message says it all
            self._count(self.name, "failed", len(reports))
            self._tell(self.name, failing(str(error)))
            return
        if dropped:
            self._count(self.name, "dropped", dropped)


def _deliver(sender: Sender, news: threading.Event, done: threading.Event) -> None:
    while not done.is_set():
        try:
            wait = sender.step()
        except Exception:
            # A disk that does not answer may do so again; events go on to be counted meanwhile.
            log.exception("webhook: sending failed")
            wait = sender.backoff.failed()
        if wait == IDLE:
            news.wait(IDLE)
            news.clear()
        elif wait:
            done.wait(wait)
