"""AcceleratorProfiles: those that are shipped are kept as shipped, and those in use have their exporter.

An operator that serves some namespaces has no rights on AcceleratorProfiles, which belong to no namespace: there a
profile is a file that the operator brings along, and its exporter belongs to the operator's Deployment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgedetector import plan
from edgedetector.api import conditions, errors, names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.cluster import converge, diff, kinds
from edgedetector.cluster.errors import ClusterError, NotFoundError
from edgedetector.cluster.ownership import SHIPPED_MANAGER, is_shipped
from edgedetector.controller import keys, verifying
from edgedetector.controller.logs import about
from edgedetector.controller.loop import AwaitsError
from edgedetector.controller.shell import reported, resource
from edgedetector.observe import kubelet
from edgedetector.status import compose, profiles, verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgedetector.api.conditions import Condition
    from edgedetector.cluster.client import Object
    from edgedetector.controller.keys import Key
    from edgedetector.controller.shell import Shell
    from edgedetector.observe.snapshot import PodView, Workload

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Uses:
    """Which detector uses which profile; wakes a profile whose users change, and the users of one that changes."""

    wake: Callable[[Key], None]
    _profile_of: dict[Key, str] = field(default_factory=dict)
    _versions: dict[str, tuple[str, int, str] | None] = field(default_factory=dict)
    _drivers: dict[Key, frozenset[str]] = field(default_factory=dict)

    def __call__(self, detector: Key, profile: str) -> None:
        """Note the profile of a detector; "" when the detector is gone."""
        before = self._profile_of.pop(detector, "")
        if profile:
            self._profile_of[detector] = profile
        if before != profile:
            self._drivers.pop(detector, None)
            for name in (before, profile):
                if name:
                    self.wake(keys.profile(name))

    def drivers_of(self, detector: Key, versions: frozenset[str]) -> None:
        """Note the versions of the driver that a detector's pods run with; wakes its profile if they are others."""
        profile = self._profile_of.get(detector, "")
        before = self.drivers(profile)
        self._drivers[detector] = versions
        if profile and self.drivers(profile) != before:
            self.wake(keys.profile(profile))

    def drivers(self, profile: str) -> frozenset[str]:
        """Return the versions of the driver that the users of a profile run with."""
        return frozenset[str]().union(*(self._drivers.get(user, frozenset()) for user in self.users(profile)))

    def saw(self, profile: str, version: tuple[str, int, str] | None) -> None:
        """Wake the users of a profile that is another one than at the last look; None: it is gone.

        Parameters
        ----------
        version
            UID, generation, and what its status says of verification. The generation alone does not tell: that of a
            profile which was deleted and made anew is 1 again.
        """
        if profile in self._versions and self._versions[profile] == version:
            return
        self._versions[profile] = version
        for user in self.users(profile):
            self.wake(user)

    def learn(self, profile_of: Iterable[tuple[Key, str]]) -> None:
        """Note detectors of which no pass has told yet, and have them looked at: a list is older than a pass."""
        for detector, profile in profile_of:
            if detector not in self._profile_of:
                self(detector, profile)
                self.wake(detector)

    def known(self) -> tuple[Key, ...]:
        """Return all detectors, and all profiles that one of them uses."""
        return (*sorted(self._profile_of), *(keys.profile(name) for name in sorted(set(self._profile_of.values()))))

    def users(self, profile: str) -> tuple[Key, ...]:
        """Return the detectors that use the profile."""
        return tuple(sorted(key for key, name in self._profile_of.items() if name == profile))


@dataclass(slots=True)
class ProfileReconciler:
    """Runs a profile's exporter while a detector uses the profile."""

    shell: Shell
    uses: Uses
    _listed: bool = False
    _listing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reconcile(self, key: Key) -> float | None:
        """Do one pass; see `loop.Reconciler`."""
        if not self.shell.profiles_applied:
            raise AwaitsError(keys.SHIPPED)
        obj = await self.shell.profile(key.name)
        if self.shell.namespaced:
            return await self._file(key, obj)
        if not self._as_shipped(key.name, obj):
            self.uses.wake(keys.SHIPPED)
        if obj is None or converge.leaving(obj):
            self.uses.saw(key.name, None)
            return None
        self.uses.saw(key.name, _version(obj, obj.get("status") or {}))
        in_use = await self._in_use(key.name)
        overshadows = key.name in self.shell.files and not is_shipped(obj)
        try:
            exporter = await self._converge(key, obj, obj["metadata"]["uid"], in_use=in_use)
            pods = await self._pods(key, exporter)
        except errors.UserError as error:
            await self._write(obj, profiles.judge_error(error))
            return self.shell.after(error)
        except Exception as error:
            with contextlib.suppress(errors.OperatorError):  # of two errors the first one is the cause
                await self._write(obj, profiles.judge_error(reported(error)))
            raise
        judged = profiles.judge(key.name, exporter, pods, in_use=in_use, overshadows=overshadows)
        found = await self._verification(key, obj)
        await self._write(obj, (*judged, found.condition), exporter, found)
        return self.shell.resync()

    async def _verification(self, key: Key, obj: Object) -> verification.Known:
        """Return what is known of the profile on real cards once the tests that have ended are counted."""
        runs = await verifying.runs(self.shell.client, key.name)
        return verification.known(obj, runs, self.uses.drivers(key.name))

    def _as_shipped(self, name: str, obj: Object | None) -> bool:
        """Tell whether the profile is as the operator ships it, or none of its business."""
        body = self.shell.files.get(name)
        if body is None or (obj is not None and not is_shipped(obj)):
            return True
        return obj is not None and not diff.difference(body, obj, SHIPPED_MANAGER)

    async def _pods(self, key: Key, exporter: Workload | None) -> tuple[PodView, ...]:
        """Return the exporter's pods while something is the matter with them."""
        if exporter is None or exporter.rolled_out:
            return ()
        place, selector = self.shell.settings.operator_namespace, f"{names.LABEL_PROFILE}={key.name}"
        selector += f",{names.LABEL_COMPONENT}={names.COMPONENT_EXPORTER}"  # a test of the profile has that label, too
        return tuple(kubelet.pod(pod) for pod in await self.shell.client.list(kinds.POD, place, selector))

    async def _file(self, key: Key, obj: Object | None) -> float | None:
        """Do one pass over a profile that is a file: it has no status, so those who use it tell what is wrong."""
        owner = await self._operator()
        uid = owner[0]["uid"] if owner else ""
        try:
            await self._converge(key, obj, uid, owner, in_use=obj is not None and await self._in_use(key.name))
        except errors.UserError as error:
            logger.warning("exporter not run: %s", error, extra=about(key, reason=error.reason))
            return self.shell.after(error)
        return self.shell.resync() if obj is not None else None

    async def _operator(self) -> list[Object]:
        """Return the reference to the operator's Deployment, so that what is uninstalled takes its exporters along."""
        name, place = self.shell.options.operator_deployment, self.shell.settings.operator_namespace
        if not name:
            return []
        found = await self.shell.client.list(kinds.DEPLOYMENT, place, fields=f"metadata.name={name}")
        head = {"apiVersion": kinds.DEPLOYMENT.api_version, "kind": kinds.DEPLOYMENT.kind, "name": name}
        return [head | {"uid": obj["metadata"]["uid"]} for obj in found]

    async def _in_use(self, profile: str) -> bool:
        """Tell whether a detector uses the profile: known from their passes, and after a start from one list.

        While EdgeDetectors are not there as a kind nobody uses one; the list is owed until they are.
        """
        async with self._listing:
            with contextlib.suppress(NotFoundError):
                await self._list()
        return bool(self.uses.users(profile))

    async def _list(self) -> None:
        """Learn from one list which detector uses which profile, unless that was done before."""
        if self._listed:
            return
        for namespace in self.shell.options.namespaces or ("",):
            listed = self.shell.client.each(kinds.EDGEDETECTOR, namespace)
            self.uses.learn([_profile_of(obj) async for obj in listed if not converge.leaving(obj)])
        self._listed = True

    async def _converge(
        self, key: Key, obj: Object | None, owner_uid: str, owner: list[Object] | None = None, *, in_use: bool
    ) -> Workload | None:
        """Make the exporter's objects what the profile asks for and return what its DaemonSet reports."""
        served = await self.shell.discovery.served()
        desired: tuple[Object, ...] = ()
        if obj is not None and in_use:
            profile = AcceleratorProfile.parse(obj)
            desired = plan.profile_children(profile, self.shell.settings, plan.Facts(served))
        for child in desired if owner else ():
            child["metadata"]["ownerReferences"] = owner
        live = await self._children(key, served)
        if obj is not None:
            desired = self.shell.keep(key, desired, live, obj, settled=True)
        if await self.shell.converge(key, desired, live, owner_uid):
            live = await self._children(key, served)
        return next((kubelet.daemon(child) for child in live if child["kind"] == "DaemonSet"), None)

    async def _children(self, key: Key, served: frozenset[str]) -> tuple[Object, ...]:
        selector = f"{names.LABEL_PROFILE}={key.name}"
        place = self.shell.settings.operator_namespace
        return await self.shell.gather(plan.PROFILE_CHILD_KINDS, place, selector, served)

    async def _write(
        self,
        obj: Object,
        judged: tuple[Condition, ...],
        exporter: Workload | None = None,
        found: verification.Known | None = None,
    ) -> None:
        before = obj.get("status") or {}
        generation = obj["metadata"]["generation"]
        now = self.shell.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted: dict[str, Any] = {
            "observedGeneration": generation,
            "conditions": compose.timed(judged, before.get("conditions") or (), generation, now),
        }
        if exporter is not None:
            wanted["exporters"] = {"desired": exporter.desired, "ready": exporter.available}
        wanted |= verification.kept(before) if found is None else found.fields
        if wanted == before:
            return
        await self.shell.client.replace_status(obj, wanted, names.FIELD_MANAGER)
        self.uses.saw(obj["metadata"]["name"], _version(obj, wanted))
        said = compose.transitions(judged, before.get("conditions") or ())
        stalled = any(condition.type == conditions.STALLED and condition.is_true for condition in judged)
        for condition in said:
            ready = condition.type == conditions.READY and (stalled or (condition.is_true and before))
            counted = condition.type == verification.VERIFIED and "verification" in wanted
            if ready or counted or condition.type == profiles.SHIPPED:
                logger.info("%s", condition.message, extra=about(resource(obj), reason=condition.reason))
                await self.shell.tell(obj, condition, warning=not condition.is_true)


@dataclass(slots=True)
class ShippedReconciler:
    """Keeps the shipped profiles as they are shipped; leaves all others alone, also those that have such a name."""

    shell: Shell

    async def reconcile(self, _key: Key) -> float | None:
        """Do one pass; see `loop.Reconciler`. The next one is the process's sign of life, so it always comes."""
        if not self.shell.namespaced:
            try:
                await self._apply()
            except Exception as error:
                self.shell.profiles_error = reported(error)
                raise
            self.shell.profiles_error = None
        return self.shell.resync()

    async def _apply(self) -> None:
        """Apply all; of several errors the first one is told. Only one that may pass holds up those who plan."""
        found = await self.shell.client.list(kinds.ACCELERATOR_PROFILE)
        live = {obj["metadata"]["name"]: obj for obj in found}
        failed: list[ClusterError] = []
        for name, body in self.shell.files.items():
            try:
                await self._keep(body, live.get(name))
            except ClusterError as error:
                failed.append(error)
        if not any(isinstance(error, errors.RetryError) for error in failed):
            self.shell.profiles_applied = True
        if failed:
            raise failed[0]

    async def _keep(self, body: Object, before: Object | None) -> None:
        if before is not None and not is_shipped(before):
            return  # the profile's own status says so
        field_path = "new" if before is None else diff.difference(body, before, SHIPPED_MANAGER)
        if not field_path:
            return
        after = await self.shell.client.apply(body, SHIPPED_MANAGER)
        same = before is not None and converge.version(after) == converge.version(before)
        self.shell.metrics.applies.labels(body["kind"], "unchanged" if same else "changed").inc()
        said = about(f"AcceleratorProfile/{body['metadata']['name']}", field=field_path)
        logger.info("shipped profile applied", extra=said)


def _version(obj: Object, status: Object) -> tuple[str, int, str]:
    return obj["metadata"]["uid"], obj["metadata"]["generation"], json.dumps(verification.kept(status), sort_keys=True)


def _profile_of(obj: Object) -> tuple[Key, str]:
    metadata = obj["metadata"]
    return keys.detector(metadata["namespace"], metadata["name"]), obj["spec"].get("acceleratorProfile", "")
