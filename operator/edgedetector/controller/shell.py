"""What every reconciler works with: the client, the clock, the settings, and a few deeds that all of them do."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions, names
from edgedetector.api.conditions import Condition
from edgedetector.api.errors import NameTakenError, OperatorError, PermanentError, UserError
from edgedetector.cluster import converge, events, held, kinds, ownership
from edgedetector.cluster.errors import ClusterError, NotFoundError
from edgedetector.controller.drifts import CONTESTED, Drifts
from edgedetector.controller.logs import about
from edgedetector.controller.options import IMMEDIATE

if TYPE_CHECKING:
    import random

    from edgedetector.cluster.client import Client, Object
    from edgedetector.controller.discovery import Discovery
    from edgedetector.controller.keys import Key
    from edgedetector.controller.metrics import Metrics
    from edgedetector.controller.options import Options
    from edgedetector.plan import Settings

logger = logging.getLogger(__name__)

# Seconds until the next look at a name that is taken: no watch sees the object of somebody else go.
NAME_TAKEN: Final = 30.0


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Shell:
    """The imperative side of reconciling."""

    client: Client
    discovery: Discovery
    settings: Settings
    options: Options
    metrics: Metrics
    rng: random.Random
    now: Callable[[], datetime] = utc_now
    instance: str = "edgedetector"
    """Name of this process in Events."""
    files: Mapping[str, Object] = field(default_factory=dict)
    """Profiles by name that the operator brings along."""
    profiles_applied: bool = True
    """Whether the shipped profiles are those of this release; before, nothing is to be planned with one."""
    profiles_error: OperatorError | None = None
    """Why they are not yet, if it is known."""
    drifts: Drifts[Key] = field(default_factory=lambda: Drifts(time.monotonic, lambda _key, _seconds: None))
    """Which children somebody else keeps changing."""

    @property
    def namespaced(self) -> bool:
        """Whether the operator has no rights but in namespaces: its profiles are then files and no objects."""
        return bool(self.options.namespaces)

    async def profile(self, name: str) -> Object | None:
        """Return the AcceleratorProfile of this name; None if there is none."""
        if self.namespaced:
            return self.files.get(name)
        return await self.client.get(kinds.ACCELERATOR_PROFILE, "", name)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count an error of this part of a pass."""
        try:
            yield
        except Exception as error:
            reason = error.reason if isinstance(error, OperatorError) else type(error).__name__
            self.metrics.errors.labels(name, reason).inc()
            raise

    def resync(self) -> float:
        """Return seconds until the next look if nothing happens, spread so that detectors do not march in step."""
        return self.options.resync * self.rng.uniform(0.9, 1.1)

    def after(self, error: UserError) -> float:
        """Return seconds until the next look after an error of the user: his change is an event, if it is watched."""
        return NAME_TAKEN if isinstance(error, NameTakenError) else self.resync()

    def keep(
        self, key: Key, desired: Iterable[Object], live: Iterable[Object], profile: Object, *, settled: bool
    ) -> tuple[Object, ...]:
        """Return what is to be applied, with the templates of those workloads that keep their pods over an upgrade.

        `settled`: the present specification was applied before this pass.
        """
        immediate = self.options.upgrade_policy == IMMEDIATE
        origin = held.Origin(self.options.release, ownership.version_of(profile), settled, immediate)
        found, newly = held.keep(desired, live, origin, names.FIELD_MANAGER)
        if newly:
            logger.info("pods are kept over an upgrade, until their next change", extra=about(key, kept=newly))
        return found

    @contextlib.contextmanager
    def kinds_may_go(self) -> Iterator[None]:
        """Have it asked anew which optional kinds there are when one may be no more: all passes would fail till then.

        The error says to try again, and the next pass does without that kind.
        """
        try:
            yield
        except NotFoundError:
            self.discovery.forget()
            raise

    async def gather(
        self, child_kinds: Iterable[tuple[str, str]], namespace: str, selector: str, served: frozenset[str]
    ) -> tuple[Object, ...]:
        """List the children of every kind that is served."""
        with self.kinds_may_go():
            return await converge.gather(self.client, child_kinds, namespace, selector, served)

    async def converge(
        self, key: Key, desired: Iterable[Object], live: Iterable[Object], owner_uid: str
    ) -> converge.Outcome:
        """Apply and prune; what is returned is true if anything was written.

        Raises
        ------
        NameTakenError
            If objects of somebody else have the names of children; all other children are in place then.
        """
        wanted = {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in desired}

        def contested(child: Object) -> bool:
            return self.drifts.held(key, f"{child['kind']}/{child['metadata']['name']}", child)

        with self.kinds_may_go():
            outcome = await converge.converge(
                self.client, wanted.values(), live, owner_uid, names.FIELD_MANAGER, held=contested
            )
        for entry in outcome.applied:
            child = entry.partition(": ")[0]
            self.drifts.wrote(key, child, wanted[child])
            result = "unchanged" if entry in outcome.unchanged else "changed"
            self.metrics.applies.labels(entry.partition("/")[0], result).inc()
        for entry in outcome.pruned:
            self.metrics.applies.labels(entry.partition("/")[0], "pruned").inc()
        changed = [entry for entry in outcome.applied if entry not in outcome.unchanged]
        if outcome.unchanged:
            logger.warning("applies that changed nothing", extra=about(key, unchanged=outcome.unchanged))
        if changed or outcome.pruned:
            logger.info("children converged", extra=about(key, applied=changed, pruned=outcome.pruned))
        await self._contested(key, wanted, outcome.held)
        if not outcome.applied and not outcome.held:
            self.drifts.rested(key)
        if outcome.taken:
            raise NameTakenError(key.subject, key.name, outcome.taken)
        return outcome

    async def _contested(self, key: Key, wanted: Mapping[str, Object], held: Iterable[str]) -> None:
        """Tell of children that somebody else keeps changing, once a fight."""
        for entry in held:
            child, _, what = entry.partition(": ")
            self.metrics.applies.labels(child.partition("/")[0], "held").inc()
            if not self.drifts.is_news(key, child):
                continue
            deed = "deletes it" if what == "new" else f"changes {what}"
            message = f"{child}: somebody else {deed} again and again; it is put right ever more seldom until that ends"
            parent = _owner_of(wanted[child])
            logger.warning("%s", message, extra=about(key))
            await self.tell(parent, Condition(CONTESTED, conditions.TRUE, CONTESTED, message), warning=True)

    async def tell(self, obj: Object, condition: Condition, *, warning: bool) -> None:
        """Post an Event; one that cannot be posted is no reason to fail a pass."""
        body = events.event(obj, condition, warning=warning, now=self.now(), instance=self.instance, salt=self.rng)
        try:
            await self.client.create(body)
        except ClusterError as error:
            logger.warning("event not posted: %s", error, extra=about(resource(obj)))


def _owner_of(child: Object) -> Object:
    """Return what an Event has to know of a child's owner, who is where the child is, or in no namespace."""
    metadata = child["metadata"]
    owner = metadata["ownerReferences"][0]
    everywhere = owner["kind"] == kinds.ACCELERATOR_PROFILE.kind
    place = {} if everywhere else {"namespace": metadata["namespace"]}
    return {**owner, "metadata": {**place, "name": owner["name"], "uid": owner["uid"]}}


def resource(obj: Object) -> str:
    """Return what logs call an object: kind/namespace/name, as `Key` does."""
    metadata = obj["metadata"]
    return "/".join(part for part in (obj["kind"], metadata.get("namespace", ""), metadata["name"]) if part)


def reported(error: Exception) -> OperatorError:
    """Return what the status says of an error: of a defect only that it is one, since its text may hold anything."""
    if isinstance(error, OperatorError):
        return error
    return PermanentError(f"defect in the operator ({type(error).__name__}): its log has the details")
