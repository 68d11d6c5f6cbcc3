"""Writes docs/reference/ from what is true: the definitions of the resources, the commands' own help, the metrics.

`python hack/reference.py` after a change of one of them; a unit test says when the pages are stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import yaml
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "operator"))

from edgedetector.api.profile import Figure  # noqa: E402
from edgedetector.cli.commands import main as commands  # noqa: E402
from edgedetector.controller.metrics import Metrics as OperatorMetrics  # noqa: E402
from edgedetector.detector.metrics import Metrics as DetectorMetrics  # noqa: E402
from edgedetector.go2rtc.families import exporter_families, stream_families  # noqa: E402
from edgedetector.go2rtc.state import MediaState, StreamState  # noqa: E402
from edgedetector.go2rtc.totals import Totals  # noqa: E402
from edgedetector.media.metrics import exposition  # noqa: E402
from edgedetector.plan.figures import RECORDED  # noqa: E402
from edgedetector.plan.objectives import LATE, UNDETECTED  # noqa: E402

Json = Mapping[str, Any]

FIELD: Final = ("field", "type", "default", "bounds", "what it says")
FOLDER: Final = ROOT / "docs" / "reference"
WRITTEN: Final = "Written by `python hack/reference.py`.\n"
BOUNDS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters at most",
    "minItems": "{} entries or more",
    "maxItems": "{} entries at most",
    "minProperties": "{} keys or more",
    "maxProperties": "{} keys at most",
    "pattern": "matches `{}`",
}
RULES: Final = "x-kubernetes-validations"
_MEDIA: Final = MediaState(generation=0, revision="", ready=True, streams=(StreamState("camera", "Live"),))
"""Of one stream, so that series of streams have labels."""
FIGURES: Final[dict[Figure, str]] = {
    "utilization": "How busy the accelerator is, 0 to 1.",
    "memoryUsed": "Device memory in use.",
    "memoryFree": "Device memory that is free.",
    "memoryTotal": "Device memory in all.",
    "temperature": "Temperature of the device.",
    "power": "Power drawn by the device.",
    "pcieWidth": "PCIe lanes in use.",
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(_cell(one) for one in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# Resources


def resource(path: Path) -> str:
    """Return the page of a CustomResourceDefinition."""
    definition = yaml.safe_load(path.read_text())["spec"]
    kind, (version,) = definition["names"]["kind"], definition["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = [
        f"# Fields of {kind}\n\n{WRITTEN}",
        f"`{definition['group']}/{version['name']}`, {definition['scope'].lower()}. {_cell(schema['description'])}\n",
        _rules("metadata", schema),
    ]
    for top in ("spec", "status"):
        parts.append(f"## {top}\n")
        parts += _sections(top, schema["properties"][top])
    columns = version.get("additionalPrinterColumns", ())
    parts.append("## Columns of `kubectl get`\n")
    rows = ((one["name"], one.get("description", ""), "`-o wide`" if one.get("priority") else "") for one in columns)
    parts.append(table(("column", "what it says", "shown"), rows))
    return "\n".join(filter(None, parts))


def _sections(top: str, schema: Json) -> Iterator[str]:
    """Yield a table for the plain fields, and a section for each field that has fields of its own."""
    properties = schema["properties"]
    required = set(schema.get("required", ()))
    deep = {name for name, one in properties.items() if _inner(one)}
    yield table(FIELD, (_row(name, one, name in required) for name, one in properties.items()))
    yield _rules(top, schema)
    for name in properties:
        if name not in deep:
            continue
        one = properties[name]
        path, inner = _step(f"{top}.{name}", one)
        yield f"### {path}\n"
        yield table(FIELD, _fields("", inner))
        yield _rules(path, one, deeply=True)


def _fields(prefix: str, schema: Json) -> Iterator[tuple[str, ...]]:
    required = set(schema.get("required", ()))
    for name, one in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield _row(path, one, name in required)
        if _inner(one):
            stepped, inner = _step(path, one)
            yield from _fields(f"{stepped}.", inner)


def _inner(schema: Json) -> bool:
    _, inner = _step("", schema)
    return bool(inner.get("properties"))


def _step(path: str, schema: Json) -> tuple[str, Json]:
    """Return the path and schema of what a field holds: of a list its entries, of a map its values."""
    if schema.get("type") == "array":
        return f"{path}[]", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"].get("properties"):
        return f"{path}.KEY", schema["additionalProperties"]
    return path, schema


def _row(path: str, schema: Json, required: bool) -> tuple[str, ...]:  # noqa: FBT001
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
    said = schema.get("description", "")
    return f"`{path}`", _type(schema), "required" if required else default, _bounds(schema), said


def _type(schema: Json) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return f"map of {_type(values)}"
    return str(schema.get("type", "any"))


def _bounds(schema: Json) -> str:
    found = [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    if "enum" in schema:
        found.insert(0, ", ".join(f"`{one}`" for one in schema["enum"]))
    entries = schema.get("items") or schema.get("additionalProperties")
    if isinstance(entries, dict) and not entries.get("properties") and (inner := _bounds(entries)):
        found.append(f"each: {inner}")
    return "; ".join(found)


def _rules(path: str, schema: Json, *, deeply: bool = False) -> str:
    """Return the CEL rules of a field, or of all below it, as the API server words a refusal."""
    found = list(_validations(path, schema)) if deeply else [(path, one) for one in schema.get(RULES, ())]
    lines = [f"- `{where}{one.get('fieldPath', '')}`: {_cell(one['message'])}" for where, one in found]
    return "The API server refuses:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _validations(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    yield from ((path, one) for one in schema.get(RULES, ()))
    for name, one in schema.get("properties", {}).items():
        yield from _validations(f"{path}.{name}", one)
    for key, mark in (("items", "[]"), ("additionalProperties", ".KEY")):
        if isinstance(schema.get(key), dict):
            yield from _validations(path if path.endswith(mark) else f"{path}{mark}", schema[key])


# Commands


def command_line() -> str:
    """Return the page of all commands, as their own help has it."""
    parts = [f"# Commands and flags\n\n{WRITTEN}\n[Usage, exit codes and documents](../cli.md) are told elsewhere.\n"]
    parts.append("## kubectl edgedetector\n\nBefore the command:\n\n" + _options(commands))
    for name, command in sorted(commands.commands.items()):
        if command.hidden:
            continue
        usage = " ".join(
            f"[{one.human_readable_name}]" if not one.required else one.human_readable_name
            for one in command.params
            if isinstance(one, click.Argument)
        )
        parts.append(f"## {name}\n\n`kubectl edgedetector {' '.join(filter(None, (name, '[FLAGS]', usage)))}`\n")
        parts.append(" ".join((command.help or "").split()) + "\n")
        parts.append(_options(command))
    return "\n".join(filter(None, parts))


def _options(command: click.Command) -> str:
    rows = []
    for one in command.params:
        if not isinstance(one, click.Option) or one.hidden:
            continue
        flags = ", ".join(f"`{flag}`" for flag in (*one.opts, *one.secondary_opts))
        kind = "" if one.is_flag or one.flag_value is True else _kind(one)
        default = "" if one.is_flag or not isinstance(one.default, (str, int, float)) else f"`{one.default}`"
        rows.append((flags, kind, default, one.help or ""))
    return table(("flag", "value", "default", "what it does"), rows) if rows else ""


def _kind(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{one}`" for one in option.type.choices)
    if isinstance(option.type, (click.FloatRange, click.IntRange)):
        ends = (("from", option.type.min), ("to", option.type.max))
        return " ".join(["number", *(f"{word} {end:g}" for word, end in ends if end is not None)])
    return option.type.name


# Metrics


def metrics() -> str:
    """Return the page of all series, from the objects that make them."""
    parts = [
        f"# Metrics\n\n{WRITTEN}",
        "A counter's name has its suffix `_total` here; a histogram has `_bucket`, `_sum` and `_count`.\n",
        "## Inference pods, port 9090\n", _series(_registered(DetectorMetrics().registry)),
        "Beside these, `process_*` of Prometheus' client, and Triton's own on port 8002.\n",
        "## Media pods, port 1984\n", _series(_read(exposition(_MEDIA))),
        "## go2rtc, with a media pod's and from `go2rtc-exporter`\n", _series(_go2rtc()),
        "## Operator, port 9090\n", _series(_registered(OperatorMetrics().registry)),
        "## Recorded by our rules\n", table(("series", "what"), _recorded()),
    ]  # fmt: skip
    return "\n".join(parts)


def _registered(registry: CollectorRegistry) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Yield what a registry's own collectors describe, with their labels; not what libraries put there."""
    for collector in registry._collector_to_names:  # noqa: SLF001 - the library names labels nowhere else
        labels = getattr(collector, "_labelnames", None)
        if labels is not None:
            yield from ((metric, tuple(labels)) for metric in collector.describe())


def _read(text: str) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    for metric in text_string_to_metric_families(text):
        yield metric, tuple(dict.fromkeys(key for one in metric.samples for key in one.labels))


def _go2rtc() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    nothing = Totals()
    for metric in (*stream_families(nothing, 0.0), *exporter_families(nothing)):
        yield metric, tuple(getattr(metric, "_labelnames", ()))


def _series(found: Iterable[tuple[Metric, tuple[str, ...]]]) -> str:
    rows = (
        (f"`{_name(metric)}`", metric.type, ", ".join(f"`{one}`" for one in labels), metric.documentation)
        for metric, labels in sorted(found, key=lambda one: one[0].name)
    )
    return table(("series", "type", "labels", "what"), rows)


def _name(metric: Metric) -> str:
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _recorded() -> Iterator[tuple[str, str]]:
    yield f"`{UNDETECTED}`", "Share of the specification's cameras without detections."
    yield f"`{LATE}`", "Share of the frames whose result came later than the objective allows."
    for figure, name in RECORDED.items():
        yield f"`{name}`", FIGURES[figure]


INDEX: Final = f"""# Reference

{WRITTEN}
- [Fields of EdgeDetector](edgedetector.md)
- [Fields of AcceleratorProfile](acceleratorprofile.md)
- [Commands and flags](commands.md)
- [Metrics](metrics.md)

Written by people: [values of the chart](../install.md#values), [conditions](../conditions.md),
[codes](../codes/README.md), [documents of the command line](../cli.md#for-programs).
"""


def pages() -> dict[str, str]:
    """Return name and text of every page."""
    return {
        "README.md": INDEX,
        "edgedetector.md": resource(ROOT / "crds/edgedetector.dev_edgedetectors.yaml"),
        "acceleratorprofile.md": resource(ROOT / "crds/edgedetector.dev_acceleratorprofiles.yaml"),
        "commands.md": command_line(),
        "metrics.md": metrics(),
    }


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
