"""One pass over an EdgeDetector: gather, plan, apply, prune, status."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from edgedetector import plan
from edgedetector.api import conditions, errors, names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.cluster import converge, held, kinds
from edgedetector.controller import keys, refresh, replicas, terms, verifying
from edgedetector.controller.charge import Charge, refusal, running
from edgedetector.controller.holders import HELD, Holders
from edgedetector.controller.logs import about
from edgedetector.controller.loop import AwaitsError
from edgedetector.controller.misses import Misses
from edgedetector.controller.patience import Patience
from edgedetector.controller.shell import reported, resource
from edgedetector.controller.tuning import Tuner
from edgedetector.observe import gather, kubelet, scrape
from edgedetector.status import checks, compose, document, scaling
from edgedetector.status import verification as verifications
from edgedetector.status.cameras import merge
from edgedetector.status.view import PATIENCE, Running, View, remains
from edgedetector.tuning.situation import Mode

if TYPE_CHECKING:
    from edgedetector.api.conditions import Condition
    from edgedetector.cluster.client import Object
    from edgedetector.controller.keys import Key
    from edgedetector.controller.shell import Shell
    from edgedetector.observe.snapshot import PodView, Snapshot
    from edgedetector.tuning.ledger import Ledger

logger = logging.getLogger(__name__)

# Failures in a row, two to three seconds with the pauses between them, from which on the status tells of them.
LASTING: Final = 4
# Seconds until the look that removes a test's Job, once the status says what came of it.
ANSWERED: Final = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the cluster found of a detector."""

    children: tuple[Object, ...]
    pods: tuple[Object, ...]
    snapshot: Snapshot

    def after(self, children: tuple[Object, ...]) -> Seen:
        """Return the same with the children as they are after having been written."""
        return Seen(children, self.pods, gather.with_children(self.snapshot, children))


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass found of tuning."""

    terms: terms.Terms
    record: Object | None
    asof: float
    """When it began to look, on the tuner's clock."""


@dataclass(slots=True)
class DetectorReconciler:
    """Brings EdgeDetectors to where they should be."""

    shell: Shell
    scraper: scrape.Scraper[Key]
    uses: Callable[[Key, str], None]
    """Told which profile a detector uses; "" when the detector is gone."""
    tuner: Tuner
    drivers: Callable[[Key, frozenset[str]], None] = lambda _key, _versions: None
    """Told which versions of the accelerator's driver a detector's pods run with."""
    patience: Patience = field(default_factory=Patience)
    misses: Misses = field(default_factory=Misses)
    """Of figures that autoscalers go by."""
    failures: dict[Key, int] = field(default_factory=dict)
    """Passes in a row that the API server let fail."""
    holders: Holders = field(default_factory=lambda: Holders(time.monotonic))

    async def reconcile(self, key: Key) -> float | None:
        """Do one pass; see `loop.Reconciler`."""
        with self.shell.phase("gather"):
            obj = await self.shell.client.get(kinds.EDGEDETECTOR, key.namespace, key.name)
        if obj is None or converge.leaving(obj):
            self.scraper.forget(key)
            self.tuner.forget(key)
            self.patience.forget(key)
            self.misses.forget(key)
            self.shell.drifts.forget(key)
            self.failures.pop(key, None)
            self.uses(key, "")
            return None
        await self._greet(obj)
        if not self.shell.profiles_applied:
            await self._await_profiles(key, obj)
        try:
            view, found = await self._converge(key, obj)
        except errors.UserError as error:
            # Only a changed resource helps. What runs, runs on, and is looked at all the same.
            self.failures.pop(key, None)
            self.tuner.pause(key)
            still = await self._remains(key, obj)
            judged = compose.judge_error(error, still)
            await self._write(obj, judged, still)
            self.scraper.pace(key, self.shell.options.scrape_rest)
            # Whether a camera is being reconnected or broken is a matter of time, of which no event tells.
            connecting = any(found.reason == conditions.REASON_STREAMS_CONNECTING for found in judged)
            after = self.shell.after(error)
            return self.patience.wait(key, still and still.snapshot, after) if connecting else after
        except Exception as error:
            if isinstance(error, errors.RetryError) and not self._lasts(key):
                raise
            # An API server that does not answer is not asked again for what else there is to see.
            still = None if isinstance(error, errors.RetryError) else await self._remains(key, obj)
            with contextlib.suppress(errors.OperatorError):  # of two errors the first one is the cause
                await self._write(obj, compose.judge_error(reported(error), still), still)
            raise
        self.failures.pop(key, None)
        judged = compose.judge(view)
        self._hand_over(key, view, judged, found)
        await self._write(obj, judged, view)
        return self._pace(key, view, judged, found.terms)

    async def _await_profiles(self, key: Key, obj: Object) -> None:
        """Tell, once it lasts, why the shipped profiles are not those of this release, and wait for them."""
        cause = self.shell.profiles_error
        if cause is not None and self._lasts(key):
            error = errors.RetryError(f"the shipped AcceleratorProfiles cannot be applied: {cause}")
            await self._write(obj, compose.judge_error(error), None)
        if not self.shell.profiles_applied:  # nor meanwhile: else nothing would end the waiting
            raise AwaitsError(keys.SHIPPED)

    def _lasts(self, key: Key) -> bool:
        """Tell whether passes have failed for long enough to be told: one conflict is no news of a detector."""
        self.failures[key] = self.failures.get(key, 0) + 1
        return self.failures[key] >= LASTING

    async def _converge(self, key: Key, obj: Object) -> tuple[View, Found]:
        """Make the children what the specification asks for and return what is to be seen of them, and of tuning."""
        shell, asof = self.shell, self.tuner.clock()
        with shell.phase("gather"):
            detector = EdgeDetector.parse(obj)
            self.uses(key, detector.spec.accelerator_profile)
            profile, source = await self._profile(detector.spec.accelerator_profile)
            seen = await self._gather(key)
        with shell.phase("plan"):
            record = terms.find(seen.children, key.name)
            seen = seen.after(tuple(child for child in seen.children if child is not record))  # none to be pruned
            told, now = terms.published(seen.children, key.name, names.FIELD_MANAGER), shell.now().timestamp()
            wanted = terms.served(detector, profile, shell.settings.model_hosts, record, now, published=told)
            waiting = self._unschedulable(seen.snapshot.pods)
            live = replicas.ours(seen.children, names.triton(key.name), names.FIELD_MANAGER)
            before = replicas.before_suspension(seen.children, names.triton(key.name))
            cap = self._cap(detector, seen.snapshot, waiting)
            hold = self._held(detector, seen.snapshot, wanted)
            least = plan.least(_asked(key.name, seen.snapshot), degraded=_degraded(seen.snapshot))
            facts = plan.Facts(seen.snapshot.served, waiting, live, before, cap, hold, least)
            rendered = plan.detector_children(
                detector, profile, shell.settings, facts, wanted.accepted, probe=wanted.probe
            )
            asked, test = self._test(obj, detector, profile, source, seen)
            desired = shell.keep(key, (*rendered, *test), seen.children, source, settled=held.settled(obj))
        with shell.phase("apply"):
            if outcome := await shell.converge(key, desired, seen.children, detector.uid):
                seen = seen.after(outcome.children)  # what comes of it at the controllers is an event
            for pod, digest in refresh.stale_pods(seen.pods, desired, seen.snapshot.workloads.values()):
                await shell.client.annotate(pod, {names.ANNOTATION_REFRESH: digest}, names.FIELD_MANAGER)
        spec = detector.spec
        cameras = merge(spec.camera_names, seen.snapshot, spec.main_stream_cameras, suspended=detector.suspend)
        view = View(
            detector,
            profile,
            wanted.accepted,
            seen.snapshot,
            self.shell.now(),
            cameras,
            ledger=wanted.ledger,
            tuned=terms.is_tuned(detector, wanted.ledger),
            passing=wanted.passing,
            standing=self.tuner.standing(key),
            held=hold,
            asked=asked,
            missed=self.misses.look(
                key, shell.now(), lacks=scaling.lacks(seen.snapshot.scaler), well=scaling.was_well(obj)
            ),
        )
        return view, Found(wanted, record, asof)

    def _hand_over(self, key: Key, view: View, judged: tuple[Condition, ...], found: Found) -> None:
        """Give the tuner what this pass found."""
        ready = all(condition.is_true for condition in judged if condition.type in checks.SERVED)
        pods = running(scrape.targets(view.snapshot.pods))
        refused = refusal(view.snapshot.states, view.accepted.id)
        charge = Charge(view.detector, view.profile, found.terms, found.record, pods, ready, found.asof, refused)
        self.tuner.watch(key, charge)

    def _held(self, detector: EdgeDetector, seen: Snapshot, wanted: terms.Terms) -> int | None:
        """Return where the autoscaler's maximum stays until tuning has converged."""
        ledger = wanted.ledger
        began = self._began(detector, ledger)
        return plan.held(
            detector.spec.scaling,
            _asked(detector.name, seen),
            since=began,
            converged=terms.mode(detector) != Mode.AUTO or (ledger is not None and ledger.settled > 0),
            now=self.shell.now(),
        )

    def _began(self, detector: EdgeDetector, ledger: Ledger | None) -> datetime | None:
        if ledger is not None and not ledger.begins:
            return datetime.fromtimestamp(ledger.began, UTC)
        return datetime.fromisoformat(detector.created) if detector.created else None

    def _test(
        self, obj: Object, detector: EdgeDetector, profile: AcceleratorProfile, source: Object, seen: Seen
    ) -> tuple[verifications.Asked | None, tuple[Object, ...]]:
        """Return how the test of the profile stands that the detector asks for, and what is to be there of it."""
        told = frozenset(state.driver for state in seen.snapshot.states.values() if state.driver)
        self.drivers(keys.detector(detector.namespace, detector.name), told)
        job, request = verifying.live(seen.children, detector.name), verifying.request(obj)
        asked = verifications.asked(
            request,
            (obj.get("status") or {}).get("verification") or {},
            verifying.run(job, seen.pods, profile.name),
            None if self.shell.namespaced else source.get("status") or {},
            own_pods=any(pod.node for pod in seen.snapshot.of(names.COMPONENT_TRITON)),
            holders=seen.snapshot.holders,
        )
        wanted = request if asked and not asked.settled else ""
        settings, manager = self.shell.settings, names.FIELD_MANAGER
        return asked, verifying.desired(detector, profile, settings, asked=wanted, before=job, manager=manager)

    async def _remains(self, key: Key, obj: Object) -> Running | None:
        with contextlib.suppress(errors.OperatorError):  # the error of the user is to be told in any case
            return remains(obj, (await self._gather(key)).snapshot, self.shell.now())
        return None

    async def _profile(self, name: str) -> tuple[AcceleratorProfile, Object]:
        """Return the profile, and the object in which it stands."""
        obj = await self.shell.profile(name)
        if obj is None or converge.leaving(obj):
            raise errors.MissingProfileError(name, tuple(self.shell.files) if self.shell.namespaced else ())
        try:
            return AcceleratorProfile.parse(obj), obj
        except errors.InvalidSpecError as error:
            raise errors.InvalidProfileError(name, error) from None

    async def _gather(self, key: Key) -> Seen:
        client, selector = self.shell.client, f"{names.LABEL_DETECTOR}={key.name}"
        served = await self.shell.discovery.served()
        children, pods = await asyncio.gather(
            self.shell.gather(plan.CHILD_KINDS, key.namespace, selector, served),
            client.list_known(kinds.POD, key.namespace, selector),
        )
        views = tuple([await self._view(pod) for pod in pods])
        answers, holders = await asyncio.gather(
            self.scraper.observe(key, scrape.targets(views)), self._holders(key, views)
        )
        return Seen(children, pods, gather.snapshot(children, views, answers, served, holders))

    async def _holders(self, key: Key, views: tuple[PodView, ...]) -> dict[str, tuple[str, ...]]:
        """Return who else holds what a pod of ours waits for, by resource; nobody is asked while none waits."""
        lacking = {name for view in views if view.problem and not view.leaving for name in view.problem.lacking}
        own = f"{key.namespace}/{key.name}"
        return await self.holders.of(self.shell.client, self.shell.options.namespaces, lacking, own)

    async def _view(self, pod: Object) -> PodView:
        view = kubelet.pod(pod)
        if view.problem is not None or not kubelet.is_held_before_start(pod, self.shell.now()):
            return view
        fields = f"involvedObject.uid={view.uid},type=Warning"
        events = await self.shell.client.list(kinds.CORE_EVENT, pod["metadata"]["namespace"], fields=fields)
        return dataclasses.replace(view, problem=kubelet.start_problem(events))

    def _unschedulable(self, pods: tuple[PodView, ...]) -> int:
        return sum(1 for pod in pods if pod.component == names.COMPONENT_TRITON and self._waiting(pod) <= timedelta(0))

    def _cap(self, detector: EdgeDetector, seen: Snapshot, waiting: int) -> plan.Cap | None:
        """Return to what the autoscaler's maximum is lowered."""
        live = seen.scaler.cap if seen.scaler is not None else None
        placed = sum(1 for pod in seen.of(names.COMPONENT_TRITON) if pod.node)
        return plan.cap(detector.spec.scaling, live, placed=placed, waiting=waiting, now=self.shell.now())

    def _waiting(self, pod: PodView) -> timedelta:
        """Return for how long the pod may still wait before it counts as having no place to go."""
        if not pod.unschedulable_since or pod.leaving:
            return timedelta.max
        return datetime.fromisoformat(pod.unschedulable_since) + PATIENCE - self.shell.now()

    async def _greet(self, obj: Object) -> None:
        """Give a new detector conditions before anything else: to many tools none at all means all is well."""
        if not (obj.get("status") or {}).get("conditions"):
            await self._write(obj, compose.judge_pending(), None)

    async def _write(self, obj: Object, judged: tuple[Condition, ...], seen: View | Running | None) -> None:
        """Write the status if it differs from the live one, and tell of what is new and worth it."""
        before: dict[str, Any] = obj.get("status") or {}
        now = self.shell.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = document.status(obj, judged, seen, now)
        if wanted == before:
            return
        with self.shell.phase("status"):
            after = await self.shell.client.replace_status(obj, wanted, names.FIELD_MANAGER)
        obj["status"] = after.get("status") or wanted
        for condition, warning in compose.told(judged, before.get("conditions") or ()):
            said = about(resource(obj), condition=condition.type, status=condition.status, reason=condition.reason)
            logger.info("%s", condition.message, extra=said)
            await self.shell.tell(obj, condition, warning=warning)

    def _pace(self, key: Key, view: View, judged: tuple[Condition, ...], wanted: terms.Terms) -> float:
        """Ask the pods of a detector on its way more often, and look again when a waiting pod's time is over."""
        busy = any(condition.type == conditions.RECONCILING and condition.is_true for condition in judged)
        options = self.shell.options
        self.scraper.pace(key, options.scrape_busy if busy else options.scrape_rest)
        pending = [self._waiting(pod).total_seconds() for pod in view.snapshot.pods if pod.unschedulable_since]
        if view.snapshot.holders:
            pending.append(HELD)  # nobody tells when another one has taken over
        if (patience := scaling.due(view)) is not None:
            since, length = patience
            pending.append((datetime.fromisoformat(since) + length - self.shell.now()).total_seconds())
        if wanted.passing:
            pending.append(wanted.until - self.shell.now().timestamp())
        if view.held is not None and (began := self._began(view.detector, view.ledger)) is not None:
            pending.append((began + plan.TUNING_LASTS - self.shell.now()).total_seconds())
        if view.asked is not None and view.asked.answered and not view.asked.settled:
            pending.append(ANSWERED)
        if view.snapshot.scaler is not None and (cap := view.snapshot.scaler.cap) is not None:
            pending.append((cap.since + plan.CAP_LASTS - self.shell.now()).total_seconds())
        soon = [seconds for seconds in pending if 0 < seconds < timedelta.max.total_seconds()]
        rest = self.shell.resync()
        if busy:
            return min([self.patience.wait(key, view.snapshot, rest), *soon])
        self.patience.forget(key)
        return min([rest, *soon])


def _asked(name: str, seen: Snapshot) -> int:
    """Return the inference pods that the live Deployment asks for."""
    workload = seen.workloads.get(names.triton(name))
    return workload.desired if workload is not None else 0


def _degraded(seen: Snapshot) -> bool:
    """Tell whether any camera gives up something for the want of capacity."""
    return any(camera.degraded for state in seen.states.values() for camera in state.cameras)
