"""`size`: whether a box carries its cameras, before it is bought or while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import click
from rich.table import Table

from edgedetector.api.quantities import parse_quantity
from edgedetector.cli import files, render, sizing
from edgedetector.cli.app import Session, main, namespace_option, optional_name, output_option, show
from edgedetector.cli.errors import FOUND, CommandError
from edgedetector.cli.gather import Wanted
from edgedetector.cli.snapshot import Snapshot
from edgedetector.cli.summary import document

Json = dict[str, Any]

MEASURED: Final = 2.0
"""Seconds over which the cameras' bytes are measured."""


def amount(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return an amount as Kubernetes writes it, e.g. 16Gi, in bytes."""
    try:
        return float(parse_quantity(value)) if value is not None else None
    except ValueError:
        raise click.BadParameter(f"{value!r} is no amount; write for example 16Gi") from None


POSITIVE: Final = click.FloatRange(0, min_open=True)


@main.command()
@optional_name
@namespace_option
@click.option("-f", "--filename", "paths", multiple=True, help="File or directory with the EdgeDetector; - is stdin.")
@click.option("--cameras", type=click.IntRange(1, 100_000), help="Instead of an EdgeDetector: so many cameras.")
@click.option("--frame-rate", type=POSITIVE, default=5.0, show_default=True, help="Of these, frames a second each.")
@click.option("--main-stream", is_flag=True, help="These have no sub-stream.")
@click.option("--images-per-second", type=POSITIVE, help="What the accelerator serves, as benchmarked; all devices.")
@click.option("--cores", type=POSITIVE, help="Of the box.")
@click.option("--memory", callback=amount, help="Of the box, e.g. 16Gi.")
@click.option("--device-memory", callback=amount, help="Of the accelerator, e.g. 8Gi.")
@click.option("--instance-memory", callback=amount, help="Of the accelerator, for one instance of a model.")
@click.option("--link", type=POSITIVE, default=1000.0, show_default=True, help="Of the box's network, in Mbit/s.")
@output_option
@click.pass_obj
def size(  # noqa: PLR0917 - click gives them by name
    session: Session,
    name: str,
    namespace: str | None,
    paths: tuple[str, ...],
    cameras: int | None,
    frame_rate: float,
    images_per_second: float | None,
    cores: float | None,
    memory: float | None,
    device_memory: float | None,
    instance_memory: float | None,
    link: float,
    output: str | None,
    *,
    main_stream: bool,
) -> None:
    """Say what cameras need of accelerator, processors, memory and network, and whether the box has it.

    Of an EdgeDetector that runs (NAME), of one in a file (-f), or of so many cameras (--cameras). What is stated goes
    before what is known. Exit code 0: nothing that is known is too small; 1: something is.
    """
    if sum(map(bool, (name, paths, cameras))) != 1:
        raise CommandError("it is not clear of what", "give one of NAME, --filename and --cameras")
    if cameras:
        mains = cameras if main_stream else 0
        load = sizing.Load(cameras, mains, cameras * frame_rate, sizing.assumed(cameras, mains))
        seen, box, title = Snapshot(at=session.now(), live=False), sizing.Box(), ""
    else:
        seen = _looked(session, name, namespace, paths)
        if len(seen.subjects) != 1:
            raise CommandError(f"there are {len(seen.subjects)} EdgeDetectors in what was given", "give one at a time")
        (subject,) = seen.subjects
        detector = subject.parsed()
        if detector is None:
            raise CommandError(
                f"the specification of {subject.name} is wrong", "kubectl edgedetector diagnose says how"
            )
        nodes = {one["metadata"]["name"]: one for one in seen.cluster.nodes or ()}
        load, box = sizing.load(subject, detector), sizing.known(subject, detector, nodes)
        title = f"{subject.namespace}/{subject.name}"
    box = replace(
        box,
        cores=cores or box.cores,
        memory=memory or box.memory,
        device_memory=device_memory or box.device_memory,
        instance_memory=instance_memory,
        link=link * 1e6 / 8,
    )
    if images_per_second is not None:
        box = replace(box, capacity=images_per_second, capacity_from="stated")
    found = sized(seen, title, load, box)
    show(found, output, lines)
    if not found["fits"]:
        click.get_current_context().exit(FOUND)


def _looked(session: Session, name: str, namespace: str | None, paths: tuple[str, ...]) -> Snapshot:
    if paths:
        return files.read(paths, session.now())
    return session.look(Wanted(session.namespace(namespace), name, cluster=True, pods=True, seconds=MEASURED))


def sized(seen: Snapshot, title: str, load: sizing.Load, box: sizing.Box) -> Json:
    """Return the document of `size`. Pure."""
    found = sizing.needs(load, box)
    told = [
        {
            "name": one.resource,
            "need": _rounded(one.need),
            "room": _rounded(one.room),
            "share": _rounded(one.share),
            "unit": one.unit,
            "from": one.said,
        }
        for one in found
    ]
    fields: Json = {
        "of": title,
        "cameras": load.cameras,
        "inferencesPerSecond": _rounded(load.inferences),
        **sizing.verdict(load, found),
        "resources": told,
    }
    return document("Sizing", seen, **fields)


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None


def lines(found: Json) -> list[Any]:
    """Return what `size` shows."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("RESOURCE", "NEEDED", "ROOM", "UNIT", "SHARE", "FROM"):
        table.add_column(column, no_wrap=column != "FROM", overflow="fold")
    for one in found["resources"]:
        share = f"{one['share']:.0%}" if one["share"] is not None else "?"
        table.add_row(one["name"], _figure(one["need"]), _figure(one["room"]), one["unit"], share, one["from"])
    most = found["camerasAtMost"]
    words = "it fits" if found["fits"] else f"too small: {found['fullFirst']}"
    unknown = f"; not known: {', '.join(found['unknown'])}" if found["unknown"] else ""
    room = f"; room for {most} such cameras" if most is not None else ""
    name = f"{found['of']}: " if found["of"] else ""
    title = f"{name}{found['cameras']} cameras, {found['inferencesPerSecond']:g} inferences/s"
    return [title, "", table, "", f"{words}{room}{unknown}", *render.not_seen(found)]


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - digits
