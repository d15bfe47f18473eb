#!/usr/bin/env bash
# Makes .venv ready. `setup.sh runtime`: what the pipeline needs; `setup.sh dev`: what the tests need as well.
# System packages that are missing come from apt where that is possible; else they are named and nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?runtime or dev}
python=${PYTHON:-python3}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

# install_system WHY PACKAGE...
install_system() {
  local why=$1
  shift
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    say "$why: apt-get install $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
  else
    say "$why. Install it, then run the command again; on Debian and Ubuntu:"
    say "  sudo apt-get install $*"
    return 1
  fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  say "$python is missing or older than 3.10; name another with make PYTHON=/path/to/python3 ..."
  exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_system "Python's venv module is missing" python3-venv
[ -x $venv/bin/pip ] || "$python" -m venv --clear $venv

extras=""
[ "$set_name" = runtime ] || extras="[dev]"
say "installing the Python packages into $venv"
quiet=$([ -t 1 ] || echo -q) # a person sees pip's progress, a log does not
$venv/bin/pip install $quiet --disable-pip-version-check -c constraints.txt -e ".$extras"

# The opencv wheels are linked against libraries that minimal systems lack.
$venv/bin/python -c 'import cv2' 2>/dev/null || install_system "OpenCV's system libraries are missing" libgl1 libglib2.0-0
$venv/bin/python -c 'import cv2'
command -v tesseract >/dev/null || install_system "Tesseract is missing" tesseract-ocr
tesseract --version >/dev/null

if [ "$set_name" = dev ] && ! command -v chromium >/dev/null; then
  install_system "Chromium is missing" chromium || say "going on without it: the browser tests will be skipped"
fi

touch $venv/.runtime
[ "$set_name" = runtime ] || touch $venv/.dev
