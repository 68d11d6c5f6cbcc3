#!/usr/bin/env python3
"""Starts `kubectl edgedetector` with the libraries beside this file.

Part of krew's archive, once under each name of the command line's programs. Older Pythons have to be able to read it,
to say what is missing.
"""

import os
import shutil
import sys

MINORS = (11, 12, 13, 14)
"""Of Python 3: those for which libraries lie beside this."""


def start():  # noqa: ANN201 - older Pythons read it
    """Run the program of this file's name."""
    here = os.path.realpath(__file__)
    if sys.version_info[:2] not in [(3, minor) for minor in MINORS]:
        _hand_over(here)
    libraries = os.path.join(os.path.dirname(here), "lib")
    sys.path[:0] = [os.path.join(libraries, "any"), os.path.join(libraries, "cp%d%d" % sys.version_info[:2])]
    try:
        if os.path.basename(here).startswith("kubectl_complete"):
            from edgedetector.cli.completion import run
        else:
            from edgedetector.cli.__main__ import run
    except ImportError as error:
        sys.exit(
            "error: %s; this archive is for another system, or for glibc where this is musl (Alpine): "
            "pip install 'edgedetector[cli]'" % error
        )
    run()


def _hand_over(here):  # noqa: ANN001, ANN202
    """Become a Python that fits, if there is one."""
    for minor in reversed(MINORS):
        found = shutil.which("python3.%d" % minor)
        if found:
            os.execv(found, [found, here] + sys.argv[1:])
    sys.exit(
        "error: kubectl edgedetector needs Python 3.%d to 3.%d in the PATH, this is %d.%d: install one of them"
        % (MINORS[0], MINORS[-1], sys.version_info[0], sys.version_info[1])
    )


if __name__ == "__main__":
    start()
