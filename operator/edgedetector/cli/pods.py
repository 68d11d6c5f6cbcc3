"""Ports of a detector's pods on this machine: the one place where the command line forwards them.

By `kubectl port-forward`, which whoever runs a plugin of kubectl has: it carries any number of connections over one of
its own, with every way to log in and every proxy that kubectl knows. It reaches what a pod answers on its loopback, and
it passes where a NetworkPolicy keeps the API server's proxy out. The rights that it needs are `get` of `pods` and
`create` of `pods/portforward` in the namespace.

No kubectl outlives us: each ends with its block, and what is left when we end, e.g. in the block of a thread that is
not waited for, ends then. Only SIGKILL leaves one behind, until it next has something to print.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from edgedetector.cli.errors import AbsentError, CommandError, ForbiddenError, UnreachableError
from edgedetector.cli.server import Place

START: Final = 20.0
"""Seconds until a forwarded port must be there."""
STOP: Final = 5.0
"""Seconds that kubectl has to end."""
KEPT: Final = 20
"""Lines of kubectl that are kept, for the error."""
_LISTENS: Final = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ->")
_NO_RIGHT: Final = ("(Forbidden)", "is forbidden", "Unauthorized")

Forward = Callable[[Place, str, str, int], AbstractContextManager[str]]
"""What `forward` is: commands take it from their session, so that tests can put a real server of their own there."""


class _Children:
    """Every kubectl that runs. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """Start one."""
        with self._lock:
            if self._closed:
                raise UnreachableError("no port is forwarded any more", "the command ends")
            # In a group of its own: the terminal's Ctrl-C is for us, who may have something to undo in the pod first.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", process_group=0,
            )  # fmt: skip
            self._running.add(process)
            return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """End one, and wait until it has."""
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:
            self._running.discard(process)

    def close(self) -> None:
        """End all, and start no other."""
        with self._lock:
            self._closed = True
            left = list(self._running)
        for process in left:
            process.terminate()
        for process in left:
            self.end(process)


_children: Final = _Children()
# Threads that nobody waits for have blocks too, and theirs do not end when we do.
atexit.register(_children.close)


@contextlib.contextmanager
def forward(place: Place, namespace: str, pod: str, port: int) -> Iterator[str]:
    """Yield `http://127.0.0.1:N`, a port of a pod, for as long as the block runs.

    N is free and listens on loopback alone. Any number of connections may be open at once, long ones included (streams,
    WebSockets). When the pod or the connection to the API server goes, they end, new ones are refused (`OSError`), and
    the block is not told: enter it anew, with the pod that is there then. Ctrl-C does not reach kubectl, so that what
    the block does at its end can still reach the pod.

    Parameters
    ----------
    place
        The cluster (`Session.at`).
    pod
        Name of a pod that runs.
    port
        TCP port inside the pod, e.g. `names.PORT_DETECTOR`.

    Raises
    ------
    AbsentError
        If there is no such pod.
    ForbiddenError
        If whoever asks may not create `pods/portforward`.
    UnreachableError
        If it does not stand within `START` seconds.
    CommandError
        If there is no kubectl.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise CommandError("kubectl is not in the PATH", "install it: ports of pods are forwarded by it")
    process = _children.start(
        [
            *(program, *_flags(place), "--namespace", namespace, "port-forward", f"pod/{pod}", f":{port}"),
            *("--address", "127.0.0.1"),
        ]
    )
    said = _Said(process)
    try:
        yield f"http://127.0.0.1:{said.port(namespace, pod)}"
    finally:
        _children.end(process)
        said.thread.join(STOP)


def _flags(place: Place) -> list[str]:
    given = {"--kubeconfig": place.kubeconfig, "--context": place.context}
    return [word for flag, value in given.items() if value for word in (flag, value)]


class _Said:
    """What kubectl prints, read to its end: a line a connection would fill the pipe in time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=KEPT)
        self._port = ""
        self._known = threading.Event()
        self.thread = threading.Thread(target=self._read, name="kubectl port-forward", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        with self._process.stdout as lines:
            for line in lines:
                if self._port:
                    continue
                self._last.append(line.strip())
                if found := _LISTENS.match(line):
                    self._port = found[1]
                    self._known.set()
        self._known.set()

    def port(self, namespace: str, pod: str) -> str:
        """Return the port on this machine."""
        if not self._known.wait(START):
            raise UnreachableError(
                f"no port of pod {pod} within {START:.0f} s", "check the network and `kubectl cluster-info`"
            )
        if not self._port:
            raise _refused(namespace, pod, " ".join(self._last))
        return self._port


def _refused(namespace: str, pod: str, said: str) -> CommandError:
    """Return our error for what kubectl has said."""
    if any(word in said for word in _NO_RIGHT):
        return ForbiddenError(
            f"ports of pod {pod} may not be forwarded",
            f"ask an administrator for the right to create pods/portforward in namespace {namespace}",
        )
    if "(NotFound)" in said:
        return AbsentError(f"there is no pod {pod} in namespace {namespace}", "it was replaced: try again")
    return UnreachableError(
        f"ports of pod {pod} cannot be forwarded: {said or 'kubectl has ended without a word'}",
        f"see `kubectl -n {namespace} get pod {pod}`",
    )
