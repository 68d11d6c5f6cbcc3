"""Whose an object is: only what is ours, or was, may be applied over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgedetector.api import names
from edgedetector.cluster import diff

if TYPE_CHECKING:
    from edgedetector.cluster.client import Object

# Of the shipped profiles: what a user adds to one under other fields stays.
SHIPPED_MANAGER: Final = f"{names.FIELD_MANAGER}-shipped"

# Labels that name the parent.
_PARENT: Final = (names.LABEL_DETECTOR, names.LABEL_PROFILE)


def is_shipped(profile: Object) -> bool:
    """Tell whether a live profile was made by the operator: one that somebody else made has only the name of one."""
    return diff.owned_fields(profile, SHIPPED_MANAGER) is not None


def version_of(profile: Object) -> str:
    """Return what changes whenever somebody changes the profile, "" for one that the operator alone has written.

    Such a one, and one that is a file, is a part of the operator's release.
    """
    metadata = profile["metadata"]
    entries = metadata.get("managedFields") or ()
    writers = {entry.get("manager") for entry in entries if "f:spec" in (entry.get("fieldsV1") or {})}
    if writers == {SHIPPED_MANAGER} or "uid" not in metadata:
        return ""
    return f"{metadata['uid']}/{metadata['generation']}"


def owned_by(obj: Object, uid: str) -> bool:
    """Tell whether the object names this owner; a label alone could be anybody's."""
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or ())


def may_take(live: Object, desired: Object, owner_uid: str, manager: str) -> bool:
    """Tell whether `desired` may be applied over `live`: it is the owner's child, or one that lost its owner.

    A child that outlived its owner (deleted with --cascade=orphan, or just now and made anew) was applied by
    `manager`, still carries the parent's label, and names no owner but one of the same kind and name: that one is
    dead, since a name has one bearer at a time.
    """
    if owned_by(live, owner_uid):
        return True
    if diff.owned_fields(live, manager) is None:
        return False
    have, want = live["metadata"].get("labels") or {}, desired["metadata"].get("labels") or {}
    parents = {_bearer(owner) for owner in desired["metadata"].get("ownerReferences") or ()}
    strangers = {_bearer(owner) for owner in live["metadata"].get("ownerReferences") or ()} - parents
    return not strangers and any(want.get(label, "") == have.get(label) for label in _PARENT)


def _bearer(owner: Object) -> tuple[str, str, str]:
    return owner.get("apiVersion", "").partition("/")[0], owner.get("kind", ""), owner.get("name", "")
