"""`tune`: what tuning would do, has done, and that it is to leave everything as it is."""

from __future__ import annotations

import click

from edgedetector.api import names
from edgedetector.cli import story
from edgedetector.cli.app import Session, main, name_argument, namespace_option, output_option, show
from edgedetector.cli.errors import CommandError
from edgedetector.cli.gather import Wanted, collection


@main.command()
@name_argument
@namespace_option
@click.option("--dry-run", "wish", flag_value="dry-run", help="What would be done, as a diff; nothing is.")
@click.option("--freeze", "wish", flag_value="freeze", help="Leave what serves as it is, for a while.")
@click.option("--resume", "wish", flag_value="resume", help="End that.")
@click.option("--history", "wish", flag_value="history", help="What was decided, and why.")
@output_option
@click.pass_obj
def tune(session: Session, name: str, namespace: str | None, wish: str | None, output: str | None) -> None:
    """Show, freeze or resume the tuning of an EdgeDetector."""
    if wish is None:
        raise CommandError("nothing was asked for", "give one of --dry-run, --freeze, --resume and --history")
    server, space = session.at().server, session.namespace(namespace)
    seen = session.look(Wanted(space, name, cluster=True))
    if wish in {"dry-run", "history"}:
        show(story.tuning(seen), output, story.dry_run if wish == "dry-run" else story.history)
        return
    (subject,) = seen.subjects
    now = (subject.obj["metadata"].get("annotations") or {}).get(names.ANNOTATION_TUNING)
    wanted = names.FROZEN if wish == "freeze" else None
    word = "frozen: what serves stays as it is" if wanted else "resumed"
    if now == wanted:
        click.echo(f"{subject.namespace}/{name} is so already, nothing was written")
        return
    path = collection(names.API_VERSION, "edgedetectors", subject.namespace, name)
    server.patch(path, {"metadata": {"annotations": {names.ANNOTATION_TUNING: wanted}}})
    click.echo(f"tuning of {subject.namespace}/{name} is {word}")
