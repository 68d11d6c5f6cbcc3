#!/bin/sh
# Makes the site of docs/ in build/site with Sphinx, in a virtual environment of its own: what writes documentation is no
# part of what runs or tests. Any warning, a link within docs/ that leads nowhere among them, fails it.
set -eu
cd "$(dirname "$0")/.."
environment=build/site-venv
EDGEDETECTOR_VENV=$environment hack/bootstrap.sh --only-group docs
mkdir -p build/site
exec "$environment/bin/sphinx-build" -W --keep-going -n -q -E -c docs/site -b html docs build/site
