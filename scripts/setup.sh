#!/usr/bin/env bash
# Sets up .venv. `setup.sh runtime` installs what the pipeline needs; `setup.sh dev` also what the tests need.
# Missing system packages are installed with apt if possible; otherwise they are listed, all at once.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?runtime or dev}
python=${PYTHON:-python3}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

install_system() { # PACKAGE...
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    say "installing missing system packages: apt-get install $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
  else
    say "system packages are missing. Install them, then run this command again; on Debian and Ubuntu:"
    say "  sudo apt-get install $*"
    return 1
  fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "$python is missing or older than 3.11; choose another with make PYTHON=/path/to/python3 ..."
  exit 1
fi

missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# libraries that the opencv wheels link against
"$python" -c 'import ctypes; [ctypes.CDLL(lib) for lib in ("libGL.so.1", "libgthread-2.0.so.0")]' 2>/dev/null ||
  missing+=(libgl1 libglib2.0-0)
command -v tesseract >/dev/null || missing+=(tesseract-ocr)
[ ${#missing[@]} = 0 ] || install_system "${missing[@]}"
if [ "$set_name" = dev ]; then # beside the Python packages, which need neither
  {
    command -v curl >/dev/null || install_system curl ||
      say "continuing without curl: the tests of the HTTP guide will fail"
    # without a window around its pages it takes a third of the time; only Debian has it
    command -v chromium-headless-shell >/dev/null || install_system chromium-headless-shell ||
      command -v chromium >/dev/null || install_system chromium ||
      say "continuing without chromium: the browser tests will be skipped"
    command -v redis-server >/dev/null || install_system redis-server ||
      say "continuing without redis-server: the tests of worker machines will be skipped"
    compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null || install_system libfaketime ||
      say "continuing without libfaketime: a slow test of wrong clocks will be skipped"
  } &
  trap wait EXIT
fi

[ -x $venv/bin/pip ] || "$python" -m venv --clear $venv
extras=""
[ "$set_name" = runtime ] || extras="[dev]"
quiet=$([ -t 1 ] || echo -q) # show pip's progress only on a terminal
say "installing the Python packages into $venv"
$venv/bin/pip install $quiet --disable-pip-version-check --upgrade "pip>=26" || # takes half the time of Python 3.11's own
  say "continuing with the older pip"
# pip would compile 22,000 modules, one after the other; what is used is compiled when it is first imported.
# Setuptools warns of every editable install.
PYTHONWARNINGS=ignore $venv/bin/pip install $quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".$extras"
$venv/bin/python -c 'import cv2'
tesseract --version >/dev/null
wait

touch $venv/.runtime
[ "$set_name" = runtime ] || touch $venv/.dev
