"""Lists of parts in CycloneDX's format (SBOM), whose numbers and times depend on what is listed alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL

NAMESPACE: Final = uuid.UUID("8ab9fbd4-8f5a-5f0e-9d0b-0b6a0d1f4c55")
"""Of the serial numbers; any number that stays."""
DISTRIBUTION: Final = "debian-12"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One part. `kind` and `home` are those of images/parts.py; `licence` is an SPDX expression, empty if not known."""

    kind: str
    name: str
    version: str = ""
    home: str = ""
    licence: str = ""


def document(name: str, version: str, kind: str, parts: Iterable[Part], *, epoch: int, architecture: str = "") -> str:
    """Return a CycloneDX 1.5 document in JSON.

    Parameters
    ----------
    name, version, kind
        What consists of the parts; kind is `container` or `application`.
    epoch
        The time that it bears, in seconds since 1970.
    architecture
        Debian's name of it, for its packages.
    """
    bom = Bom()
    whole = Component(name=name, version=version, type=ComponentType(kind), bom_ref=f"{name}@{version}")
    bom.metadata.component = whole
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    listed = sorted(set(parts))
    for part in listed:
        bom.components.add(_component(part, architecture))
    bom.register_dependency(whole, bom.components)
    bom.serial_number = uuid.uuid5(NAMESPACE, repr((name, version, kind, listed, epoch)))
    return _sorted(json.loads(JsonV1Dot5(bom).output_as_string()))


def of_lock(exported: str, epoch: int) -> str:
    """Return what `uv export --format cyclonedx1.5` wrote, without its time and its random number."""
    found: dict[str, Any] = json.loads(exported)
    found["metadata"]["timestamp"] = datetime.fromtimestamp(epoch, UTC).isoformat()
    del found["serialNumber"]
    found["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, _sorted(found))}"
    return _sorted(found)


def _component(part: Part, architecture: str) -> Component:
    licences = [_licence(part.licence)] if part.licence else []
    reference = "/".join(word for word in (part.kind, part.home, part.name, part.version) if word)
    return Component(
        type=ComponentType.FILE if part.kind == "file" else ComponentType.LIBRARY,
        name=part.name,
        version=part.version or None,
        purl=_address(part, architecture),
        licenses=licences,
        properties=[Property(name="edgedetector:home", value=part.home)] if part.home else [],
        bom_ref=reference,
    )


def _licence(expression: str) -> DisjunctiveLicense | LicenseExpression:
    """Return the licence; what has a name of our own is no expression that everybody can read."""
    if expression.startswith("LicenseRef-"):
        return DisjunctiveLicense(name=expression)
    return LicenseExpression(expression)


def _address(part: Part, architecture: str) -> PackageURL | None:
    if part.kind == "Debian":
        qualifiers = {"arch": architecture, "distro": DISTRIBUTION} if architecture else {"distro": DISTRIBUTION}
        return PackageURL("deb", "debian", part.name, part.version, qualifiers)
    if part.kind == "Python":
        return PackageURL("pypi", None, part.name, part.version)
    if part.kind == "Go" and part.name != "std":
        namespace, _, name = part.name.rpartition("/")
        return PackageURL("golang", namespace or None, name, part.version)
    return None


def _sorted(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
