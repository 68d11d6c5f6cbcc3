"""Would a server-side apply change anything? Answered from the live object alone, without a request.

The API server records in `metadata.managedFields` which fields our last apply set. Two things follow:

* a field that somebody else changed is no longer ours (an update takes the field away from its manager),
* a field that we once set and no longer want is still ours.

So nothing differs exactly when the fields we own are the fields we want, and the wanted values are the live ones.
No annotation on the children and no memory of earlier passes is needed: a restarted operator comes to the same
answer. A wrong "differs" costs one request that the API server finds to be no change (it writes nothing and
keeps the resourceVersion).
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

Json = Any

# These identify the object; apply does not own them.
_IDENTITY: Final = frozenset({"apiVersion", "kind"})
_IDENTITY_METADATA: Final = frozenset({"name", "namespace"})

_SUFFIX: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([A-Za-z]{0,2})\Z")
# Where the server parses and prints quantities; anywhere else "1" and "1000m" are different texts.
_QUANTITY_PATH: Final = re.compile(r"\.(resources\.|sizeLimit\Z|averageValue\Z)")

# Keys of associative lists that the API server fills in: a Service or container port without a protocol is TCP.
_KEY_DEFAULTS: Final = {"protocol": "TCP"}


def difference(desired: Json, live: Json, manager: str) -> str:
    """Return the path of the first field that an apply by `manager` would change, or "" if there is none.

    Parameters
    ----------
    desired
        The object as it would be applied.
    live
        The object as the API server returns it, managedFields included.
    manager
        Field manager of the apply.
    """
    owned = owned_fields(live, manager)
    if owned is None:
        return "metadata.managedFields"
    wanted = {key: value for key, value in desired.items() if key not in _IDENTITY}
    wanted["metadata"] = {k: v for k, v in desired.get("metadata", {}).items() if k not in _IDENTITY_METADATA}
    if not wanted["metadata"]:
        del wanted["metadata"]
    return _object(wanted, live, owned, "")


def owned_fields(live: Json, manager: str) -> dict[str, Any] | None:
    """Return the tree of fields that `manager` set by apply, or None if it never applied this object."""
    for entry in live.get("metadata", {}).get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            tree: dict[str, Any] = entry.get("fieldsV1") or {}
            return tree
    return None


def difference_at(desired: Json, live: Json, manager: str, *path: str) -> str:
    """Return what `difference` returns, for the part of the object under these names; `desired` is that part."""
    owned = owned_at(live, manager, *path)
    if owned is None:
        return "metadata.managedFields"
    part = live
    for name in path:
        part = part[name]
    return _value(desired, part, owned, ".".join(path))


def owns(live: Json, manager: str, *path: str) -> bool:
    """Tell whether the field of this name in the objects of these names was set last by an apply of `manager`."""
    return owned_at(live, manager, *path) is not None


def owned_at(live: Json, manager: str, *path: str) -> dict[str, Any] | None:
    """Return the tree of fields under these names that `manager` set by apply, or None if it set none."""
    return descend(owned_fields(live, manager), *path)


def descend(owned: dict[str, Any] | None, *path: str) -> dict[str, Any] | None:
    """Return the part of a tree of fields under these names, or None if there is none."""
    for name in path:
        owned = None if owned is None else owned.get(f"f:{name}")
    return owned


def other_managers(live: Json, manager: str) -> list[dict[str, Any]]:
    """Return the trees of fields that others than `manager` have set last."""
    entries = live.get("metadata", {}).get("managedFields") or ()
    return [entry.get("fieldsV1") or {} for entry in entries if entry.get("manager") != manager]


def _value(desired: Json, live: Json, owned: dict[str, Any], path: str) -> str:
    """Compare one value; `owned` without children means that the value is owned as a whole."""
    children = {key: tree for key, tree in owned.items() if key != "."}
    if not children:
        return "" if contains(live, desired, path) else path
    if isinstance(desired, dict) and isinstance(live, dict):
        return _object(desired, live, children, path)
    if isinstance(desired, list) and isinstance(live, list):
        return _list(desired, live, children, path)
    return path


def _object(desired: dict[str, Any], live: dict[str, Any], owned: dict[str, Any], path: str) -> str:
    wanted = {key: value for key, value in desired.items() if value is not None}
    for key, value in wanted.items():
        here = f"{path}.{key}" if path else key
        tree = owned.get(f"f:{key}")
        if tree is None or key not in live:
            # An empty collection leaves no trace where the server drops empty values.
            if value in ({}, []) and not live.get(key):
                continue
            return here
        if found := _value(value, live[key], tree, here):
            return found
    for field in owned:
        if field.startswith("f:") and field[2:] not in wanted:
            return f"{path}.{field[2:]}" if path else field[2:]
    return ""


def _list(desired: list[Any], live: list[Any], owned: dict[str, Any], path: str) -> str:
    """Compare an associative list (`k:` entries) or a set (`v:` entries), of which we own some items."""
    if len(desired) != len(owned):
        return path
    for item, tree in owned.items():
        selector = json.loads(item[2:])
        if item.startswith("v:"):
            if selector not in desired or selector not in live:
                return path
            continue
        want, have = _item(desired, selector), _item(live, selector)
        here = f"{path}[{','.join(str(value) for value in selector.values())}]"
        if want is None or have is None:
            return here
        # The server adds defaulted keys to what we own without our having sent them.
        keys = {f"f:{key}" for key in selector if key not in want}
        if found := _value(want, have, {k: v for k, v in tree.items() if k not in keys}, here):
            return found
    return ""


def _item(items: list[Any], selector: dict[str, Any]) -> dict[str, Any] | None:
    for item in items:
        if isinstance(item, dict) and all(
            item.get(key, _KEY_DEFAULTS.get(key)) == value for key, value in selector.items()
        ):
            return item
    return None


def contains(live: Json, desired: Json, path: str = "") -> bool:
    """Tell whether `live` says what `desired` says; the server may have added defaulted fields to objects."""
    if desired in ({}, [], None) and live in ({}, [], None):
        return True
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            contains(live.get(key), value, f"{path}.{key}") for key, value in desired.items() if value is not None
        )
    if isinstance(desired, list):
        return (
            isinstance(live, list)
            and len(live) == len(desired)
            and all(contains(have, want, path) for have, want in zip(live, desired, strict=True))
        )
    if type(live) is type(desired) and live == desired:
        return True
    return _QUANTITY_PATH.search(path) is not None and _same_quantity(live, desired)


def _same_quantity(live: Json, desired: Json) -> bool:
    """1024Mi comes back as 1Gi, 0.5 as 500m, and 2 as "2"."""
    have, want = _quantity(str(live)), _quantity(str(desired))
    return have is not None and have == want


def _quantity(text: str) -> Decimal | None:
    match = _QUANTITY.match(text)
    if match is None or match[2] not in _SUFFIX:
        return None
    try:
        return Decimal(match[1]) * _SUFFIX[match[2]]
    except InvalidOperation:
        return None
