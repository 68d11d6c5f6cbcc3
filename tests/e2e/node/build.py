#!/usr/bin/env python3
"""Build programs and print where they lie, one path a line: build.py NAME...

NAME is a program (kubectl, go2rtc, prometheus, ...), `helm`, or a recipe (kubernetes, monitoring, ...), for which
its directory is printed. What is built already is only printed. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from pathlib import Path

from localnode import binaries, wheels


def main() -> None:
    """Build what is named and print the paths."""
    programs = {name for recipe in binaries.RECIPES.values() for name in (*recipe.outputs, *recipe.links)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        choices=sorted(programs | {"helm"} | set(binaries.RECIPES)),
        help="see above",
    )
    for name in parser.parse_args().names:
        print(locate(name), flush=True)


def locate(name: str) -> Path:
    """Path of a program or of a recipe's directory, built first if it has to be."""
    if name == "helm":
        return wheels.helm()
    try:
        return binaries.program(name)
    except KeyError:
        return binaries.build(name)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"ERROR: this command failed: {shlex.join(map(str, error.cmd))}") from None
