#!/usr/bin/env bash
# Writes constraints.txt: the versions that `.[dev]` gets in a clean environment of Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3.11}" -m venv "$tmp/venv"
# torch stays at the release that has a CPU build for every platform used here
echo 'torch==2.13.0' >"$tmp/pins"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check -c "$tmp/pins" -e '.[dev]'
"$tmp/venv/bin/python" scripts/lock.py >constraints.txt
