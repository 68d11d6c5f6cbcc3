"""`report`: everything that support asks for, in one zip, without secrets."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import click

import edgedetector
from edgedetector.api import names
from edgedetector.cli import anatomy, redact, render, summary
from edgedetector.cli.app import Session, everywhere_option, main, namespace_option, optional_name
from edgedetector.cli.codes import diagnose
from edgedetector.cli.diagnosing import diagnosis
from edgedetector.cli.errors import CommandError
from edgedetector.cli.gather import Wanted, collection
from edgedetector.cli.server import Server
from edgedetector.cli.snapshot import Gap, Object, Snapshot

LINES: Final = 2000
"""Of each container's log."""
VERBOSE: Final = 4 << 20
"""Bytes of Triton's verbose log of a trace: about 4 kB a request."""
_ABOUT: Final = """Report of kubectl edgedetector {version}, {time}.

Secrets were not read. Of addresses scheme, host and port are left; what looked like a password anywhere was taken out
everywhere. Names of nodes, cameras and namespaces, and hosts, are as they are. Look it through before you send it.
"""


@main.command()
@optional_name
@namespace_option
@everywhere_option
@click.option("-f", "--file", "path", type=click.Path(dir_okay=False), help="Where to; - is standard output.")
@click.option("--logs/--no-logs", default=True, show_default=True, help="Whether logs are in it.")
@click.pass_obj
def report(
    session: Session, name: str, namespace: str | None, path: str | None, *, everywhere: bool, logs: bool
) -> None:
    """Pack objects, figures, findings and logs for support, without secrets."""
    server = session.at().server
    wanted = Wanted(session.namespace(namespace, everywhere=everywhere), name, cluster=True, pods=True, traces=True)
    seen = session.look(wanted)
    if not seen.subjects:
        raise CommandError("there is no EdgeDetector to report on", "look in all namespaces with -A")
    told, gaps = _logs(server, seen if logs else replace(seen, subjects=()), operator=logs)
    packed = pack(replace(seen, gaps=(*seen.gaps, *gaps)), told)
    target = path or f"edgedetector-report-{seen.at:%Y%m%d-%H%M%S}.zip"
    if target == "-":
        click.echo(packed, nl=False)
        return
    try:
        Path(target).write_bytes(packed)
    except OSError as error:
        raise CommandError(f"{target}: {error.strerror}", "name another place with -f") from None
    click.echo(f"{target}: {len(packed) // 1024 + 1} kB, without secrets; look it through before you send it")


def _logs(server: Server, seen: Snapshot, *, operator: bool) -> tuple[dict[str, str], tuple[Gap, ...]]:
    told: dict[str, str] = {}
    gaps: list[Gap] = []
    ends = {where: end for where, _, _, end in _verbose(seen)}
    extra = [(where, path, query) for where, path, query, _ in _verbose(seen)]
    for where, path, query in (*_wanted(server, seen, operator=operator), *extra):
        try:
            told[where] = server.text(path, query)
        except CommandError as error:
            if "previous" not in query:
                gaps.append(Gap(f"log {where}", str(error)))
        else:
            told[where] = _until(told[where], ends.get(where, ""))
    return told, tuple(gaps)


def _verbose(seen: Snapshot) -> Iterator[tuple[str, str, Mapping[str, str], str]]:
    """Yield file, path and query of Triton's log of the last trace of each pod, and its end, where it was verbose."""
    for subject in seen.subjects:
        for pod, found in sorted(subject.traces.items()):
            if found.verbose:
                query = {"container": names.CONTAINER_TRITON, "sinceTime": found.began, "timestamps": "true",
                         "limitBytes": str(VERBOSE)}  # fmt: skip
                path = collection("v1", "pods", subject.namespace, pod) + "/log"
                yield f"logs/{subject.namespace}/{pod}/{names.CONTAINER_TRITON}.trace.log", path, query, found.ended


def _until(text: str, end: str) -> str:
    """Return the lines that were written up to a time: each begins with its own. Empty: all."""
    if not end:
        return text
    last = datetime.fromisoformat(end)
    return "".join(line for line in text.splitlines(keepends=True) if (_time(line) or last) <= last)


def _time(line: str) -> datetime | None:
    try:
        return datetime.fromisoformat(line.partition(" ")[0])
    except ValueError:
        return None


def _wanted(server: Server, seen: Snapshot, *, operator: bool) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield file, path and query of each container's log, and of its run before if it was restarted."""
    pods = [pod for subject in seen.subjects for pod in subject.pods]
    try:
        selector = f"{names.LABEL_NAME}={names.OPERATOR}"
        found = server.get("/api/v1/pods", selector=selector) if operator else {}
        pods += found.get("items") or ()
    except CommandError:
        pass  # who may not see the operator reports without its log
    for pod in pods:
        status = pod.get("status") or {}
        space, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        path = collection("v1", "pods", space, name) + "/log"
        for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            query = {"container": one["name"], "tailLines": str(LINES)}
            yield f"logs/{space}/{name}/{one['name']}.log", path, query
            if one.get("restartCount"):
                yield f"logs/{space}/{name}/{one['name']}.previous.log", path, {**query, "previous": "true"}


def pack(seen: Snapshot, logs: Mapping[str, str]) -> bytes:
    """Return the zip: one directory with texts and JSON. Pure."""
    objects = list(_objects(seen))
    secrets = redact.known([*(obj for _, obj in objects), *logs.values()])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, words in {**_texts(seen), **logs}.items():
            archive.writestr(f"report/{name}", redact.text(words, secrets))
        for name, obj in objects:
            body = json.dumps(redact.value(obj, secrets), indent=1, ensure_ascii=False, default=str)
            archive.writestr(f"report/{name}", body)
    return out.getvalue()


def _texts(seen: Snapshot) -> dict[str, str]:
    status, found = summary.status(seen), diagnosis(seen, diagnose(seen))
    return {
        "ABOUT.txt": _ABOUT.format(version=edgedetector.__version__, time=seen.at.isoformat(timespec="seconds")),
        "status.txt": render.text(render.status(status), width=160),
        "status.json": render.machine(status, "json"),
        "findings.txt": render.text(render.findings(found), width=160),
        "findings.json": render.machine(found, "json"),
    }


def _objects(seen: Snapshot) -> Iterator[tuple[str, Object]]:
    for subject in seen.subjects:
        root = f"{subject.namespace}/{subject.name}"
        yield f"{root}/edgedetector.json", subject.obj
        for kind, objects in (("children", subject.children), ("pods", subject.pods), ("events", subject.events)):
            yield f"{root}/{kind}.json", {"items": list(objects)}
        for pod, found in sorted(subject.traces.items()):
            fields = anatomy.described(found, pod)
            told = summary.document("Trace", seen, namespace=subject.namespace, name=subject.name, **fields)
            yield f"{root}/trace-{pod}.json", told
    cluster = seen.cluster
    yield "cluster/nodes.json", {"items": list(cluster.nodes or ())}
    yield "cluster/profiles.json", {"items": list((cluster.profiles or {}).values())}
    yield "cluster/operators.json", {"items": list(cluster.operators or ())}
    yield "cluster/prometheuses.json", {"items": list(cluster.prometheuses or ())}
