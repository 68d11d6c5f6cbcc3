"""The command line of the `kind` executable."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import api, binaries, cluster, images, kubeconfig, paths, progress, sandbox

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_NAME = os.environ.get("KIND_CLUSTER_NAME", "kind")


def main(arguments: Sequence[str]) -> None:
    """Run one command."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"ERROR: this command failed: {shlex.join(map(str, error.cmd))}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kind", description="a local Kubernetes node with kind's command line")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    create = _verb(_group(verbs, "create", "create a cluster"), "cluster", _create, "create a cluster")
    create.add_argument("--kubeconfig", help="file to add the cluster to (else $KUBECONFIG, else ~/.kube/config)")
    create.add_argument("--config", help="kind's configuration file: accepted; the node is always the same")
    create.add_argument("--image", help="kind's node image: accepted; the node is built from source")
    create.add_argument("--wait", help="accepted; a cluster is always waited for")
    create.add_argument("--retain", action="store_true", help="accepted; logs stay until the cluster is deleted")
    create.add_argument(
        "--audit-log",
        default="",
        help="file for the API server's audit log, instead of audit.log of the cluster (not in kind)",
    )

    get = _group(verbs, "get", "show clusters, nodes or a kubeconfig")
    get.add_parser("clusters", help="names of the clusters").set_defaults(run=_get_clusters)
    _verb(get, "nodes", lambda options: print(_existing(options).node), "names of the cluster's nodes")
    _verb(get, "kubeconfig", lambda options: print(_existing(options).kubeconfig.read_text()), "print the kubeconfig")

    export = _group(verbs, "export", "write a kubeconfig or the logs")
    _verb(export, "kubeconfig", _export_kubeconfig, "add the cluster to a kubeconfig").add_argument("--kubeconfig")
    _verb(export, "logs", _export_logs, "copy the programs' logs").add_argument("folder", nargs="?", type=Path)

    load = _group(verbs, "load", "load images into the node")
    _verb(load, "docker-image", _load_docker_image, "from the Docker daemon").add_argument("sources", nargs="+")
    _verb(load, "image-archive", _load_archive, "from tars").add_argument("sources", nargs="+", type=Path)

    delete = _verb(_group(verbs, "delete", "delete a cluster"), "cluster", _delete, "delete a cluster")
    delete.add_argument("--kubeconfig", help="file to take the cluster out of")

    _verb(
        verbs, "reboot", lambda options: cluster.reboot(_existing(options)), "cut the power, start again (not in kind)"
    )
    verbs.add_parser("version", help="print the version").set_defaults(run=_version)
    capacity = _verb(verbs, "set-capacity", _set_capacity, "give the node extended resources (not in kind)")
    capacity.add_argument("resources", nargs="+", metavar="NAME=COUNT", help="such as denglin.com/gpu=1")
    inside = _verb(verbs, "exec", _exec, "run a command in the node's namespaces, as `docker exec` would (not in kind)")
    inside.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND ARGUMENT...")
    return parser


def _group(verbs: Verbs, name: str, text: str) -> Verbs:
    return verbs.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT")


def _verb(verbs: Verbs, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text)
    parser.add_argument("--name", "-n", default=DEFAULT_NAME, help="the cluster's name")
    parser.set_defaults(run=run)
    return parser


def _existing(options: argparse.Namespace) -> paths.Cluster:
    if options.name not in cluster.names():
        raise SystemExit(f"ERROR: no cluster '{options.name}' is running")
    return paths.Cluster(options.name)


def _version(_: argparse.Namespace) -> None:
    print(f"kind (local node) kubernetes {binaries.KUBERNETES}")


def _create(options: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        raise SystemExit("ERROR: a node needs root")
    wanted = paths.Cluster(options.name)
    audit_log = str(Path(options.audit_log).resolve()) if options.audit_log else ""
    cluster.create(wanted, audit_log)
    target = kubeconfig.users_file(options.kubeconfig)
    kubeconfig.merge(wanted, target)
    progress.say(f"cluster '{wanted.name}' is ready; kubeconfig: {target} (context {wanted.context})")


def _get_clusters(_: argparse.Namespace) -> None:
    for name in cluster.names():
        print(name)


def _export_kubeconfig(options: argparse.Namespace) -> None:
    kubeconfig.merge(_existing(options), kubeconfig.users_file(options.kubeconfig))


def _export_logs(options: argparse.Namespace) -> None:
    folder = options.folder or Path.cwd() / f"{options.name}-logs"
    shutil.copytree(paths.Cluster(options.name).logs, folder, dirs_exist_ok=True)
    print(f'Exported logs for cluster "{options.name}" to:\n{folder}')


def _load_docker_image(options: argparse.Namespace) -> None:
    node = _existing(options)
    for source in options.sources:
        with progress.stage(f"load image {source}"):
            images.load_docker_image(node, source)


def _load_archive(options: argparse.Namespace) -> None:
    node = _existing(options)
    for source in options.sources:
        with progress.stage(f"load archive {source}"):
            images.load_archive(node, source)


def _delete(options: argparse.Namespace) -> None:
    wanted = paths.Cluster(options.name)
    kubeconfig.forget(wanted, kubeconfig.users_file(options.kubeconfig))
    cluster.delete(wanted)


def _exec(options: argparse.Namespace) -> None:
    command = sandbox.enter(_existing(options), options.command[1:])
    os.execvp(command[0], command)  # noqa: S606  (no shell is what is wanted)


def _set_capacity(options: argparse.Namespace) -> None:
    """Patch the node's status: the kubelet keeps capacities that it knows nothing of, and makes them allocatable."""
    node = _existing(options)
    pairs = [re.fullmatch(r"([\w.-]+/[\w.-]+)=(\d+)", text) for text in options.resources]
    if not all(pairs):
        raise SystemExit("ERROR: an extended resource is given as domain/name=count")
    amounts = {pair[1]: pair[2] for pair in pairs if pair is not None}
    patch = json.dumps({"status": {"capacity": amounts, "allocatable": amounts}})
    print(api.kubectl(node, ["patch", "node", node.node, "--subresource=status", "--type=merge", "-p", patch]), end="")
