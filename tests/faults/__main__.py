"""Every fault at every write, and a page that says what came of it: ``python -m tests.faults [PAGE]``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from tests import apiserver
from tests.faults import campaign
from tests.faults.arena import arena, equipped

ROOT = Path(__file__).resolve().parents[2]

HEAD = """# Faults at every write of the operator

`make faults` plays create, one camera edit, one serving edit and delete of an EdgeDetector against a real API server
(etcd, kube-apiserver, and the controllers of Deployments, ReplicaSets, DaemonSets, disruption budgets and garbage). A
proxy before it strikes one write of each step: it kills the operator with SIGKILL before the write, after its commit
with the reply lost, or after the reply, loses the reply alone, or answers 409, 429, 500 or 410 itself. In a *storm*
every write of the run meets the fault when it first comes.

After each step everything has to be as after an undisturbed run: all objects with labels, annotations, owners,
specifications, statuses, generations and the fields that the operator owns, no object deleted and made anew, and after
the last step not one write more. Times, versions, UIDs and random names are left out of the comparison.

"""


async def _play(servers: list[apiserver.Server], share: int) -> campaign.Report:
    async with contextlib.AsyncExitStack() as stack:
        arenas = [await stack.enter_async_context(arena(server)) for server in servers]
        want, writes = await campaign.reference(arenas)
        return await campaign.campaign(arenas, want, writes, share, tell=_tell)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Play, print, write the page; the exit code tells whether a fault left a mark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, help="Markdown file to write")
    parser.add_argument("--arenas", type=int, default=2, help="API servers to play on at once")
    parser.add_argument("--share", type=int, default=1, help="play every so many-th case only")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(equipped()) for _ in range(options.arenas)]
        report = asyncio.run(_play(servers, options.share))
    text = campaign.summary(report)
    print(text)
    if options.page is not None:
        listed = "\n".join(f"* `{write}`" for write in report.writes)
        options.page.write_text(f"{HEAD}{text}\n\n## The writes\n\n{listed}\n")
    return 1 if report.divergences or report.missed or report.deaths else 0


if __name__ == "__main__":
    sys.exit(main())
