#!/bin/sh
# Makes .venv from the lock file; a no-op when it is up to date. Needs python3 and apt only.
set -eu
cd "$(dirname "$0")/.."
cache=${EDGEDETECTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgedetector}
uv_version=0.13.9
uv=$cache/uv-$uv_version/bin/uv
if [ ! -x "$uv" ]; then
  # Debian ships venv apart from python3.
  python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -q && apt-get install -qy python3-venv; }
  rm -rf "$cache/uv-$uv_version"
  mkdir -p "$cache"
  python3 -m venv "$cache/uv-$uv_version"
  "$cache/uv-$uv_version/bin/pip" install -q "uv==$uv_version"
fi
UV_CACHE_DIR=$cache/uv UV_LINK_MODE=copy exec "$uv" sync --quiet --frozen --all-extras
