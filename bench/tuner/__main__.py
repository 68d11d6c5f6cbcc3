"""The tuner on simulated servers, on a real Triton, and beside others; and the simulator beside a real Triton.

`simulate` and `interrupted` give the same figures for the same arguments; the others run a tritonserver here.
"""

from __future__ import annotations

import argparse
import sys

from bench.tuner import interrupted, simulated
from judge import harness, servers

CASES = "ks20-x4, ks20-x1, delay, batching, seeded, seed:N"
VERSIONS = ("24.10", "23.07")


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; `run` of what it gives does it and returns the exit code."""
    whole = argparse.ArgumentParser(prog="python -m bench.tuner", description=__doc__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for add in (_simulate, _real, _live, _emulated, _rivals, _reconfigure, _interrupted):
        add(commands)
    return whole


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    code: int = options.run(options)
    return code


def _simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("simulate", help="simulated servers whose best is known")
    command.add_argument("--servers", type=int, default=servers.OPEN, help="how many")
    command.add_argument("--seed", type=int, default=0, help="the first one")
    command.add_argument("--family", choices=servers.FAMILIES, help="only of this one")
    command.add_argument("--held-out", action="store_true", help="the seeds that nothing was tuned for")
    command.add_argument("--liars", type=int, default=servers.LIARS, help="servers that lie or go stale")
    command.add_argument("--after", type=float, default=harness.AFTER, help="seconds to look on once converged")
    command.add_argument("--processes", type=int, default=1)

    def run(options: argparse.Namespace) -> int:
        return simulated.main(
            options.servers, options.seed, family=options.family, held_out=options.held_out, liars=options.liars,
            after=options.after, processes=options.processes,
        )  # fmt: skip

    command.set_defaults(run=run)


def _interrupted(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("interrupted", help="simulated fleets in which much goes wrong")
    command.add_argument("fleets", type=int, nargs="?", default=100, help="how many")
    command.add_argument("--seed", type=int, default=0, help="the first one")
    command.add_argument("--processes", type=int, default=1)
    command.set_defaults(run=lambda options: interrupted.main(options.fleets, options.seed, options.processes))


def _real(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("real", help="the simulator beside a real Triton")
    command.add_argument("--cases", default="", metavar="FIRST:END", help="only these")
    command.add_argument("--seconds", type=float, default=3.5, help="of load a case")

    def run(options: argparse.Namespace) -> int:
        from bench.tuner import beside  # noqa: PLC0415 - needs what a simulation does not

        return beside.main(options.cases, options.seconds)

    command.set_defaults(run=run)


def _live(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("live", help="tune a real Triton with the emulated device")
    command.add_argument("cases", nargs="*", metavar="CASE", help=f"{CASES}; none: all")
    command.add_argument("--seconds", type=float, help="of tuning a case, at most")
    command.add_argument("--no-sweep", action="store_true", help="without looking for the best")

    def run(options: argparse.Namespace) -> int:
        from bench.tuner import live_cases  # noqa: PLC0415 - needs what a simulation does not

        return live_cases.main(options.cases, seconds=options.seconds, swept=not options.no_sweep)

    command.set_defaults(run=run)


def _emulated(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("emulated", help="the same cases in virtual time, without Triton")
    command.add_argument(
        "cases", nargs="*", metavar="CASE", help="ks20-x4, ks20-x1, batching, seeded, seed:N; none: all"
    )
    command.add_argument("--tell", action="store_true", help="print what was decided")

    def run(options: argparse.Namespace) -> int:
        from bench.tuner import emulated  # noqa: PLC0415 - needs what a simulation does not

        return emulated.main(options.cases, tell=options.tell)

    command.set_defaults(run=run)


def _rivals(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("rivals", help="ours, Model Analyzer, TPE, AIMD and a sweep on one real Triton")
    command.add_argument("devices", nargs="*", metavar="DEVICE", help="batching, seed:N; none: those of the results")

    def run(options: argparse.Namespace) -> int:
        from bench.tuner.rivals import contest  # noqa: PLC0415 - needs what a simulation does not

        return contest.main(options.devices)

    command.set_defaults(run=run)


def _reconfigure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("reconfigure", help="change a real Triton again and again under load")
    command.add_argument("changes", type=int, nargs="?", default=1000, help="how many")
    command.add_argument("--triton", choices=VERSIONS, help="this one; else both")
    command.add_argument("--cameras", type=int, default=8)
    command.add_argument("--backend", choices=("native", "python"), default="native")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--rest", type=float, default=1.0, help="seconds without changes for each second with")

    def run(options: argparse.Namespace) -> int:
        from bench.tuner import reconfigurations  # noqa: PLC0415 - needs what a simulation does not

        versions = [options.triton] if options.triton else VERSIONS
        wanted = {name: getattr(options, name) for name in ("backend", "seed", "cameras", "rest")}
        return reconfigurations.main(versions, options.changes, **wanted)

    command.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
