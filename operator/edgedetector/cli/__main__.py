"""Entry point of `kubectl-edgedetector`."""

from __future__ import annotations

from edgedetector.cli.commands import main


def run() -> None:
    """Run the command line, under the name that kubectl's users know."""
    main(prog_name="kubectl edgedetector")


if __name__ == "__main__":
    run()
