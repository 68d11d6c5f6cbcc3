#!/bin/sh
# Makes .venv from the lock file; a no-op when it is up to date. Needs python3 and apt only.
# `bootstrap.sh uv` prints where uv is instead.
# EDGEDETECTOR_VENV names another place, and arguments other groups of pyproject.toml than all that runs and tests.
set -eu
cd "$(dirname "$0")/.."
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${EDGEDETECTOR_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/edgedetector}
uv_version=0.13.9
uv=$cache/uv-$uv_version/bin/uv
if [ ! -x "$uv" ]; then
  # Debian ships venv apart from python3.
  python3 -c 'import ensurepip, venv' 2>/dev/null || {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy -o DPkg::Lock::Timeout=600 python3-venv
  }
  # Whole or not at all: uv is one binary, which does not mind that its virtual environment moves.
  rm -rf "$cache/uv-$uv_version" "$cache/uv-$uv_version.part"
  mkdir -p "$cache"
  python3 -m venv "$cache/uv-$uv_version.part"
  "$cache/uv-$uv_version.part/bin/pip" install -q "uv==$uv_version"
  mv "$cache/uv-$uv_version.part" "$cache/uv-$uv_version"
fi
if [ "${1:-}" = uv ]; then
  echo "$uv"
  exit
fi
[ $# -gt 0 ] || set -- --all-extras
UV_PROJECT_ENVIRONMENT=${EDGEDETECTOR_VENV:-.venv} UV_CACHE_DIR=$cache/uv UV_LINK_MODE=copy exec "$uv" sync --quiet --frozen "$@"
