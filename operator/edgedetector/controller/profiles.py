"""AcceleratorProfiles: those that are shipped are kept as shipped, and those in use have their exporter."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from edgedetector import plan
from edgedetector.api import errors, names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.cluster import converge, diff, kinds
from edgedetector.controller import keys
from edgedetector.controller.logs import about
from edgedetector.observe import kubelet
from edgedetector.status import compose, profiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgedetector.api.conditions import Condition
    from edgedetector.cluster.client import Object
    from edgedetector.controller.keys import Key
    from edgedetector.controller.shell import Shell
    from edgedetector.observe.snapshot import Workload

logger = logging.getLogger(__name__)

# A manager of its own: what a user adds to a shipped profile under other fields stays.
SHIPPED_MANAGER: Final = f"{names.FIELD_MANAGER}-shipped"


@dataclass(slots=True)
class Uses:
    """Which detector uses which profile; wakes a profile whose users change, and the users of one that changes."""

    wake: Callable[[Key], None]
    _profile_of: dict[Key, str] = field(default_factory=dict)
    _versions: dict[str, tuple[str, int] | None] = field(default_factory=dict)

    def __call__(self, detector: Key, profile: str) -> None:
        """Note the profile of a detector; "" when the detector is gone."""
        before = self._profile_of.pop(detector, "")
        if profile:
            self._profile_of[detector] = profile
        if before != profile:
            for name in (before, profile):
                if name:
                    self.wake(keys.profile(name))

    def saw(self, profile: str, version: tuple[str, int] | None) -> None:
        """Wake the users of a profile whose UID and generation are not those of the last look; None: it is gone.

        The generation alone does not tell: that of a profile which was deleted and made anew is 1 again.
        """
        if profile in self._versions and self._versions[profile] == version:
            return
        self._versions[profile] = version
        for user in self.users(profile):
            self.wake(user)

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

    async def reconcile(self, key: Key) -> float | None:
        """Do one pass; see `loop.Reconciler`."""
        obj = await self.shell.client.get(kinds.ACCELERATOR_PROFILE, "", key.name)
        if obj is None or converge.leaving(obj):
            self.uses.saw(key.name, None)
            return None
        self.uses.saw(key.name, (obj["metadata"]["uid"], obj["metadata"]["generation"]))
        # Asked of the API server and not of memory: after a start memory knows nobody yet.
        in_use = await self._in_use(key.name)
        try:
            exporter = await self._converge(key, obj, in_use=in_use)
        except errors.UserError as error:
            await self._write(obj, profiles.judge_error(error))
            return self.shell.after(error)
        await self._write(obj, profiles.judge(exporter, in_use=in_use), exporter)
        return self.shell.resync()

    async def _in_use(self, profile: str) -> bool:
        for namespace in self.shell.options.namespaces or ("",):
            for obj in await self.shell.client.list(kinds.EDGEDETECTOR, namespace):
                if obj["spec"].get("acceleratorProfile") == profile and not converge.leaving(obj):
                    return True
        return False

    async def _converge(self, key: Key, obj: Object, *, in_use: bool) -> Workload | None:
        """Make the exporter's objects what the profile asks for and return what its DaemonSet reports."""
        profile = AcceleratorProfile.parse(obj)
        served = await self.shell.discovery.served()
        facts = plan.Facts(served)
        desired = plan.profile_children(profile, self.shell.settings, facts) if in_use else ()
        live = await self._children(key, served)
        if await self.shell.converge(key, desired, live, profile.uid):
            live = await self._children(key, served)
        return next((kubelet.daemon(child) for child in live if child["kind"] == "DaemonSet"), None)

    async def _children(self, key: Key, served: frozenset[str]) -> tuple[Object, ...]:
        selector = f"{names.LABEL_PROFILE}={key.name}"
        place = self.shell.settings.operator_namespace
        return await converge.gather(self.shell.client, plan.PROFILE_CHILD_KINDS, place, selector, served)

    async def _write(self, obj: Object, judged: tuple[Condition, ...], exporter: Workload | None = None) -> None:
        before = obj.get("status") or {}
        generation = obj["metadata"]["generation"]
        now = self.shell.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted: dict[str, Any] = {
            "observedGeneration": generation,
            "conditions": compose.timed(judged, before.get("conditions") or (), generation, now),
        }
        if exporter is not None:
            wanted["exporters"] = {"desired": exporter.desired, "ready": exporter.available}
        if wanted != before:
            await self.shell.client.replace_status(obj, wanted, names.FIELD_MANAGER)


@dataclass(slots=True)
class ShippedReconciler:
    """Keeps the shipped profiles as they are shipped; leaves all others alone."""

    shell: Shell
    bodies: tuple[dict[str, Any], ...]

    async def reconcile(self, _key: Key) -> float | None:
        """Do one pass; see `loop.Reconciler`. The next one is the process's sign of life, so it always comes."""
        live = {obj["metadata"]["name"]: obj for obj in await self.shell.client.list(kinds.ACCELERATOR_PROFILE)}
        for body in self.bodies:
            before = live.get(body["metadata"]["name"])
            field_path = "new" if before is None else diff.difference(body, before, SHIPPED_MANAGER)
            if field_path:
                after = await self.shell.client.apply(body, SHIPPED_MANAGER)
                same = before is not None and converge.version(after) == converge.version(before)
                self.shell.metrics.applies.labels(body["kind"], "unchanged" if same else "changed").inc()
                said = about(f"AcceleratorProfile/{body['metadata']['name']}", field=field_path)
                logger.info("shipped profile applied", extra=said)
        return self.shell.resync()
